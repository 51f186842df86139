"""The rows of a study: table, photos, groups and target, checked once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.utils import check_consistent_length, column_or_1d

from tabimg.estimators.containers import as_container
from tabimg.estimators.inputs import (
    as_column_list,
    group_ids,
    is_frame,
    reject_paths_as_target,
    require_columns,
    take_apart,
)
from tabimg.evaluation.cells import fingerprint
from tabimg.evaluation.metrics import TASKS
from tabimg.image import RowImages
from tabimg.image.fingerprint import source_key
from tabimg.image.missing import look_for_files
from tabimg.image.row_names import RowNames
from tabimg.table import read_columns
from tabimg.training.splits import related_rows

# More distinct whole numbers than this may be classes or quantities: the user has to say.
MAX_OBVIOUS_CLASSES = 20


@dataclass(frozen=True, eq=False)
class StudyData:
    """Rows of a study; make it with `read_data`.

    Parameters
    ----------
    pairs : DataFrame of n_rows rows
        The table with its photo and group columns.
    target : ndarray of shape (n_rows,)
    task : {"classification", "regression"}
    image_columns : list of column labels
    group_column : column label or None
    groups : int array of shape (n_rows,)
        A row without a group is one of its own.
    """

    pairs: pd.DataFrame
    target: np.ndarray
    task: str
    image_columns: list[Hashable]
    group_column: Hashable | None
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def table(self) -> pd.DataFrame:
        """What methods see of a test row: neither photo nor group."""
        return take_apart(self.pairs, self.image_columns, self.group_column).table

    @cached_property
    def classes(self) -> np.ndarray | None:
        """Number of each row's class; None in regression."""
        if self.task == "regression":
            return None
        return np.unique(self.target, return_inverse=True)[1]

    @cached_property
    def pairs_fingerprint(self) -> str:
        """Digest of the table's cells, the photos' names and the groups."""
        columns = [(c.name, c.kind.value, c.values) for c in read_columns(self.table)]
        photos = [
            [_describe_cell(cell) for cell in self.pairs[name]] for name in self.image_columns
        ]
        return fingerprint(columns, _without_common_folder(photos), self.groups)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything, the target included."""
        target = self.target if self.task == "regression" else self.target.astype(str)
        return fingerprint(self.pairs_fingerprint, self.task, target)

    def with_shuffled_photos(self, rows: np.ndarray, seed: int) -> pd.DataFrame:
        """Copy the pairs; the photos of ``rows`` are dealt out among these rows at random."""
        shuffled = self.pairs.copy()
        dealt = np.random.default_rng(seed).permutation(rows)
        for name in self.image_columns:
            cells = self.pairs[name].to_numpy(dtype=object, copy=True)
            cells[rows] = cells[dealt]
            shuffled[name] = pd.Series(cells, index=shuffled.index, dtype=object)
        return shuffled

    def with_photo_vectors(self, rows: np.ndarray, vectors: np.ndarray | None) -> pd.DataFrame:
        """Copy the pairs with the photos of ``rows`` as vectors, and without any other photo.

        Parameters
        ----------
        rows : int array of shape (n,)
        vectors : array of shape (n, d), or None
            They go into the first photo column; rows of NaN have no photo. None gives no row one.
        """
        seen = self.pairs.copy()
        for name in self.image_columns:
            seen[name] = pd.Series([None] * len(seen), index=seen.index, dtype=object)
        if vectors is not None:
            cells = np.full(len(seen), None, dtype=object)
            for row, vector in zip(rows.tolist(), vectors, strict=True):
                cells[row] = None if np.isnan(vector).all() else vector
            seen[self.image_columns[0]] = pd.Series(cells, index=seen.index, dtype=object)
        return seen


def require_photo_files(data: StudyData, image_root: Any, on_bad_image: str) -> None:
    """Check that the photos of all rows are there, before anything is computed.

    Raises
    ------
    MissingImagesError
        As :func:`~tabimg.image.missing.look_for_files`, by the position in the user's table.
    """
    cells = [data.pairs[name].tolist() for name in data.image_columns]
    images = RowImages.from_cells(cells, image_root, RowNames.of(len(data), "X"))
    look_for_files(images, on_bad_image)


def describe_pairs(frame: Any) -> Any:
    """Describe further pairs, a frame or a mapping of cohorts, in plain values."""
    if isinstance(frame, Mapping):
        return {str(name): describe_pairs(part) for name, part in frame.items()}
    columns = [[_describe_cell(cell) for cell in frame[name]] for name in frame.columns]
    names = [str(name) for name in frame.columns]
    return dict(zip(names, _without_common_folder(columns), strict=True))


def read_data(
    X: Any,
    y: Any,
    image_column: Hashable | Sequence[Hashable],
    group_column: Hashable | None,
    task: str,
) -> StudyData:
    """Check what a study is given.

    Parameters
    ----------
    X : DataFrame
        Frames of other libraries than pandas are converted.
    y : array of shape (n_rows,)
    image_column : column label or list of labels
    group_column : column label or None
    task : {"auto", "classification", "regression"}

    Raises
    ------
    TypeError, ValueError
        For input that is no frame, columns that it lacks, a target with missing values or of
        another length, or one from which the task cannot be told.
    """
    X = as_container(X)
    if not is_frame(X):
        raise TypeError(f"X must be a DataFrame with the photo column, got {type(X).__name__}")
    pairs = X if isinstance(X, pd.DataFrame) else nw.from_native(X, eager_only=True).to_pandas()
    image_columns = as_column_list(image_column)
    if not image_columns:
        raise ValueError("image_column must name the column, or list the columns, with the photos")
    require_columns(pairs, image_columns, "image_column")
    if group_column is not None:
        require_columns(pairs, [group_column], "group_column")
    reject_paths_as_target(y)
    target = column_or_1d(np.asarray(y), warn=True)
    check_consistent_length(pairs, target)
    _reject_missing(target)
    if task not in ("auto", *TASKS):
        raise ValueError(f"task must be 'auto' or one of {TASKS}, got {task!r}")
    if task == "auto":
        task = _find_task(target)
    if task == "classification" and target.dtype.kind == "f" and (target != target.round()).any():
        raise ValueError(
            "task='classification' needs classes, and y holds numbers that are not whole: say "
            "task='regression', or cut y into classes"
        )
    if task == "regression":
        target = _as_numbers(target)
    inputs = take_apart(pairs, image_columns, group_column)
    groups = related_rows(group_ids([inputs]))
    _reject_target_among_features(inputs.table, target)
    _warn_of_shared_photos(inputs.image_cells or [], groups)
    return StudyData(
        pairs.reset_index(drop=True), target, task, image_columns, group_column, groups
    )


def _reject_missing(target: np.ndarray) -> None:
    missing = np.flatnonzero(pd.isna(target))
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(target)} rows have no target, the first is row {missing[0]}: "
            "leave them out of the study, in X and y"
        )


def _reject_target_among_features(table: pd.DataFrame, target: np.ndarray) -> None:
    for position, name in enumerate(table.columns):
        if np.array_equal(table.iloc[:, position].to_numpy(), target):
            raise ValueError(
                f"column {name!r} of X is the target itself: drop it, X.drop(columns={name!r})"
            )


def _warn_of_shared_photos(columns: list[Sequence[Any]], groups: np.ndarray) -> None:
    """Warn where a photo that is listed by several groups could stand on both sides of a split."""
    images = RowImages.from_cells(columns)
    listed = pd.DataFrame({"image": images.ids, "group": np.repeat(groups, images.counts)})
    n_shared = int((listed.groupby("image")["group"].nunique() > 1).sum())
    if n_shared:
        warnings.warn(
            f"{n_shared} photos are listed by several rows and may stand on both sides of a split; "
            "tabimg.evaluation.image_groups(X, image_column) gives a group_column that keeps them "
            "together",
            UserWarning,
            stacklevel=4,
        )


def _find_task(target: np.ndarray) -> str:
    if target.dtype.kind in "OUSb":
        return "classification"
    if (target != np.round(target)).any():
        return "regression"
    n_values = len(np.unique(target))
    if n_values > MAX_OBVIOUS_CLASSES:
        raise ValueError(
            f"y holds {n_values} different whole numbers: say whether they are classes or "
            "quantities, task='classification' or task='regression'"
        )
    return "classification"


def _as_numbers(target: np.ndarray) -> np.ndarray:
    try:
        numbers = target.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers for task='regression': {error}") from error
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise ValueError(f"y is infinite in row {row}")
    return numbers


def _describe_cell(cell: Any) -> Any:
    """Name what an image cell holds: a path, a digest of an image, or a vector."""
    if isinstance(cell, (list, tuple)):
        return [_describe_cell(item) for item in cell]
    if isinstance(cell, (bytes, bytearray, Image.Image)):
        return source_key(bytes(cell) if isinstance(cell, bytearray) else cell).hex()
    if isinstance(cell, (str, PurePath)):
        return str(cell)
    if isinstance(cell, np.ndarray) and cell.dtype == object:
        return [_describe_cell(item) for item in cell]
    return None if pd.api.types.is_scalar(cell) and pd.isna(cell) else cell


def _without_common_folder(names: Any) -> Any:
    """Cut the folder off that all absolute paths have in common: moved photos are the same."""
    folders = {os.path.dirname(name) for name in _strings_in(names) if os.path.isabs(name)}
    if not folders:
        return names
    common = os.path.commonpath(folders)

    def shorten(value: Any) -> Any:
        if isinstance(value, list):
            return [shorten(item) for item in value]
        is_path = isinstance(value, str) and os.path.isabs(value)
        return os.path.relpath(value, common) if is_path else value

    return shorten(names)


def _strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _strings_in(item)
    elif isinstance(value, str):
        yield value
