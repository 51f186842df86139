"""What the table code passes around: one column, read and typed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from tabimg.messages import shorten


class ColumnKind(str, Enum):
    """What the cells of a column are.

    The values are the strings found in messages and in saved states.
    """

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    EMPTY = "empty"

    @property
    def is_continuous(self) -> bool:
        """Whether cells are float64 numbers (numeric and datetime columns)."""
        return self in (ColumnKind.NUMERIC, ColumnKind.DATETIME)

    @property
    def is_discrete(self) -> bool:
        """Whether cells are string keys (categorical and boolean columns)."""
        return self in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)


@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column as read from the caller's table.

    Parameters
    ----------
    name : str or int
        Column name, or the position for tables without names.
    kind : ColumnKind
        What the cells are. ``EMPTY`` if no cell gives a hint of its type.
    values : ndarray of shape (n_rows,)
        float64 with NaN for a missing cell (numeric, datetime, empty), or object holding str keys
        with None for a missing cell (categorical, boolean). A datetime is the number of days
        since 1970-01-01 UTC; a duration and a time of day are numeric, in days.
    cells : ndarray of shape (n_rows,), dtype object, or None, default=None
        The original cells, if their types differ: for messages.
    """

    name: str | int
    kind: ColumnKind
    values: np.ndarray
    cells: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def missing(self) -> np.ndarray:
        """Return a bool array of shape (n_rows,), True where the cell is missing."""
        if self.kind.is_discrete:
            return pd.isna(self.values)
        return np.isnan(self.values)

    def all_missing(self) -> bool:
        """Return whether all cells are missing."""
        return self.kind is ColumnKind.EMPTY or bool(self.missing().all())


def describe(name: str | int) -> str:
    """Return how messages call a column: ``column 'price'``, or ``column 3`` without a name."""
    return f"column {shorten(name)}"


def plain_name(name: Any) -> str | int:
    """Return a column label as a plain str or int, the two that a saved state can hold."""
    if isinstance(name, (int, np.integer)) and not isinstance(name, bool):
        return int(name)
    return str(name)


_BOOLEAN_KEYS = np.array(["False", "True"], dtype=object)


def boolean_keys(values: np.ndarray) -> np.ndarray:
    """Return the object array of keys ("False", "True") of a bool array."""
    return _BOOLEAN_KEYS[values.astype(np.intp)]


def number_key(value: Any) -> str:
    """Return the category key of a real number; 1, 1.0 and Decimal("1") share the key "1"."""
    as_float = float(value)
    return str(int(value)) if as_float.is_integer() else repr(as_float)
