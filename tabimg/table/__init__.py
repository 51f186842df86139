"""Tables in numbers: schema, codec, corruption and headers. Knows no network and no image."""

from __future__ import annotations

from tabimg.table.abbreviations import ABBREVIATIONS
from tabimg.table.codec import MAX_CATEGORIES, EncodedTable, TableCodec
from tabimg.table.cohorts import CohortCodec, CohortTable
from tabimg.table.corruption import (
    CORRUPTIONS,
    ConstantCorruption,
    Corrupted,
    Corruption,
    MarginalCorruption,
)
from tabimg.table.frames import RawColumn, read_columns
from tabimg.table.headers import check_descriptions, header_texts, normalise_header
from tabimg.table.ngrams import NgramEncoder
from tabimg.table.paths import looks_like_file_paths
from tabimg.table.schema import ColumnKind, TableSchema
from tabimg.table.sentence_encoder import SentenceEncoder
from tabimg.table.text_encoders import TextEncoder, resolve_header_encoder
from tabimg.table.text_vectors import TextVectors, nearest_headers

__all__ = [
    "ABBREVIATIONS",
    "CORRUPTIONS",
    "MAX_CATEGORIES",
    "CohortCodec",
    "CohortTable",
    "ColumnKind",
    "ConstantCorruption",
    "Corrupted",
    "Corruption",
    "EncodedTable",
    "MarginalCorruption",
    "NgramEncoder",
    "RawColumn",
    "SentenceEncoder",
    "TableCodec",
    "TableSchema",
    "TextEncoder",
    "TextVectors",
    "check_descriptions",
    "header_texts",
    "looks_like_file_paths",
    "nearest_headers",
    "normalise_header",
    "read_columns",
    "resolve_header_encoder",
]
