"""Columns of Python objects: what they hold, judged by the types of their cells."""

from __future__ import annotations

import datetime as dt
import math
import numbers
import os
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from tabimg.messages import shorten
from tabimg.table.columns import ColumnKind, RawColumn, boolean_keys, describe, number_key

_BOOLEANS = (bool, np.bool_)
_DURATIONS = (dt.timedelta, np.timedelta64)
_INSTANTS = (dt.date, np.datetime64, pd.Period)
_TIMES = (dt.time,)
_NUMBERS = (numbers.Real, Decimal)
_NAMES = (str, bytes, os.PathLike, Enum, uuid.UUID, pd.Interval)
# np.timedelta64 also counts as an integer: check for durations before numbers.
_SCALARS = (*_BOOLEANS, *_DURATIONS, *_INSTANTS, *_TIMES, *_NUMBERS, *_NAMES)

# What the cells of a column of each kind may be.
_HELD: dict[ColumnKind, tuple[type, ...]] = {
    ColumnKind.NUMERIC: (*_BOOLEANS, *_NUMBERS, *_DURATIONS, *_TIMES),
    ColumnKind.DATETIME: _INSTANTS,
    ColumnKind.BOOLEAN: _BOOLEANS,
}

_MICROSECONDS_A_DAY = 86_400e6
_COARSE_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms")
_TOO_FAR = "more than 292,000 years from 1970"


def read_objects(name: str | int, values: np.ndarray) -> RawColumn:
    """Read a column of Python objects.

    Parameters
    ----------
    name : str or int
        Column name, for the result and for messages.
    values : ndarray of shape (n_rows,), dtype object
        None, NaN, NaT, ``pandas.NA`` and ``Decimal("NaN")`` are missing cells.

    Returns
    -------
    RawColumn
        Boolean, numeric or datetime if every observed cell is of that type, categorical
        otherwise. Strings are never parsed as numbers or dates.

    Raises
    ------
    TypeError
        A cell is not a scalar (a list, a dict, an image ...).
    ValueError
        A cell is complex, infinite, or invalid for its type, such as a date that its time zone
        moves out of the calendar.
    """
    missing = missing_cells(describe(name), values)
    cells = values[~missing].tolist() if missing.any() else values.tolist()
    types = set(map(type, cells))
    if not types:
        return RawColumn(name, ColumnKind.EMPTY, np.full(len(values), np.nan))
    _refuse_foreign_types(name, values, missing, types)
    if _all_of(types, _BOOLEANS):
        keys = boolean_keys(np.array(cells, dtype=bool))
        return RawColumn(name, ColumnKind.BOOLEAN, _spread(keys, missing, None))
    for accepted, kind, convert in _CONTINUOUS:
        if _all_of(types, accepted):
            numbers_ = _converted(name, convert, cells, missing)
            return RawColumn(name, kind, _spread(numbers_, missing, np.nan))
    keys = _guarded(name, _keys, cells, missing)
    _refuse_infinite_keys(name, keys, cells, missing, types)
    mixed = values if len(types) > 1 else None
    return RawColumn(name, ColumnKind.CATEGORICAL, _spread(keys, missing, None), mixed)


def strays(cells: np.ndarray, kind: ColumnKind) -> np.ndarray:
    """Find the cells that a column of a kind cannot hold.

    Parameters
    ----------
    cells : ndarray of shape (n_rows,), dtype object
    kind : ColumnKind

    Returns
    -------
    int64 array
        Their rows; missing cells fit every kind, and every cell fits a categorical column.
    """
    held = _HELD.get(kind, (object,))
    suits = np.fromiter((isinstance(cell, held) for cell in cells), dtype=bool, count=len(cells))
    return np.flatnonzero(~suits & ~pd.isna(cells))


def object_array(cells: Iterable[object], count: int) -> np.ndarray:
    """Return a 1-D object array; unlike ``np.array`` it never looks inside nested cells."""
    return np.fromiter(cells, dtype=object, count=count)


def refuse_infinite(name: str | int, values: np.ndarray) -> None:
    """Raise ValueError naming the column and first row that hold infinity.

    Parameters
    ----------
    name : str or int
        Column name.
    values : ndarray of shape (n_rows,), dtype float64
    """
    infinite = np.isinf(values)
    if infinite.any():
        raise _infinity_error(name, int(infinite.argmax()))


def missing_cells(where: str, values: np.ndarray) -> np.ndarray:
    """Return which cells are missing, as `pandas.isna` does; some objects fail even that.

    Parameters
    ----------
    where : str
        What the message calls the column.
    values : ndarray of shape (n_rows,) or (n_rows, n_columns)

    Raises
    ------
    ValueError
        For such an object; names the row.
    """
    try:
        return pd.isna(values)
    except Exception:
        cells = values.ravel().tolist()
        position, error = first_failing(pd.isna, cells)
        row = position * len(values) // len(cells)
        raise unreadable(where, row, cells[position], error) from error


def read_instants(name: str | int, values: np.ndarray) -> np.ndarray:
    """Return datetime64 or timedelta64 cells as float64 days, NaN for NaT.

    Microseconds are the finest unit kept, so that every frame library gives the same numbers.

    Parameters
    ----------
    name : str or int
        Column name, for messages.
    values : ndarray of shape (n_rows,), dtype datetime64 or timedelta64

    Raises
    ------
    ValueError
        A cell is more than 292,000 years from 1970, beyond the reach of microseconds.
    """
    instants, far = _in_microseconds(values)
    if far.any():
        row = int(far.argmax())
        raise unreadable(describe(name), row, values[row], _TOO_FAR)
    return _days(instants)


def unreadable(where: str, row: int, cell: Any, reason: object) -> ValueError:
    """Make the error for a cell that cannot be read, in what the message calls ``where``."""
    return ValueError(
        f"{where}, row {row}: {shorten(cell)} cannot be read "
        f"({shorten(str(reason) or type(reason).__name__)}). Correct the cell, or make it missing."
    )


def _all_of(types: set[type], accepted: tuple[type, ...]) -> bool:
    return all(issubclass(kind, accepted) for kind in types)


def _spread(observed: np.ndarray, missing: np.ndarray, filler: float | None) -> np.ndarray:
    """Put the observed cells back between the missing ones."""
    if len(observed) == len(missing):
        return observed
    full = np.full(len(missing), filler, dtype=observed.dtype)
    full[~missing] = observed
    return full


def _row_of(cell: int, missing: np.ndarray) -> int:
    """Return the row of the cell-th observed cell."""
    return int(np.flatnonzero(~missing)[cell])


def _infinity_error(name: str | int, row: int) -> ValueError:
    return ValueError(
        f"{describe(name)}, row {row}: the value is infinity or too large for float64. "
        "Replace it by a finite number, or by NaN if the value is unknown."
    )


def _guarded(
    name: str | int,
    convert: Callable[[list[Any]], np.ndarray],
    cells: list[Any],
    missing: np.ndarray,
) -> np.ndarray:
    """Convert cells, and name the one that fails: cells may be any objects."""
    try:
        return convert(cells)
    except Exception:
        cell, error = first_failing(lambda each: convert([each]), cells)
        raise unreadable(describe(name), _row_of(cell, missing), cells[cell], error) from error


def first_failing(convert: Callable[[Any], Any], cells: list[Any]) -> tuple[int, Exception]:
    """Find the first cell that cannot be converted, and its error; there must be one."""
    for position, cell in enumerate(cells):
        try:
            convert(cell)
        except Exception as error:
            return position, error
    raise AssertionError("cells that cannot be converted together can be one by one")


def _refuse_foreign_types(
    name: str | int, values: np.ndarray, missing: np.ndarray, types: set[type]
) -> None:
    foreign = {kind for kind in types if not issubclass(kind, _SCALARS)}
    if not foreign:
        return
    observed = np.flatnonzero(~missing)
    row = next(int(row) for row in observed if type(values[row]) in foreign)
    if isinstance(values[row], numbers.Complex):
        raise ValueError(f"Complex data not supported: {describe(name)}, row {row}.")
    raise TypeError(
        f"{describe(name)}, row {row}: argument must be a string or a number (or a bool, date or "
        f"missing cell), got {type(values[row]).__name__!r}. Turn each cell into one scalar, drop "
        "the column, or declare it with image_column= if it holds images."
    )


def _refuse_infinite_keys(
    name: str | int, keys: np.ndarray, cells: list[Any], missing: np.ndarray, types: set[type]
) -> None:
    if not any(issubclass(kind, _NUMBERS) for kind in types):
        return
    for position, key in enumerate(keys):
        if key in ("inf", "-inf") and isinstance(cells[position], _NUMBERS):
            raise _infinity_error(name, _row_of(position, missing))


def _converted(
    name: str | int,
    convert: Callable[[list[Any]], np.ndarray],
    cells: list[Any],
    missing: np.ndarray,
) -> np.ndarray:
    values = _guarded(name, convert, cells, missing)
    infinite = np.isinf(values)
    if infinite.any():
        raise _infinity_error(name, _row_of(int(infinite.argmax()), missing))
    return values


def _numbers_to_floats(cells: list[Any]) -> np.ndarray:
    try:
        return np.array(cells, dtype=np.float64)
    except OverflowError:  # an integer beyond 1.8e308; the caller names the row
        return np.array([_float_or_infinity(cell) for cell in cells])


def _float_or_infinity(cell: Any) -> float:
    try:
        return float(cell)
    except OverflowError:
        return math.inf


def _in_microseconds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert datetime64 or timedelta64 values, and return which of them do not fit."""
    dtype = f"{values.dtype.kind}8[us]"
    try:
        instants = values.astype(dtype)
    except OverflowError:
        far = np.array([_overflows(value, dtype) for value in values])
        instants = np.zeros(len(values), dtype=dtype)
        instants[~far] = values[~far]
        return instants, far
    if np.datetime_data(values.dtype)[0] not in _COARSE_UNITS:
        return instants, np.zeros(len(values), dtype=bool)
    # numpy before 2.5 wraps around silently.
    return instants, (instants.astype(values.dtype) != values) & ~np.isnat(values)


def _overflows(value: np.datetime64 | np.timedelta64, dtype: str) -> bool:
    try:
        value.astype(dtype)
    except OverflowError:
        return True
    return False


def _days(instants: np.ndarray) -> np.ndarray:
    days = instants.astype(np.int64) / _MICROSECONDS_A_DAY
    days[np.isnat(instants)] = np.nan
    return days


def _instant_objects_to_days(cells: list[Any]) -> np.ndarray:
    return _days(np.array([_naive_utc(cell) for cell in cells], dtype="M8[us]"))


def _naive_utc(cell: Any) -> Any:
    if isinstance(cell, pd.Period):
        cell = cell.start_time
    if isinstance(cell, pd.Timestamp):
        cell = cell.to_datetime64() if cell.tz is None else cell.tz_convert("UTC").to_datetime64()
    elif isinstance(cell, dt.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return _exact(cell) if isinstance(cell, np.datetime64) else cell


def _duration_objects_to_days(cells: list[Any]) -> np.ndarray:
    return _days(np.array([_exact_duration(cell) for cell in cells], dtype="m8[us]"))


def _exact_duration(cell: Any) -> Any:
    if isinstance(cell, pd.Timedelta):
        cell = cell.to_timedelta64()
    return _exact(cell) if isinstance(cell, np.timedelta64) else cell


def _exact(cell: np.datetime64 | np.timedelta64) -> Any:
    instants, far = _in_microseconds(np.array([cell]))
    if far[0]:
        raise OverflowError(_TOO_FAR)
    return instants[0]


def _times_to_days(cells: list[Any]) -> np.ndarray:
    seconds = [cell.hour * 3600 + cell.minute * 60 + cell.second for cell in cells]
    microseconds = [cell.microsecond for cell in cells]
    return (np.array(seconds) * 1e6 + np.array(microseconds)) / _MICROSECONDS_A_DAY


_CONTINUOUS: tuple[tuple[tuple[type, ...], ColumnKind, Callable[[list[Any]], np.ndarray]], ...] = (
    (_DURATIONS, ColumnKind.NUMERIC, _duration_objects_to_days),
    (_NUMBERS, ColumnKind.NUMERIC, _numbers_to_floats),
    (_INSTANTS, ColumnKind.DATETIME, _instant_objects_to_days),
    (_TIMES, ColumnKind.NUMERIC, _times_to_days),
)


def _keys(cells: list[Any]) -> np.ndarray:
    keys = cells if set(map(type, cells)) == {str} else map(_key, cells)
    return np.fromiter(keys, dtype=object, count=len(cells))


def _key(cell: Any) -> str:
    if isinstance(cell, str):
        return str(cell.value) if isinstance(cell, Enum) else str(cell)
    if isinstance(cell, _BOOLEANS):
        return str(bool(cell))
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    if isinstance(cell, _NUMBERS) and not isinstance(cell, (*_DURATIONS, Enum)):
        return repr(number) if math.isinf(number := _float_or_infinity(cell)) else number_key(cell)
    return str(cell)
