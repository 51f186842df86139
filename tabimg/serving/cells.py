"""From a user's column to the input of an exported file, with tabimg's reading of cells."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from tabimg.messages import shorten

_MICROSECONDS_A_DAY = 86_400e6
_DAY = dt.timedelta(days=1)
_HAVE_NAN = (float, Decimal, np.floating, np.datetime64, np.timedelta64)


def read_column(name: str | int, kind: str, column: Any, missing_text: str) -> np.ndarray:
    """Read a column as the input of its kind.

    Parameters
    ----------
    name : str or int
        For messages.
    kind : {"numeric", "datetime", "boolean", "categorical"}
    column : array or sequence of n_rows cells
        None, NaN, NaT and ``pandas.NA`` are missing.
    missing_text : str
        Stands for a missing cell of a categorical column.

    Returns
    -------
    ndarray of shape (n_rows, 1)
        float64 for numbers, dates (days since 1970-01-01 UTC) and bools (0 and 1), NaN where
        missing; object of str for categories.

    Raises
    ------
    ValueError
        For a cell that a column of this kind cannot hold; names column and row.
    """
    if kind == "categorical":
        return _texts(name, column, missing_text)
    values = _numbers_of_array(column, kind) if isinstance(column, np.ndarray) else None
    if values is None:
        values = _numbers_of_cells(name, column, _READERS[kind])
    _refuse_unfit(name, values, kind)
    return values.reshape(-1, 1)


def is_missing(cell: Any) -> bool:
    """Tell whether a cell is None, NaN, NaT or ``pandas.NA``."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, _HAVE_NAN) and bool(cell != cell)


def _numbers_of_array(array: np.ndarray, kind: str) -> np.ndarray | None:
    """Read an array of plain numbers at once; None if its cells need a look each."""
    dtype = array.dtype.kind
    if kind != "datetime" and dtype in "fiub":
        return array.astype(np.float64)
    if (kind, dtype) in (("datetime", "M"), ("numeric", "m")):
        instants = array.astype(f"{dtype}8[us]")
        days = instants.astype(np.int64) / _MICROSECONDS_A_DAY
        return np.where(np.isnat(instants), np.nan, days)
    return None


def _numbers_of_cells(name: str | int, column: Any, read: Callable[[Any], float]) -> np.ndarray:
    values = np.empty(len(column))
    for row, cell in enumerate(column):
        try:
            values[row] = math.nan if is_missing(cell) else read(cell)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"column {shorten(name)}, row {row}: {shorten(cell)} {error}"
            ) from error
    return values


def _refuse_unfit(name: str | int, values: np.ndarray, kind: str) -> None:
    unfit = np.isinf(values)
    if kind == "boolean":
        unfit = ~(np.isnan(values) | (values == 0) | (values == 1))
    if unfit.any():
        row = int(unfit.argmax())
        wanted = "True, False, 0 or 1" if kind == "boolean" else "a finite number"
        raise ValueError(
            f"column {shorten(name)}, row {row}: {values[row]} is not {wanted}; leave the cell "
            "empty (None or NaN) if the value is unknown"
        )


def _number(cell: Any) -> float:
    if isinstance(cell, (dt.timedelta, np.timedelta64)):
        return _as_timedelta(cell) / _DAY
    if isinstance(cell, dt.time):
        midnight = dt.datetime.min
        return (dt.datetime.combine(midnight, cell.replace(tzinfo=None)) - midnight) / _DAY
    if isinstance(cell, (Real, Decimal, np.bool_)):
        return float(cell)
    raise ValueError("is not a number, which this column holds")


def _as_timedelta(cell: Any) -> dt.timedelta:
    return cell.astype("m8[us]").item() if isinstance(cell, np.timedelta64) else cell


def _date(cell: Any) -> float:
    if isinstance(cell, str):
        cell = _parsed(cell)
    if isinstance(cell, dt.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(dt.timezone.utc).replace(tzinfo=None)
    if not isinstance(cell, (dt.date, np.datetime64)):
        raise ValueError("is not a date, which this column holds")
    instant = np.array([cell], dtype="M8[us]").astype(np.int64)[0]
    return float(instant / _MICROSECONDS_A_DAY)


def _parsed(text: str) -> dt.datetime:
    """Read a date as JSON brings it; Python 3.10 does not know the Z."""
    try:
        return dt.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise ValueError(
            "is not a date in ISO 8601, such as 2024-05-01 or 2024-05-01T12:30:00Z"
        ) from error


def _bool(cell: Any) -> float:
    if isinstance(cell, str) and cell in ("True", "False"):
        return float(cell == "True")
    if isinstance(cell, (Real, Decimal, np.bool_)):
        return float(cell)
    raise ValueError("is not True or False, which this column holds")


_READERS: dict[str, Callable[[Any], float]] = {
    "numeric": _number,
    "datetime": _date,
    "boolean": _bool,
}


def _texts(name: str | int, column: Any, missing_text: str) -> np.ndarray:
    # A text that is equal to the mark of a missing cell is an unknown category, not a missing cell.
    escaped = f"{missing_text}\N{REPLACEMENT CHARACTER}"
    texts = np.empty((len(column), 1), dtype=object)
    for row, cell in enumerate(column):
        if is_missing(cell):
            texts[row, 0] = missing_text
            continue
        key = _key(cell)
        if key is None:
            raise ValueError(
                f"column {shorten(name)}, row {row}: {shorten(cell)} is a "
                f"{type(cell).__name__}, and the column holds categories: give text"
            )
        texts[row, 0] = escaped if key == missing_text else key
    return texts


def _key(cell: Any) -> str | None:
    """Return the key of a category; None for a cell that cannot be one."""
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    if isinstance(cell, np.timedelta64) or not isinstance(cell, (Real, Decimal)):
        return None
    number = float(cell)
    return str(int(number)) if number.is_integer() else repr(number)
