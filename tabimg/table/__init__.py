"""Tables in numbers: schema, codec and corruption. Knows no network and no image."""

from __future__ import annotations

from tabimg.table.codec import MAX_CATEGORIES, EncodedTable, TableCodec
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
