"""A target in numpy's types: that of its labels, whatever container and dtype it comes in."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from tabimg.messages import listing, shorten

NUMBERS = (Real, Decimal)

# What Python objects may be, and the dtype that holds them all.
_DTYPES: tuple[tuple[tuple[type, ...], type], ...] = (
    ((bool, np.bool_), np.bool_),
    ((Integral,), np.int64),
    (NUMBERS, np.float64),
)


def plain_target(y: Any) -> np.ndarray:
    """Turn a target into an array of the dtype that its values have.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Nullable, pyarrow-backed and categorical Series, Polars Series, lists and arrays of objects
        included.

    Returns
    -------
    ndarray
        bool, an integer, float or datetime dtype, text, or object: Python's str, or what numpy has
        no dtype for. Int8 becomes int8 and boolean bool; whole numbers, bools and Decimals that
        come as objects become int64, bool and float64, infinity where they are too large.

    """
    numpy_dtype = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if isinstance(y, pd.Series) and numpy_dtype is not None and numpy_dtype.kind in "biuf":
        return y.to_numpy(dtype=numpy_dtype)
    array = np.asarray(y)
    if array.dtype.kind in "US" and isinstance(y, (list, tuple)):
        # numpy turns the numbers of a mixed list into text.
        array = np.asarray(y, dtype=object)
        return array if _is_mixed(array) else np.asarray(y)
    return _from_objects(array) if array.dtype == object else array


def first_row(flags: np.ndarray) -> int:
    """Give the first row with a flag that is set, of an array (n_rows,) or (n_rows, n_outputs)."""
    return int(np.flatnonzero(flags.reshape(len(flags), -1).any(axis=1))[0])


def refuse_infinite_target(target: np.ndarray) -> None:
    """Raise a ValueError for a target that is not finite; names the row."""
    if target.dtype.kind != "f":
        return
    infinite = np.isinf(target)
    if infinite.any():
        raise ValueError(
            "Input y contains infinity or a value too large for dtype('float64'), first in row "
            f"{first_row(infinite)}: correct it, or leave the row out"
        )


def refuse_objects(target: np.ndarray, accepted: type | tuple[type, ...], remedy: str) -> None:
    """Raise a ValueError for objects among which some are of no accepted type.

    Parameters
    ----------
    target : ndarray
        As `plain_target` makes it.
    accepted : type or tuple of types
    remedy : str
    """
    if target.dtype != object:
        return
    cells = target.ravel().tolist()
    odd = next((k for k, cell in enumerate(cells) if not isinstance(cell, accepted)), None)
    if odd is None:
        return
    types = listing(sorted({type(cell).__name__ for cell in cells}))
    row = odd * len(target) // len(cells)
    raise ValueError(
        f"y holds objects of type {types}, such as {shorten(cells[odd])} in row {row}: {remedy}"
    )


def _is_mixed(array: np.ndarray) -> bool:
    return not all(isinstance(cell, (str, bytes)) for cell in array.ravel().tolist())


def _from_objects(array: np.ndarray) -> np.ndarray:
    cells = array.ravel().tolist()
    types = set(map(type, cells))
    for accepted, dtype in _DTYPES:
        if types and all(issubclass(each, accepted) for each in types):
            return _converted(array, dtype)
    if all(issubclass(each, str) for each in types):
        return np.array([str(cell) for cell in cells], dtype=object).reshape(array.shape)
    return array


def _converted(array: np.ndarray, dtype: type) -> np.ndarray:
    try:
        return array.astype(dtype)
    except OverflowError:  # too large for int64, or for float64
        values = np.array([_float(cell) for cell in array.ravel()])
        return values.reshape(array.shape)


def _float(cell: Any) -> float:
    try:
        return float(cell)
    except OverflowError:
        return np.inf
