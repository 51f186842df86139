"""The rows of a study: table, photos, groups and target, checked once."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.utils import check_consistent_length

from tabimg.evaluation.data.study_target import read_target
from tabimg.evaluation.fingerprints import fingerprint
from tabimg.evaluation.foundation import (
    RowNames,
    as_column_list,
    as_container,
    group_ids,
    look_for_files,
    related_rows,
    require_columns,
    source_key,
    take_apart,
)
from tabimg.evaluation.leakage import warn_of_related_rows
from tabimg.image import RowImages
from tabimg.messages import shorten, warn
from tabimg.table import ColumnKind, RawColumn, read_columns


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
        A row without a group is its own group.
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
        """What methods see of test rows: neither photo nor group."""
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
        """Digest of everything, including the target."""
        target = self.target if self.task == "regression" else self.target.astype(str)
        return fingerprint(self.pairs_fingerprint, self.task, target)

    def with_shuffled_photos(self, rows: np.ndarray, seed: int) -> pd.DataFrame:
        """Copy the pairs, with the photos of ``rows`` shuffled among these rows."""
        shuffled = self.pairs.copy()
        dealt = np.random.default_rng(seed).permutation(rows)
        for name in self.image_columns:
            cells = self.pairs[name].to_numpy(dtype=object, copy=True)
            cells[rows] = cells[dealt]
            shuffled[name] = pd.Series(cells, index=shuffled.index, dtype=object)
        return shuffled

    def with_groups(self, table: pd.DataFrame) -> pd.DataFrame:
        """Copy a table with the group column, if there is one."""
        if self.group_column is None:
            return table
        table = table.copy(deep=False)
        table[self.group_column] = self.pairs[self.group_column]
        return table

    def with_photo_vectors(self, rows: np.ndarray, vectors: np.ndarray | None) -> pd.DataFrame:
        """Copy the pairs with the photos of ``rows`` as vectors, and no other photos.

        Parameters
        ----------
        rows : int array of shape (n,)
        vectors : array of shape (n, d), or None
            They go into the first photo column; rows of NaN have no photo. With None no row has.
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
    """Check that the photos of all rows exist, before anything is computed.

    Raises
    ------
    MissingImagesError
        As :func:`~tabimg.image.missing.look_for_files`; names positions in the user's table.
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
    """Check the input of a study.

    Parameters
    ----------
    X : DataFrame
        Frames of other libraries than pandas are converted.
    y : array-like of shape (n_rows,)
        As in `read_target`.
    image_column : column label or list of labels
    group_column : column label or None
    task : {"auto", "classification", "regression"}

    Raises
    ------
    TypeError, ValueError
        For input that is not a frame, columns that are missing, duplicated or hold cells that are
        not scalars, a target of another length, or what `read_target` refuses.
    """
    pairs = _as_pandas(X)
    _reject_repeated_columns(pairs)
    image_columns = as_column_list(image_column)
    if not image_columns:
        raise ValueError("image_column must name the column, or list the columns, with the photos")
    require_columns(pairs, image_columns, "image_column")
    if group_column is not None:
        require_columns(pairs, [group_column], "group_column")
    target, task = read_target(y, task)
    check_consistent_length(pairs, target)
    inputs = take_apart(pairs, image_columns, group_column)
    names = list(inputs.table.columns)
    columns = read_columns(inputs.table) if names else []
    groups = related_rows(group_ids([inputs]))
    (goal,) = read_columns(pd.DataFrame({"y": target}))
    _reject_target_among_features(names, columns, goal)
    _warn_of_shared_photos(inputs.image_cells or [], groups)
    warn_of_related_rows(columns, goal, groups)
    pairs = _with_plain_objects(pairs, names, columns).reset_index(drop=True)
    return StudyData(pairs, target, task, image_columns, group_column, groups)


def _as_pandas(X: Any) -> pd.DataFrame:
    """Return the frame as a pandas frame."""
    if isinstance(X, pd.DataFrame):
        return X
    frame = nw.from_native(as_container(X), pass_through=True, eager_only=True)
    if not isinstance(frame, nw.DataFrame):
        raise TypeError(f"X must be a DataFrame with the photo column, got {type(X).__name__}")
    return frame.to_pandas()


def _reject_repeated_columns(pairs: pd.DataFrame) -> None:
    twice = pairs.columns[pairs.columns.duplicated()]
    if len(twice):
        raise ValueError(f"X has more than one column named {shorten(twice[0])}: rename one")


def _with_plain_objects(
    pairs: pd.DataFrame, names: Sequence[Hashable], columns: Sequence[RawColumn]
) -> pd.DataFrame:
    """Convert each column of Python objects to one type, so that any part of its rows shows it.

    A column of numbers and texts is categorical as a whole, but the rows of a fold may hold only
    its numbers.
    """
    typed = {}
    for name, column in zip(names, columns, strict=True):
        if pairs[name].dtype != object:
            continue
        if column.kind is ColumnKind.NUMERIC:
            typed[name] = column.values
        elif column.kind is ColumnKind.CATEGORICAL:
            cells = pairs[name].to_numpy(dtype=object, copy=True)
            observed = ~column.missing()
            cells[observed] = column.values[observed]
            typed[name] = cells
    plain = pairs.copy(deep=False)
    for name, cells in typed.items():
        plain[name] = pd.Series(cells, index=pairs.index, dtype=cells.dtype)
    return plain


def _reject_target_among_features(
    names: Sequence[Hashable], columns: Sequence[RawColumn], target: RawColumn
) -> None:
    for name, column in zip(names, columns, strict=True):
        if column.kind is target.kind and np.array_equal(column.values, target.values):
            raise ValueError(
                f"column {shorten(name)} of X is the target itself: drop it, "
                f"X.drop(columns={shorten(name)})"
            )


def _warn_of_shared_photos(columns: list[Sequence[Any]], groups: np.ndarray) -> None:
    """Warn if a photo listed by several groups could be on both sides of a split."""
    images = RowImages.from_cells(columns)
    listed = pd.DataFrame({"image": images.ids, "group": np.repeat(groups, images.counts)})
    n_shared = int((listed.groupby("image")["group"].nunique() > 1).sum())
    if n_shared:
        warn(
            f"{n_shared} photos are listed by several rows and may be on both sides of a split; "
            "tabimg.evaluation.image_groups(X, image_column) gives a group_column that keeps them "
            "together"
        )


def _describe_cell(cell: Any) -> Any:
    """Describe an image cell: a path, a digest of an image, or a vector."""
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
    """Remove the common folder of all absolute paths: moved photos count as the same."""
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
