"""`check_data`: columns, missing cells, photos and suspected leaks, in seconds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tabimg.evaluation.check.checked import DataCheck
from tabimg.evaluation.check.leaks import suspected_leaks
from tabimg.evaluation.check.photos import SIZE, PhotoCheck, look_at_photos
from tabimg.evaluation.data import photo_numbers, read_data, read_target
from tabimg.evaluation.foundation import (
    as_column_list,
    as_container,
    as_target,
    group_ids,
    missing_cells,
    related_rows,
    require_columns,
    take_apart,
    warn_of_codes,
    warn_of_odd_columns,
)
from tabimg.evaluation.leakage import LOOKS, near_equal_photos, warn_of_doubles
from tabimg.table import RawColumn, TableCodec, read_columns


def check_data(
    X: Any,
    y: Any = None,
    *,
    image_column: Hashable | Sequence[Hashable] | None = None,
    image_root: str | Path | None = None,
    group_column: Hashable | None = None,
    categorical_features: Sequence[Hashable] = (),
    task: str = "auto",
    n_jobs: int | None = None,
) -> DataCheck:
    """Look at a table and its photos before anything is trained.

    Every photo is decoded once, small; a thousand take a few seconds.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table, with its photo column and without the target.
    y : array of shape (n_rows,), default=None
        The target; cells may be missing.
    image_column : column label, list of labels or None, default=None
        The photos; cells as in `MultiModalPretrainer`. Missing files are counted, not refused.
    image_root : str or Path, default=None
        Folder that relative paths start from.
    group_column : column label, default=None
        Rows of one group belong together. It is not a feature.
    categorical_features : sequence of column labels, default=()
        Columns of numbers that are known to be categories.
    task : {"auto", "classification", "regression"}, default="auto"
    n_jobs : int, default=None
        Threads that decode photos; -1 means all processors.

    Returns
    -------
    DataCheck
        It prints as a report. Its ``notes`` tell of columns that look like something else, of rows
        and photos that occur twice, and of columns that alone say nearly everything about the
        target.

    Raises
    ------
    TypeError, ValueError
        For input that is not a frame, columns that do not exist, or a target that cannot be one.

    Examples
    --------
    >>> from tabimg.datasets import make_membranes
    >>> from tabimg.evaluation import check_data
    >>> data = make_membranes(n_samples=60, image_size=32, random_state=0)
    >>> found = check_data(data.data, data.target, image_column="photo")
    >>> found.task, found.n_with_photo, found.n_doubled, len(found.unreadable)
    ('regression', 60, 0, 0)
    """
    X = as_container(X)
    images = as_column_list(image_column)
    require_columns(X, images, "image_column")
    if group_column is not None:
        require_columns(X, [group_column], "group_column")
    rows = take_apart(X, images or None, group_column)
    columns = read_columns(rows.table)
    groups = related_rows(group_ids([rows]))
    heard = _Heard()
    heard(warn_of_odd_columns, rows.table)
    heard(warn_of_codes, rows.table, list(categorical_features))
    heard(TableCodec().fit, rows.table, list(categorical_features))
    photos = PhotoCheck.nothing()
    if images:
        photos = look_at_photos(rows.images(image_root), len(rows), n_jobs)
    if photos.n_with_photo:
        cells = rows.image_cells or []
        numbers, _ = photo_numbers(cells, SIZE, root=image_root, on_bad_image="skip", n_jobs=n_jobs)
        heard(warn_of_doubles, near_equal_photos(numbers, groups), LOOKS, columns)
    found_task, n_classes, n_without_target = None, None, 0
    leaks = pd.DataFrame(columns=["column", "score"])
    if y is not None:
        values = np.asarray(as_target(y))
        known = ~missing_cells("y", values)
        n_without_target = int((~known).sum())
        target, found_task = read_target(values[known], task)
        if images:  # looks for rows and photos that occur twice, too
            heard(read_data, _rows_of(X, known), target, images, group_column, found_task)
        if found_task == "classification":
            n_classes = len(np.unique(target))
        labelled = take_apart(_rows_of(X, known), images or None, group_column)
        leaks = suspected_leaks(
            read_columns(labelled.table), target, found_task, related_rows(group_ids([labelled]))
        )
    return DataCheck(
        n_rows=len(rows),
        columns=_describe(columns, categorical_features),
        task=found_task,
        n_without_target=n_without_target,
        n_classes=n_classes,
        n_with_photo=photos.n_with_photo,
        unreadable=photos.unreadable,
        n_missing=photos.n_missing,
        n_doubled=photos.n_doubled,
        leaks=leaks,
        notes=[*heard.notes, *_leaks_in_words(leaks)],
    )


class _Heard:
    """Calls functions, and collects what they warn of."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = function(*arguments)
        messages = [str(warning.message) for warning in caught]
        self.notes += [message for message in messages if message not in self.notes]
        return found


def _rows_of(X: Any, keep: np.ndarray) -> Any:
    frame = X if isinstance(X, pd.DataFrame) else X.to_pandas()
    return frame[keep]


def _describe(columns: Sequence[RawColumn], categorical: Sequence[Hashable]) -> pd.DataFrame:
    described = [
        {
            "column": column.name,
            "kind": "categorical" if column.name in categorical else column.kind.value,
            "missing": int(column.missing().sum()),
            "distinct": int(pd.Series(column.values).nunique()),
        }
        for column in columns
    ]
    return pd.DataFrame(described, columns=["column", "kind", "missing", "distinct"])


def _leaks_in_words(leaks: pd.DataFrame) -> list[str]:
    return [
        f"column {name!r} alone says {100 * score:.0f} % about the target: is it known when "
        "predictions are made? If not, drop it"
        for name, score in zip(leaks["column"], leaks["score"], strict=True)
    ]
