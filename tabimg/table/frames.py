"""Read any table a user may hold into typed columns.

Every source ends up as one numpy array per column, and its dtype decides: that is why pandas,
Polars, bare arrays and lists of rows give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd

from tabimg.messages import shorten
from tabimg.table.columns import ColumnKind, RawColumn, boolean_keys, describe, plain_name
from tabimg.table.objects import object_array, read_instants, read_objects, refuse_infinite

__all__ = ["RawColumn", "column_names", "numeric_matrix", "read_columns"]


def read_columns(X: Any) -> list[RawColumn]:
    """Read a table into typed columns.

    Parameters
    ----------
    X : pandas.DataFrame, narwhals-compatible eager frame, array-like of shape (n_rows, n_columns)
        Any pandas dtype (nullable, pyarrow-backed, category, time zones, timedelta, period), any
        Polars or pyarrow frame, a numeric, bool, datetime, string or object array, or a list of
        rows. Column names may repeat.

    Returns
    -------
    list of RawColumn
        In the table's order. If the table has no names, they are positions.

    Raises
    ------
    TypeError
        The object is not a table, or a cell is not a scalar.
    ValueError
        The table is not two-dimensional, has no column, or holds complex or infinite values.
    """
    if isinstance(X, pd.DataFrame):
        columns = [
            _read_series(plain_name(name), X.iloc[:, position])
            for position, name in enumerate(X.columns)
        ]
    elif isinstance(X, (nw.DataFrame, nw.LazyFrame)) or _is_foreign_frame(X):
        columns = _read_narwhals(X)
    elif isinstance(X, (list, tuple)):
        columns = _read_rows(X)
    else:
        array = _as_array(X)
        columns = [_read_array(j, array[:, j]) for j in range(array.shape[1])]
    if not columns:
        raise ValueError(
            f"Found a table with 0 feature(s) (shape={_shape(X)}) while a minimum of 1 is required."
        )
    return columns


def numeric_matrix(X: Any) -> np.ndarray | None:
    """Return the table as one float64 matrix if no column needs separate treatment.

    Parameters
    ----------
    X : table
        As for :func:`read_columns`.

    Returns
    -------
    ndarray of shape (n_rows, n_columns), dtype float64, or None
        None if the table is anything but a 2-D real array or a pandas frame of plain real
        columns; :func:`read_columns` reads those. May share memory with ``X``.

    Raises
    ------
    ValueError
        A value is infinite.
    """
    if isinstance(X, pd.DataFrame):
        if not all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in X.dtypes):
            return None
        matrix = X.to_numpy(dtype=np.float64)
    elif type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind in "fiu":
        matrix = _to_float64(X)
    else:
        return None
    infinite = np.isinf(matrix)
    if infinite.any():
        column = infinite.any(axis=0).argmax()
        refuse_infinite(column_names(X)[column], matrix[:, column])
    return matrix


def column_names(X: Any) -> list[str | int]:
    """Return the names of a pandas frame's columns, or the positions of an array's."""
    if isinstance(X, pd.DataFrame):
        return [plain_name(name) for name in X.columns]
    return list(range(X.shape[1]))


def _to_float64(values: np.ndarray) -> np.ndarray:
    # A long double may not fit: it becomes infinity, which is then reported with its row.
    with np.errstate(over="ignore"):
        return values.astype(np.float64, copy=False)


def _shape(X: Any) -> tuple[int, ...]:
    shape = getattr(X, "shape", None)
    return tuple(shape) if shape is not None else (len(X), 0)


def _as_array(X: Any) -> np.ndarray:
    if isinstance(X, (str, bytes, Mapping)) or np.isscalar(X):
        raise TypeError(
            f"Expected a table, got {type(X).__name__!r}. Pass a pandas or Polars DataFrame, a 2-D "
            "array or a list of rows."
        )
    if hasattr(X, "toarray"):
        raise TypeError("Sparse data is not supported: pass X.toarray() or a data frame instead.")
    array = np.asarray(X)
    if np.ma.isMaskedArray(X):
        array = array.astype(object)
        array[np.ma.getmaskarray(X)] = None
    if array.ndim != 2:
        raise not_two_dimensional(array.shape)
    return array


def not_two_dimensional(shape: tuple[int, ...]) -> ValueError:
    """Make the error for an array that is not shaped like a table."""
    return ValueError(
        f"Expected 2D array, got {len(shape)}D array instead (shape={shape}). Reshape your data: "
        "array.reshape(-1, 1) for a single column, array.reshape(1, -1) for a single row; for a "
        "pandas Series use .to_frame()."
    )


def _read_array(name: str | int, values: np.ndarray) -> RawColumn:
    """Read one column from its numpy dtype."""
    kind = values.dtype.kind
    if kind in "fiu":
        numbers = _to_float64(values)
        refuse_infinite(name, numbers)
        return RawColumn(name, ColumnKind.NUMERIC, numbers)
    if kind == "b":
        return RawColumn(name, ColumnKind.BOOLEAN, boolean_keys(values))
    if kind == "M":
        return RawColumn(name, ColumnKind.DATETIME, read_instants(name, values))
    if kind == "m":
        return RawColumn(name, ColumnKind.NUMERIC, read_instants(name, values))
    if kind == "c":
        raise ValueError(f"Complex data not supported: {describe(name)}.")
    if kind == "V":
        raise TypeError(
            f"{describe(name)}: structured arrays are not supported, pass pandas.DataFrame(X)."
        )
    return read_objects(name, values.astype(object, copy=False))


def _read_rows(rows: list[Any] | tuple[Any, ...]) -> list[RawColumn]:
    """Read a list of rows; cell by cell, because ``np.array`` would turn bools into numbers."""
    for position, row in enumerate(rows):
        if isinstance(row, Mapping):
            raise TypeError(f"Row {position} is a mapping: pass pandas.DataFrame(X) instead.")
        if not isinstance(row, (list, tuple, np.ndarray, pd.Series)):
            raise ValueError(
                f"Expected 2D array, got 1D array instead: row {position} is a "
                f"{type(row).__name__!r}, not a list of cells. Reshape your data."
            )
        if len(row) != len(rows[0]):
            raise ValueError(f"Row {position} has {len(row)} cells, row 0 has {len(rows[0])}.")
    return [
        read_objects(position, object_array(cells, len(rows)))
        for position, cells in enumerate(zip(*rows, strict=True))
    ]


def _read_series(name: str | int, series: pd.Series) -> RawColumn:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return _read_pandas_category(name, series)
    with _extracting(name, series.dtype):
        values = _array_of_series(series)
    if _is_arrow_dictionary(series.dtype):
        return _read_pandas_category(name, pd.Series(pd.Categorical(values)))
    return _read_array(name, values)


def _array_of_series(series: pd.Series) -> np.ndarray:
    """Return a column as a numpy array, of a native dtype if one fits."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if isinstance(dtype, pd.DatetimeTZDtype):
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    if isinstance(dtype, pd.PeriodDtype):
        # Read as objects, so that a period out of range is reported with its row.
        with suppress(ValueError, OverflowError):
            return series.dt.to_timestamp(how="start").to_numpy()
    if isinstance(dtype, pd.SparseDtype):
        return np.asarray(series)
    if dtype.kind in "fiu" and not _is_arrow_dictionary(dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy(dtype=object)


def _is_arrow_dictionary(dtype: Any) -> bool:
    return isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("dictionary")


@contextmanager
def _extracting(name: str | int, dtype: Any) -> Iterator[None]:
    """Name the column that its library cannot turn into an array, whatever the error."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{describe(name)} of type {dtype} cannot be read ({shorten(str(error))}). Convert it "
            "to numbers, text or dates, or drop it."
        ) from error


def _read_pandas_category(name: str | int, series: pd.Series) -> RawColumn:
    """Read the few categories instead of the many cells."""
    categories = series.cat.categories.to_numpy(dtype=object)
    # The extra text keeps categories that are numbers or bools categorical, as the dtype says.
    keys = read_objects(name, object_array([*categories, ""], len(categories) + 1)).values.copy()
    keys[-1] = None  # code -1 is a missing cell
    codes = series.cat.codes.to_numpy()
    if (codes < 0).all():
        return RawColumn(name, ColumnKind.EMPTY, np.full(len(codes), np.nan))
    return RawColumn(name, ColumnKind.CATEGORICAL, keys[codes])


def _is_foreign_frame(X: Any) -> bool:
    return isinstance(
        nw.from_native(X, pass_through=True, allow_series=True),
        (nw.DataFrame, nw.LazyFrame, nw.Series),
    )


def _read_narwhals(X: Any) -> list[RawColumn]:
    frame = nw.from_native(X, pass_through=False, allow_series=True)
    if isinstance(frame, nw.LazyFrame):
        raise TypeError("A lazy frame holds no rows yet: call .collect() on it first.")
    if isinstance(frame, nw.Series):
        raise ValueError(
            "Expected 2D array, got 1D array instead: a Series. Reshape your data: use .to_frame()."
        )
    return [_read_narwhals_column(series.name, series) for series in frame.iter_columns()]


def _read_narwhals_column(name: str, series: nw.Series[Any]) -> RawColumn:
    with _extracting(name, series.dtype):
        values = _array_of_narwhals(series)
    return _read_array(name, values)


def _array_of_narwhals(series: nw.Series[Any]) -> np.ndarray:
    dtype = series.dtype
    if isinstance(dtype, (nw.Categorical, nw.Enum)):
        series = series.cast(nw.String())
    elif isinstance(dtype, (nw.Decimal, nw.Int128, nw.UInt128)):  # numpy has none of these
        series = series.cast(nw.Float64())
    elif not (dtype.is_numeric() or dtype in (nw.Boolean, nw.Datetime, nw.Duration, nw.Date)):
        return object_array(series.to_list(), len(series))
    return series.to_numpy()
