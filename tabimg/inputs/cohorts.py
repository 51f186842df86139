"""What a user hands in, one frame or several, split by cohort."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from tabimg.image.row_names import RowNames
from tabimg.inputs.frames import column_values, is_frame, without_columns
from tabimg.inputs.rows import Inputs, take_apart
from tabimg.messages import shorten
from tabimg.table.columns import plain_name

# The name of rows whose cohort nobody named.
UNNAMED = "table"


@dataclass(frozen=True, eq=False)
class Cohort:
    """The rows of one cohort in what the user handed in.

    Parameters
    ----------
    name : str or int
    table : DataFrame or array of n_rows rows
    image_cells : list of sequences, or None
    groups : object array of shape (n_rows,)
    rows : int64 array of shape (n_rows,)
        Where they stood.
    row_names : RowNames
        What they are called in messages.
    """

    name: str | int
    table: Any
    image_cells: list[Sequence[Any]] | None
    groups: np.ndarray
    rows: np.ndarray
    row_names: RowNames


def holds_several(X: Any) -> bool:
    """Tell a mapping of frames from a frame; scipy has sparse matrices that are mappings too."""
    return isinstance(X, Mapping) and not issparse(X)


def split(
    X: Any,
    cohort_column: Hashable | None,
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None = None,
    frame: str = "X",
) -> list[Cohort]:
    """Split what the user handed in by cohort.

    Cohorts come in the order in which they first appear.

    Parameters
    ----------
    X : DataFrame, array, or mapping of cohort name to DataFrame
    cohort_column : column label or None
        Column with the cohorts' names; all rows are one cohort where a frame lacks it. A mapping
        names them itself.
    image_column, group_column, image_paths, frame
        As in `take_apart`.

    Raises
    ------
    ValueError, TypeError
        As `take_apart`; and if a row has no cohort, or a mapping is empty or holds no frames.
    """
    check_container(X)
    if holds_several(X):
        return _split_mapping(X, cohort_column, image_column, group_column, image_paths, frame)
    inputs = take_apart(X, image_column, group_column, image_paths, frame)
    n_rows = len(inputs.groups)
    if cohort_column is None or not is_frame(X) or cohort_column not in list(X.columns):
        rows = np.arange(n_rows)
        return [_cohort(UNNAMED, inputs.table, inputs, rows)]
    names = cohort_names(inputs.table, cohort_column)
    table = without_columns(inputs.table, [cohort_column])
    places, found = pd.factorize(names, sort=False)
    return [
        _rows_of(replace(inputs, table=table), name, places == place)
        for place, name in enumerate(found.tolist())
    ]


def check_container(X: Any) -> None:
    """Refuse what can hold no cohorts.

    Raises
    ------
    ValueError, TypeError
        If a mapping is empty, or frames come as a list.
    """
    if holds_several(X) and not X:
        raise ValueError("X is a mapping of cohorts without any cohort")
    if isinstance(X, (list, tuple)) and any(is_frame(part) for part in X):
        raise TypeError("X is a list of frames: give a mapping of cohort name to frame")


def _split_mapping(
    frames: Mapping[Any, Any],
    cohort_column: Hashable | None,
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None,
    whole: str,
) -> list[Cohort]:
    if image_paths is not None:
        raise ValueError("image_paths goes with one frame; a mapping's frames have image columns")
    cohorts: list[Cohort] = []
    start = 0
    for key, frame in frames.items():
        name = _plain(key)
        if name in [cohort.name for cohort in cohorts]:
            raise ValueError(f"two cohorts are named {shorten(name)}: rename one")
        if _is_nameless(key):
            raise ValueError(f"a cohort is named {shorten(key)}: give it a name")
        if not is_frame(frame):
            raise TypeError(
                f"cohort {shorten(name)} must be a DataFrame, got {type(frame).__name__}: the "
                "names of its columns say what they mean"
            )
        words = f"cohort {shorten(name)}" + ("" if whole == "X" else f" of {whole}")
        inputs = take_apart(frame, image_column, group_column, frame=words)
        rows = np.arange(start, start + len(inputs.groups))
        start += len(rows)
        # Frames that were cut out of one still have the column.
        has_column = cohort_column is not None and cohort_column in list(inputs.table.columns)
        if has_column:
            _check_named_alike(name, cohort_names(inputs.table, cohort_column))
        table = without_columns(inputs.table, [cohort_column] if has_column else [])
        cohorts.append(_cohort(name, table, inputs, rows))
    return cohorts


def _check_named_alike(name: str | int, names: np.ndarray) -> None:
    """Check that a frame's own column names the cohort as the mapping does."""
    other = [each for each in dict.fromkeys(names.tolist()) if each != name]
    if other:
        raise ValueError(
            f"the frame of cohort {shorten(name)} calls its rows {shorten(other[0])}: rename one"
        )


def _rows_of(inputs: Inputs, name: Any, mask: np.ndarray) -> Cohort:
    rows = np.flatnonzero(mask).tolist()
    cells = inputs.image_cells
    if cells is not None:
        cells = [[column[row] for row in rows] for column in cells]
    table = _safe_indexing(inputs.table, rows)
    places = np.array(rows)
    names = inputs.row_names.take(places)
    return Cohort(_plain(name), table, cells, inputs.groups[rows], places, names)


def _cohort(name: str | int, table: Any, inputs: Inputs, rows: np.ndarray) -> Cohort:
    """Make a cohort of all rows of a frame that was taken apart."""
    return Cohort(name, table, inputs.image_cells, inputs.groups, rows, inputs.row_names)


def index_of(X: Any) -> pd.Index | None:
    """Give the index of the rows of a mapping's pandas frames; None of anything else."""
    if not holds_several(X) or not all(isinstance(frame, pd.DataFrame) for frame in X.values()):
        return None
    first, *others = (frame.index for frame in X.values())
    return first.append(others)


def cohort_names(table: Any, cohort_column: Hashable) -> np.ndarray:
    """Name the cohort of each row of a frame, str or int, object (n_rows,).

    Raises
    ------
    ValueError
        If a row has none.
    """
    values = column_values(table, cohort_column)
    missing = [row for row, name in enumerate(values) if _is_nameless(name)]
    if missing:
        raise ValueError(
            f"{len(missing)} rows have no cohort in column {shorten(cohort_column)}, the first is "
            f"row {missing[0]}: name it, or leave these rows out"
        )
    names = np.empty(len(values), dtype=object)
    names[:] = [_plain(name) for name in values]
    return names


def _is_nameless(name: Any) -> bool:
    is_missing = pd.api.types.is_scalar(name) and bool(pd.isna(name))
    return is_missing or (isinstance(name, str) and not name.strip())


def _plain(name: Any) -> str | int:
    """Name a cohort as a saved state can hold it; whole numbers are one name in any dtype."""
    if isinstance(name, (float, np.floating)) and float(name).is_integer():
        return int(name)
    return plain_name(name)
