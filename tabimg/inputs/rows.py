"""What a user hands in, taken apart: the table, the image cells, the groups."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.validation import _num_samples

from tabimg.image.cells import is_blank
from tabimg.image.row_names import RowNames
from tabimg.inputs.containers import as_container, as_image_cells
from tabimg.inputs.frames import as_column_list, column_values, is_frame, without_columns
from tabimg.messages import shorten
from tabimg.table.frames import not_two_dimensional


@dataclass(frozen=True)
class Inputs:
    """A frame taken apart.

    Parameters
    ----------
    table : DataFrame or array
        Without image and group columns.
    image_cells : list of sequences, or None
        One sequence of cells per image column; None where there is none.
    groups : object array of shape (n_rows,)
        Names of the groups; None for a row without one.
    row_names : RowNames
        What the rows are called in messages.
    """

    table: Any
    image_cells: list[Sequence[Any]] | None
    groups: np.ndarray
    row_names: RowNames

    @property
    def has_photos(self) -> bool:
        """Whether there is an image cell that is not blank."""
        cells = (cell for column in self.image_cells or [] for cell in column)
        return any(not is_blank(cell) for cell in cells)


def take_apart(
    X: Any,
    image_column: Hashable | Sequence[Hashable] | None,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None = None,
    frame: str = "X",
) -> Inputs:
    """Split image and group columns off; either may be absent.

    Parameters
    ----------
    X, image_column, group_column, image_paths
        As given to `fit`.
    frame : str, default="X"
        What X is called in messages.

    Raises
    ------
    ValueError
        If photos come both as a column and as ``image_paths``, or the lengths differ.
    TypeError
        If the frame is a lazy one, or the path of a file.
    """
    X = as_container(X, frame)
    if not is_frame(X):
        X = _as_array(X, frame)
    image_columns = as_column_list(image_column)
    present = [c for c in image_columns if is_frame(X) and c in list(X.columns)]
    if present and image_paths is not None:
        raise ValueError(
            f"photos are given twice: in the column {shorten(present[0])} and as image_paths; give "
            "one"
        )
    cells: list[Sequence[Any]] | None = None
    if present:
        cells = [column_values(X, name) for name in present]
    elif image_paths is not None:
        cells = [as_image_cells(X, image_paths) or []]
    n_rows = _num_samples(X)
    groups = np.full(n_rows, None, dtype=object)
    extra = list(present)
    if group_column is not None and is_frame(X) and group_column in list(X.columns):
        groups[:] = column_values(X, group_column)
        extra.append(group_column)
    labels = X.index if isinstance(X, pd.DataFrame) else None
    row_names = RowNames.of(n_rows, frame, labels)
    return Inputs(without_columns(X, extra), cells, groups, row_names)


def group_ids(parts: Sequence[Inputs]) -> np.ndarray:
    """Number the groups over all parts; -1 for a row without one; int64 array."""
    names = np.concatenate([part.groups for part in parts])
    return pd.factorize(names)[0].astype(np.int64)


def _as_array(rows: Any, name: str) -> Any:
    """Make an array of what is no frame; sparse matrices are left for the checks to refuse."""
    if issparse(rows):
        return rows
    if isinstance(rows, Mapping):
        raise TypeError(
            f"{name} is a {type(rows).__name__}, and it takes a frame or an array of rows: pass "
            "pandas.DataFrame(X)"
        )
    array = np.asarray(rows)
    if array.ndim == 0:
        raise TypeError(
            f"Expected 2D array, got scalar array instead: {name} is {shorten(rows)}, and it takes "
            "a frame or an array of rows"
        )
    if array.ndim == 1:
        raise not_two_dimensional(array.shape)
    if array.dtype.kind == "c" and array.size:
        raise ValueError(
            f"Complex data not supported: {name} holds complex numbers, such as "
            f"{shorten(array.flat[0])} in row 0. Give their real part, or another number"
        )
    if array.dtype.kind in "US" and not isinstance(rows, np.ndarray):
        # numpy turns the numbers of a mixed list into strings; keep every cell as it is.
        return np.asarray(rows, dtype=object)
    return array
