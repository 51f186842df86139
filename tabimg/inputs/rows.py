"""User input, split up once: the table, the photos, the groups, the cohorts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from tabimg.image import RowImages
from tabimg.image.cells import is_blank
from tabimg.image.row_names import RowNames
from tabimg.inputs.cohort_names import CohortColumn
from tabimg.inputs.containers import as_container, as_image_cells, cells_of
from tabimg.inputs.frames import as_column_list, column_values, is_frame, without_columns
from tabimg.inputs.image_roots import UNNAMED, image_root_of
from tabimg.messages import shorten
from tabimg.table.frames import not_two_dimensional


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one frame, or of one cohort in it, split up.

    Parameters
    ----------
    table : DataFrame or array of n_rows rows
        Without image, group and cohort columns.
    image_cells : list of sequences, or None
        One sequence of cells per image column; None if there is none.
    groups : object array of shape (n_rows,)
        Names of the groups; None for a row without one.
    row_names : RowNames
        What the rows are called in messages.
    places : int64 array of shape (n_rows,)
        Their positions in the user's input.
    cohort : str or int, default="table"
        The cohort that all of them belong to, if one was named.
    cohorts : CohortColumn or None, default=None
        What the frame itself says about each row.
    """

    table: Any
    image_cells: list[Sequence[Any]] | None
    groups: np.ndarray
    row_names: RowNames
    places: np.ndarray
    cohort: str | int = UNNAMED
    cohorts: CohortColumn | None = None

    def __len__(self) -> int:
        return len(self.places)

    @property
    def has_photos(self) -> bool:
        """Whether any image cell is not blank."""
        cells = (cell for column in self.image_cells or [] for cell in column)
        return any(not is_blank(cell) for cell in cells)

    def cohort_names(self) -> list[str | int]:
        """List the cohorts that the frame names, in the order of their first row."""
        return [] if self.cohorts is None else list(dict.fromkeys(self.cohorts.names().tolist()))

    def images(self, root: Any) -> RowImages:
        """Collect the photos; rows may have none.

        Parameters
        ----------
        root : path, None, or mapping of cohort name to path or None
            What relative paths start from.

        Raises
        ------
        ValueError
            If there are folders per cohort, but none for these rows, and paths are relative.
        """
        cells = self.image_cells or [[None] * len(self)]
        cohort = self.cohort
        if isinstance(root, Mapping) and self.cohorts is not None:
            names = self.cohort_names()
            cohort = names[0] if len(names) == 1 else UNNAMED
        return RowImages.from_cells(cells, image_root_of(root, cohort, cells), self.row_names)

    def take(self, index: np.ndarray) -> Rows:
        """Select the rows of an index array."""
        numbers = index.tolist()
        cells = self.image_cells
        return replace(
            self,
            table=_safe_indexing(self.table, numbers),
            image_cells=None
            if cells is None
            else [[column[row] for row in numbers] for column in cells],
            groups=self.groups[index],
            row_names=self.row_names.take(index),
            places=self.places[index],
            cohorts=None if self.cohorts is None else self.cohorts.take(numbers),
        )


def take_apart(
    X: Any,
    image_column: Hashable | Sequence[Hashable] | None,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None = None,
    frame: str = "X",
    cohort_column: Hashable | None = None,
) -> Rows:
    """Split off image, group and cohort columns; each may be absent.

    Parameters
    ----------
    X, image_column, group_column, image_paths, cohort_column
        As given to `fit`.
    frame : str, default="X"
        What messages call X.

    Raises
    ------
    ValueError
        If photos come both as a column and as ``image_paths``, or the lengths differ.
    TypeError
        If the frame is lazy, or a path.
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
    cohorts = None
    if cohort_column is not None and is_frame(X) and cohort_column in list(X.columns):
        cohorts = CohortColumn(cohort_column, column_values(X, cohort_column))
        extra.append(cohort_column)
    labels = X.index if isinstance(X, pd.DataFrame) else None
    row_names = RowNames.of(n_rows, frame, labels)
    table, places = without_columns(X, extra), np.arange(n_rows)
    return Rows(table, cells, groups, row_names, places, cohorts=cohorts)


def bare_images(cells: Sequence[Any], root: Any) -> RowImages:
    """Collect the photos of a bare sequence of image cells."""
    return RowImages.from_cells([cells_of(cells)], root, RowNames.of(len(cells), "X"))


def group_ids(parts: Sequence[Rows]) -> np.ndarray:
    """Number the groups over all parts, int64; each cohort has groups of its own.

    A row without a group gets -1.
    """
    groups = pd.factorize(np.concatenate([part.groups for part in parts]))[0]
    cohorts = pd.factorize(np.array([part.cohort for part in parts], dtype=object))[0]
    cohort = np.repeat(cohorts, [len(part) for part in parts])
    numbers, known = np.full(len(groups), -1, dtype=np.int64), groups >= 0
    numbers[known] = pd.factorize(cohort[known] * len(groups) + groups[known])[0]
    return numbers


def _as_array(rows: Any, name: str) -> Any:
    """Turn all but frames into arrays; sparse matrices are left for the checks to refuse."""
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
