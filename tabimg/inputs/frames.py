"""Frames and arrays: columns by name, selected, dropped, required."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from tabimg.inputs.containers import cells_of
from tabimg.messages import listing, shorten

HEAD_ROWS = 100
MOST_COLUMNS = 20


def is_frame(X: Any) -> bool:
    """Return whether a container is a frame with named columns, not an array.

    Raises
    ------
    TypeError
        If it is a lazy frame: asking for its columns may mean computing it.
    """
    if hasattr(type(X), "collect") and isinstance(
        nw.from_native(X, pass_through=True), nw.LazyFrame
    ):
        raise TypeError(
            f"X is a lazy frame ({type(X).__module__}), which holds no rows yet: collect it first, "
            "X.collect()"
        )
    return hasattr(X, "columns") and not isinstance(X, pd.Series)


def column_names(table: Any) -> list[Any]:
    """List a frame's column labels, or an array's positions."""
    return list(table.columns) if is_frame(table) else list(range(np.shape(table)[1]))


def as_column_list(columns: Any) -> list[Hashable]:
    """Make a list of an ``image_column=`` parameter: None, one column, or several."""
    if isinstance(columns, np.ndarray):
        return np.atleast_1d(columns).tolist()
    if isinstance(columns, list):
        return columns
    if hasattr(columns, "to_list") or hasattr(columns, "to_pylist"):  # a Series, Index or column
        return cells_of(columns)
    # A tuple is a label: that of a column with several header levels.
    return [] if columns is None else [columns]


def column_values(X: Any, name: Hashable) -> list[Any]:
    """List the cells of a column; raise a ValueError if two columns have its name."""
    column = X[name]
    if getattr(column, "ndim", 1) != 1:
        raise ValueError(f"the frame has more than one column named {shorten(name)}")
    return cells_of(column)


def without_columns(X: Any, names: Sequence[Hashable]) -> Any:
    """Drop columns of a frame; an array has no named columns to drop."""
    if not names or not is_frame(X):
        return X
    if isinstance(X, pd.DataFrame):
        return X.drop(columns=list(names))
    return nw.from_native(X).drop(*names).to_native()


def require_columns(X: Any, columns: Sequence[Hashable], parameter: str, frame: str = "X") -> None:
    """Check that declared columns are in the frame, which messages call ``frame``.

    Raises
    ------
    ValueError
        Naming the parameter, the missing column and the nearest existing ones.
    """
    if not is_frame(X):
        if columns:
            raise ValueError(
                f"{parameter}={shorten(columns[0])} names a column, but {frame} is a bare "
                f"{type(X).__name__}: give a DataFrame, or the photos as fit(X, image_paths=...)"
            )
        return
    names = list(X.columns)
    for column in columns:
        if column not in names:
            raise ValueError(
                f"{parameter}={shorten(column)} is not a column of {frame}; its columns are "
                f"{listing(names, MOST_COLUMNS)}.{_meant(column, names)}"
            )


def _meant(column: Hashable, names: Sequence[Hashable]) -> str:
    """Guess which columns a wrong label stands for."""
    if isinstance(column, tuple) and all(part in names for part in column):
        return f" A tuple is one label: several columns are a list, [{listing(column)}]."
    # With several header levels a label is a tuple.
    near: list[Hashable] = [name for name in names if isinstance(name, tuple) and column in name]
    near = near or list(difflib.get_close_matches(str(column), [str(n) for n in names], n=3))
    return f" Did you mean {' or '.join(map(shorten, near[:3]))}?" if near else ""
