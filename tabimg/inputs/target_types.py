"""A target in numpy's types: that of its values, whatever container and dtype it comes in."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from tabimg.inputs.containers import as_target
from tabimg.inputs.frames import HEAD_ROWS
from tabimg.messages import listing, shorten
from tabimg.table import looks_like_file_paths
from tabimg.table.objects import first_failing, missing_cells, unreadable

NUMBERS = (Real, Decimal)
# From here on, numbers cannot be labels: int64 ends, and float64 merges neighbours.
LARGEST_LABEL = 2.0**63

# Types of Python objects, and the dtype that holds all values of each.
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
        Nullable, pyarrow-backed and categorical Series, Polars Series, pyarrow tables, lists and
        arrays of objects included.

    Returns
    -------
    ndarray
        bool, an integer, float or datetime dtype, text, or object: Python's str, or values that
        numpy has no dtype for. Int8 becomes int8, and boolean bool; whole numbers, bools and
        Decimals that come as objects become int64 or uint64, bool and float64; whole numbers too
        large for these become float64, and infinity if too large for that. Members of an Enum that
        are text become the text that they equal.

    """
    y = as_target(y)
    numpy_dtype = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if isinstance(y, pd.Series) and numpy_dtype is not None and numpy_dtype.kind in "biuf":
        return y.to_numpy(dtype=numpy_dtype)
    array = np.asarray(y)
    return _from_objects(array) if array.dtype == object else array


def first_row(flags: np.ndarray) -> int:
    """Return the first row with a set flag, in an array (n_rows,) or (n_rows, n_outputs)."""
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


def refuse_large_labels(labels: np.ndarray) -> None:
    """Raise a ValueError for whole numbers that float64 may hold but cannot tell apart."""
    if labels.dtype.kind != "f":
        return
    large = np.abs(labels) >= LARGEST_LABEL
    if large.any():
        row = first_row(large)
        raise ValueError(
            f"y, row {row}: {listing(labels[row : row + 1].ravel())} is too large for a numeric "
            "label, beyond 64 bits: turn the labels into text"
        )


def refuse_complex_target(target: np.ndarray) -> None:
    """Raise a ValueError for complex numbers; names the first."""
    if target.dtype.kind == "c" and target.size:
        raise ValueError(
            f"Complex data not supported: y holds complex numbers, such as "
            f"{shorten(target.flat[0])} in row 0. Give their real part, y.real, or another number"
        )


def refuse_objects(target: np.ndarray, accepted: type | tuple[type, ...], remedy: str) -> None:
    """Raise a ValueError if some objects are of no accepted type; names one of them.

    Parameters
    ----------
    target : ndarray
        As `plain_target` makes it.
    accepted : type or tuple of types
    remedy : str
    """
    if target.dtype != object:
        return
    counts = _types_of(target)
    odd = [each for each in counts if not issubclass(each, accepted)]
    if odd:
        raise _objects_error(target, min(odd, key=counts.__getitem__), remedy)


def refuse_mixed_objects(target: np.ndarray, accepted: type, remedy: str) -> None:
    """Raise a ValueError as `refuse_objects`, but name a cell of the rarest type.

    Among mixed types, that is the stray one: a mark for unknown values among numbers is text, which
    is accepted if all cells are text.
    """
    if target.dtype != object:
        return
    counts = _types_of(target)
    if not all(issubclass(each, accepted) for each in counts):
        raise _objects_error(target, min(counts, key=counts.__getitem__), remedy)


def reject_paths_as_target(y: Any) -> None:
    """Raise a ValueError for a target that looks like file paths.

    scikit-learn passes the second positional argument of ``fit`` on as ``y``.
    """
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if (
        values.ndim == 1
        and values.dtype.kind in "OUS"
        and looks_like_file_paths(values[:HEAD_ROWS])
    ):
        raise ValueError(
            "y looks like file paths. Photos are given as a column, image_column=..., or by name: "
            "fit(X, image_paths=...)"
        )


def reject_missing_target(y: Any) -> None:
    """Raise a ValueError for a training target with missing values."""
    refuse_missing_target(
        y,
        "leave them out, or let them take part in pre-training: fit(..., "
        "unlabeled=Unlabeled(frame))",
    )


def refuse_missing_target(y: Any, remedy: str) -> None:
    """Raise a ValueError for a target, as `as_target` gives it, with missing values."""
    missing = missing_cells("y", np.atleast_1d(np.asarray(y)))
    if missing.any():
        rows = np.flatnonzero(missing.any(axis=tuple(range(1, missing.ndim))))
        raise ValueError(
            f"Input y contains NaN: {len(rows)} of {len(missing)} rows have no target, the first "
            f"is row {rows[0]}: {remedy}"
        )


def _types_of(target: np.ndarray) -> Counter[type]:
    return Counter(map(type, target.ravel().tolist()))


def _objects_error(target: np.ndarray, odd: type, remedy: str) -> ValueError:
    """Make the error that names the first cell of the odd type."""
    cells = target.ravel().tolist()
    position = next(position for position, cell in enumerate(cells) if type(cell) is odd)
    types = listing(sorted({each.__name__ for each in _types_of(target)}))
    return ValueError(
        f"y holds objects of type {types}, such as {shorten(cells[position])} in row "
        f"{position * len(target) // len(cells)}: {remedy}"
    )


def _from_objects(array: np.ndarray) -> np.ndarray:
    cells = array.ravel().tolist()
    types = set(map(type, cells))
    for accepted, dtype in _DTYPES:
        if types and all(issubclass(each, accepted) for each in types):
            return _converted(array, dtype)
    if all(issubclass(each, str) for each in types):
        return np.array([str.__str__(cell) for cell in cells], dtype=object).reshape(array.shape)
    return array


def _converted(array: np.ndarray, dtype: type) -> np.ndarray:
    try:
        return array.astype(dtype)
    except OverflowError:  # too large for int64, or for float64
        if dtype is np.int64 and min(array.flat) >= 0 and max(array.flat) < 2**64:
            return array.astype(np.uint64)
        values = np.array([_float(cell) for cell in array.ravel()])
        return values.reshape(array.shape)
    except (
        ValueError
    ) as error:  # a signalling NaN: not every pandas refuses to say whether it is missing
        cells = array.ravel().tolist()
        position, reason = first_failing(float, cells)
        row = position * len(array) // len(cells)
        raise unreadable("y", row, cells[position], reason) from error


def _float(cell: Any) -> float:
    try:
        return float(cell)
    except OverflowError:
        return np.inf
