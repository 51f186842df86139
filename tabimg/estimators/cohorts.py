"""From frames of one or several cohorts to the tables, photos and groups of each."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight

from tabimg.estimators.hints import warn_of_odd_columns
from tabimg.estimators.inputs import (
    Inputs,
    Unlabeled,
    as_column_list,
    check_fit_rows,
    check_table,
    is_frame,
    require_columns,
    take_apart,
    without_columns,
)
from tabimg.estimators.material import Material
from tabimg.image import RowImages
from tabimg.table import read_columns

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
    """

    name: str | int
    table: Any
    image_cells: list[Sequence[Any]] | None
    groups: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class CohortTables:
    """Tables by cohort; as `Material.table`."""

    names: list[str | int]
    tables: list[Any]


def holds_several(X: Any) -> bool:
    """Tell a mapping of frames from a frame; scipy has sparse matrices that are mappings too."""
    return isinstance(X, Mapping) and not issparse(X)


def split(
    X: Any,
    cohort_column: Hashable | None,
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None = None,
) -> list[Cohort]:
    """Split what the user handed in by cohort.

    Parameters
    ----------
    X : DataFrame, array, or mapping of cohort name to DataFrame
    cohort_column : column label or None
        Column with the cohorts' names; all rows are one cohort where a frame lacks it.
    image_column, group_column, image_paths
        As in `take_apart`.

    Raises
    ------
    ValueError, TypeError
        As `take_apart`; and if a row has no cohort, or a mapping is empty or holds no frames.
    """
    if holds_several(X):
        return _split_mapping(X, image_column, group_column, image_paths)
    inputs = take_apart(X, image_column, group_column, image_paths)
    n_rows = len(inputs.groups)
    if cohort_column is None or not is_frame(X) or cohort_column not in list(X.columns):
        rows = np.arange(n_rows)
        return [Cohort(UNNAMED, inputs.table, inputs.image_cells, inputs.groups, rows)]
    names = _cohort_names(inputs.table, cohort_column)
    table = without_columns(inputs.table, [cohort_column])
    places, found = pd.factorize(names, sort=False)
    return [
        _rows_of(Inputs(table, inputs.image_cells, inputs.groups), name, places == place)
        for place, name in enumerate(found.tolist())
    ]


def gather_cohorts(
    pretrainer: Any,
    X: Any,
    sample_weight: Any,
    image_paths: Sequence[Any] | None,
    unlabeled: Unlabeled | None,
    *,
    reset: bool,
) -> Material:
    """Check the input of a pretrainer's fit, and put the rows of each cohort below each other."""
    special = (pretrainer.cohort_column, pretrainer.image_column, pretrainer.group_column)
    _require_special(pretrainer, X, image_paths)
    cohorts = split(X, *special, image_paths)
    _note_features(pretrainer, X, cohorts, reset=reset)
    n_rows = sum(len(cohort.rows) for cohort in cohorts)
    weight = _check_sample_weight(sample_weight, np.zeros(n_rows), ensure_non_negative=True)
    parts = [(cohort, weight[cohort.rows]) for cohort in cohorts]
    if unlabeled is not None:
        if not isinstance(unlabeled, Unlabeled):
            raise TypeError(
                f"unlabeled must be tabimg.Unlabeled(frame), got {type(unlabeled).__name__}"
            )
        further = split(unlabeled.frame, *special, unlabeled.image_paths)
        parts += [(cohort, np.ones(len(cohort.rows))) for cohort in further]
    by_name: dict[str | int, list[tuple[Cohort, np.ndarray]]] = {}
    for cohort, weights in parts:
        by_name.setdefault(cohort.name, []).append((cohort, weights))
    tables = [
        _present(_stacked(name, [cohort.table for cohort, _ in same]), len(by_name) > 1)
        for name, same in by_name.items()
    ]
    for table in tables:
        warn_of_odd_columns(table)
    ordered = [part for same in by_name.values() for part in same]
    weight = np.concatenate([weights for _, weights in ordered]).astype(np.float32)
    check_fit_rows(pretrainer, int((weight > 0).sum()))
    return Material(
        CohortTables(list(by_name), tables),
        _images(pretrainer, [cohort for cohort, _ in ordered]),
        group_numbers([cohort for cohort, _ in ordered]),
        weight,
    )


def group_numbers(cohorts: Sequence[Cohort]) -> np.ndarray:
    """Number the groups, int64, -1 for a row without one; each cohort has groups of its own."""
    names = np.concatenate([_qualified(cohort) for cohort in cohorts])
    return pd.factorize(names)[0].astype(np.int64)


def image_root_of(pretrainer: Any, name: str | int) -> str | Path | None:
    """Give the folder that relative paths of a cohort's photos start from."""
    root = pretrainer.image_root
    return root.get(name) if isinstance(root, Mapping) else root


def row_images(pretrainer: Any, cohort: Cohort) -> RowImages:
    """Collect the photos of a cohort; it may have none."""
    cells = cohort.image_cells or [[None] * len(cohort.rows)]
    return RowImages.from_cells(cells, root=image_root_of(pretrainer, cohort.name))


def _split_mapping(
    frames: Mapping[Any, Any],
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None,
) -> list[Cohort]:
    if not frames:
        raise ValueError("X is a mapping of cohorts without any cohort")
    if image_paths is not None:
        raise ValueError("image_paths goes with one frame; a mapping's frames have image columns")
    cohorts, start = [], 0
    for name, frame in frames.items():
        if not is_frame(frame):
            raise TypeError(
                f"cohort {name!r} must be a DataFrame, got {type(frame).__name__}: the names of "
                "its columns say what they mean"
            )
        inputs = take_apart(frame, image_column, group_column)
        rows = np.arange(start, start + len(inputs.groups))
        start += len(rows)
        cohorts.append(Cohort(_plain(name), inputs.table, inputs.image_cells, inputs.groups, rows))
    return cohorts


def _rows_of(inputs: Inputs, name: Any, mask: np.ndarray) -> Cohort:
    rows = np.flatnonzero(mask).tolist()
    cells = inputs.image_cells
    if cells is not None:
        cells = [[column[row] for row in rows] for column in cells]
    table = _safe_indexing(inputs.table, rows)
    return Cohort(_plain(name), table, cells, inputs.groups[rows], np.array(rows))


def _present(table: Any, several: bool) -> Any:
    """Leave out the columns that a cohort among several lacks: those without any cell."""
    if not several or not is_frame(table):
        return table
    absent = [column.name for column in read_columns(table) if column.all_missing()]
    if len(absent) == table.shape[1]:
        return table
    return without_columns(table, [name for name in table.columns if name in absent])


def _cohort_names(table: Any, cohort_column: Hashable) -> np.ndarray:
    names = np.array(table[cohort_column].to_list(), dtype=object)
    missing = np.flatnonzero(pd.isna(names))
    if len(missing):
        raise ValueError(
            f"{len(missing)} rows have no cohort in column {cohort_column!r}, the first is row "
            f"{missing[0]}: name it, or leave these rows out"
        )
    return names


def _plain(name: Any) -> str | int:
    return int(name) if isinstance(name, (int, np.integer)) else str(name)


def _require_special(pretrainer: Any, X: Any, image_paths: Sequence[Any] | None) -> None:
    """Check that declared columns are there; of several frames each may lack photos or groups."""
    if holds_several(X):
        columns = {name for frame in X.values() if is_frame(frame) for name in frame.columns}
        for name in as_column_list(pretrainer.image_column):
            if name not in columns:
                raise ValueError(f"image_column={name!r} is not a column of any cohort")
        return
    if image_paths is None:
        require_columns(X, as_column_list(pretrainer.image_column), "image_column")
    if pretrainer.group_column is not None:
        require_columns(X, [pretrainer.group_column], "group_column")
    if pretrainer.cohort_column is not None:
        require_columns(X, [pretrainer.cohort_column], "cohort_column")


def _note_features(pretrainer: Any, X: Any, cohorts: Sequence[Cohort], *, reset: bool) -> None:
    """Set, or check, what scikit-learn knows of the columns: all that any cohort has."""
    if not holds_several(X):
        special = [pretrainer.cohort_column]
        table = take_apart(X, pretrainer.image_column, pretrainer.group_column).table
        own = [n for n in special if is_frame(table) and n in list(table.columns)]
        check_table(pretrainer, without_columns(table, own), reset=reset)
        return
    names = list(dict.fromkeys(name for cohort in cohorts for name in cohort.table.columns))
    # A frame without rows knows the names and nothing else.
    check_table(pretrainer, pd.DataFrame(np.zeros((1, len(names))), columns=names), reset=reset)


def _stacked(name: str | int, tables: list[Any]) -> Any:
    """Put tables of one cohort below each other; columns that one of them lacks are missing."""
    if len(tables) == 1:
        return tables[0]
    if not all(isinstance(table, pd.DataFrame) for table in tables):
        if any(is_frame(table) for table in tables):
            tables = [_as_pandas(table) for table in tables]
        else:
            return np.concatenate(tables)
    kinds = [{c.name: c.kind for c in read_columns(table)} for table in tables]
    for column in kinds[0].keys() & kinds[1].keys():
        if kinds[0][column] != kinds[1][column]:
            raise ValueError(
                f"cohort {name!r}: column {column!r} is {kinds[0][column].value} in X and "
                f"{kinds[1][column].value} in the unlabeled rows"
            )
    return pd.concat(tables, ignore_index=True)


def _as_pandas(table: Any) -> pd.DataFrame:
    return table if isinstance(table, pd.DataFrame) else table.to_pandas()


def _qualified(cohort: Cohort) -> np.ndarray:
    names = np.full(len(cohort.groups), None, dtype=object)
    for row, group in enumerate(cohort.groups):
        if group is not None and not pd.isna(group):
            names[row] = f"{cohort.name!r}/{group!r}"
    return names


def _images(pretrainer: Any, cohorts: Sequence[Cohort]) -> RowImages | None:
    """Collect the photos; None where none are wanted or fewer than two rows have one."""
    wanted = pretrainer.lambda_itc + pretrainer.lambda_itm > 0
    if not wanted or all(cohort.image_cells is None for cohort in cohorts):
        return None
    images = RowImages.concat([row_images(pretrainer, cohort) for cohort in cohorts])
    if images.has_image.sum() >= 2:
        return images
    warnings.warn(
        "fewer than two rows have a photo: only masked cells are restored",
        UserWarning,
        stacklevel=5,
    )
    return None
