"""Tables as numbers: schema, codec and corruption. Knows nothing of networks or images."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from tabimg.table.codec import MAX_CATEGORIES, EncodedTable, TableCodec
from tabimg.table.cohort_codec import CohortCodec, CohortTable
from tabimg.table.corruption import (
    CORRUPTIONS,
    ConstantCorruption,
    Corrupted,
    Corruption,
    MarginalCorruption,
)
from tabimg.table.frames import RawColumn, read_columns
from tabimg.table.paths import looks_like_file_paths
from tabimg.table.schema import ColumnKind, TableSchema

__all__ = [
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
    "RawColumn",
    "TableCodec",
    "TableSchema",
    "looks_like_file_paths",
    "read_columns",
]

# Moved to a room of their own.
_IN_HEADERS = {
    "ABBREVIATIONS",
    "NgramEncoder",
    "SentenceEncoder",
    "TextEncoder",
    "TextVectors",
    "check_descriptions",
    "header_texts",
    "nearest_headers",
    "normalise_header",
    "resolve_header_encoder",
}


def __getattr__(name: str) -> Any:
    if name not in _IN_HEADERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"tabimg.table.{name} has moved: import it from tabimg.headers",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(importlib.import_module("tabimg.headers"), name)
