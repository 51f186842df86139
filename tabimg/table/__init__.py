"""Tables in numbers: schema, codec and corruption. Knows no network and no image."""

from __future__ import annotations

from tabimg.table.codec import MAX_CATEGORIES, EncodedTable, TableCodec
from tabimg.table.corruption import Corrupted, MarginalCorruption
from tabimg.table.frames import RawColumn, read_columns
from tabimg.table.paths import looks_like_file_paths
from tabimg.table.schema import ColumnKind, TableSchema

__all__ = [
    "MAX_CATEGORIES",
    "ColumnKind",
    "Corrupted",
    "EncodedTable",
    "MarginalCorruption",
    "RawColumn",
    "TableCodec",
    "TableSchema",
    "looks_like_file_paths",
    "read_columns",
]
