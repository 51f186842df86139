"""The front door: user input as one of the supported containers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.validation import _num_samples

from tabimg.messages import shorten


def as_container(X: Any, name: str = "X") -> Any:
    """Return rows as a pandas or Polars frame, an array, a list, or a mapping of such.

    Eager frames of other libraries, such as pyarrow tables, become pandas frames; an array's masked
    cells are missing.

    Parameters
    ----------
    X : object
    name : str, default="X"
        What messages call it.

    Raises
    ------
    TypeError
        If it is a path, or a lazy frame.
    """
    if np.ma.isMaskedArray(X):
        return _unmasked(X)
    if isinstance(X, (np.ndarray, pd.DataFrame)):
        return X
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError(
            f"{name} is {shorten(X)}, and it takes the rows themselves: read the file first, for "
            "example with pandas.read_csv"
        )
    if isinstance(X, Mapping) and not issparse(X):
        return {key: as_container(frame, f"cohort {shorten(key)}") for key, frame in X.items()}
    if type(X).__module__.startswith("pyarrow") and hasattr(X, "to_pandas"):
        return X.to_pandas()
    frame = nw.from_native(X, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        raise TypeError(
            f"{name} is a lazy frame ({type(X).__module__}): collect it first, {name}.collect()"
        )
    if isinstance(frame, nw.DataFrame) and not frame.implementation.is_polars():
        return frame.to_pandas()
    return X


def as_target(y: Any) -> Any:
    """Return a target as a container from which numpy reads every value unchanged.

    Parameters
    ----------
    y : object

    Returns
    -------
    object
        Masked cells are missing. pyarrow tables become pandas frames; 128-bit integers, texts of
        numpy's StringDType, and lists that mix texts with other cells become object arrays; a list
        of texts, which may be of a subclass of str, becomes an array of plain ones. Anything else,
        None included, is returned as it is.
    """
    if np.ma.isMaskedArray(y):
        return _unmasked(y)
    if isinstance(y, (list, tuple)):
        return _texts_as_they_are(y)
    if isinstance(y, np.ndarray):
        _refuse_raw_bytes(y)
        return y.astype(object) if y.dtype.kind == "T" else y
    library = type(y).__module__.partition(".")[0]
    if library == "pyarrow" and hasattr(y, "column_names"):
        return y.to_pandas()
    if library == "polars" and _is_too_wide_for_numpy(y):
        return np.array(y.rows() if hasattr(y, "rows") else y.to_list(), dtype=object)
    return y


def _refuse_raw_bytes(y: np.ndarray) -> None:
    if y.dtype.kind == "V" and y.dtype.names is None:
        raise TypeError(
            f"y holds raw bytes (numpy's {y.dtype}), such as {shorten(y.flat[0]) if y.size else ''}"
            " in row 0: turn the labels into text or whole numbers"
        )


def _unmasked(array: Any) -> np.ndarray:
    if not np.ma.is_masked(array):
        return np.asarray(array)
    # Dtypes with their own missing value take None for it.
    plain = np.array(array, dtype=array.dtype if array.dtype.kind in "fmM" else object)
    plain[np.ma.getmaskarray(array)] = None
    return plain


def _texts_as_they_are(y: Sequence[Any]) -> Any:
    """Keep what numpy would turn into text or truncate: numbers among texts, members of an Enum."""
    array = np.asarray(y)
    if array.dtype.kind not in "US":
        return y
    cells = np.asarray(y, dtype=object)
    flat = cells.ravel().tolist()
    if all(isinstance(cell, str) for cell in flat):
        return np.array([str.__str__(cell) for cell in flat]).reshape(cells.shape)
    return array if all(isinstance(cell, bytes) for cell in flat) else cells


def _is_too_wide_for_numpy(y: Any) -> bool:
    dtypes = y.dtypes if hasattr(y, "dtypes") else [getattr(y, "dtype", None)]
    return any(str(dtype) in ("Int128", "UInt128") for dtype in dtypes)


def cells_of(column: Any) -> list[Any]:
    """List the cells of a column or sequence, as Python objects where a library has its own.

    Masked cells are missing.
    """
    if np.ma.isMaskedArray(column):
        return list(_unmasked(column))
    for method in ("to_pylist", "to_list"):
        if hasattr(column, method):
            return getattr(column, method)()
    return list(column)


def as_image_cells(X: Any, image_paths: Iterable[Any] | None) -> list[Any] | None:
    """List the photos that are given separately from the rows, one entry per row.

    Raises
    ------
    TypeError
        If they are not a sequence.
    ValueError
        If there are more or fewer entries than rows, or a Series has the rows in another order.
    """
    if image_paths is None:
        return None
    is_text = isinstance(image_paths, (str, bytes, os.PathLike))
    if is_text or isinstance(image_paths, Mapping) or not isinstance(image_paths, Iterable):
        raise TypeError(
            "image_paths is a sequence with one entry per row, got "
            f"{type(image_paths).__name__}: {shorten(image_paths)}"
        )
    if getattr(image_paths, "ndim", 1) == 2 and hasattr(image_paths, "columns"):
        raise TypeError(
            f"image_paths is a {type(image_paths).__name__}, and it takes one entry per row: list "
            "several photos of a row in that entry"
        )
    if isinstance(X, pd.DataFrame) and isinstance(image_paths, pd.Series):
        _check_same_order(X.index, image_paths.index)
    cells = cells_of(image_paths)
    if not isinstance(X, Mapping) and len(cells) != _num_samples(X):
        raise ValueError(
            f"image_paths and X have inconsistent numbers of samples, {len(cells)} and "
            f"{_num_samples(X)}: it takes one entry per row, None for no photo"
        )
    return cells


def _check_same_order(rows: pd.Index[Any], photos: pd.Index[Any]) -> None:
    is_dealt_out = len(rows) == len(photos) and not rows.equals(photos)
    if is_dealt_out and rows.isin(photos).all() and photos.isin(rows).all():
        raise ValueError(
            "image_paths is a Series with the rows of X in another order, and photos are paired by "
            "position: give image_paths.loc[X.index]"
        )


def holds_several(X: Any) -> bool:
    """Distinguish a mapping of frames from a frame; some sparse matrices of scipy are mappings."""
    return isinstance(X, Mapping) and not issparse(X)
