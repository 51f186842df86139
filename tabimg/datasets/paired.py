"""`load_paired`: your own table and the folder of its photos."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from tabimg.datasets.checks import check_choice, check_folder
from tabimg.datasets.column_roles import (
    as_labels,
    check_roles,
    likely_photo_columns,
    photo_label,
)
from tabimg.datasets.missing_photos import N_NAMED, tell_missing
from tabimg.datasets.photo_matching import find_paths, is_empty, list_photos, match_stems
from tabimg.datasets.table_file import read_frame
from tabimg.messages import listing, warn


def load_paired(
    table: Any,
    image_root: str | os.PathLike[str],
    *,
    target: Any = None,
    image_column: Any = None,
    key_column: Any = None,
    group_column: Any = None,
    on_missing: str = "raise",
    on_unused: str = "warn",
    return_X_y: bool = False,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load a table and pair its rows with the photos of a folder.

    The table is read once, the folder is listed once, and no photo is opened. Mismatches are
    reported at once, not in the middle of training.

    Parameters
    ----------
    table : str, path-like, or pandas, Polars or pyarrow frame
        A ``.csv`` or ``.tsv`` file (also compressed), or a ``.parquet``, ``.arrow`` or ``.feather``
        file, which needs pyarrow. If options are needed, such as another separator or the parsing
        of dates, read the file with pandas and pass the frame.
    image_root : str or path-like
        The folder of photos.
    target : column label, default=None
        The column to predict.
    image_column : column label or list of labels, default=None
        Columns of paths, relative to ``image_root`` or absolute. An empty cell means no photo.
    key_column : column label, default=None
        In place of ``image_column``: a photo's name without its suffix, such as ``"0042"`` for
        ``0042.jpg`` in ``image_root`` or anywhere below. With two header levels the new column is
        ``("photo", "")``.
    group_column : column label, default=None
        Rows of one group belong together, such as the visits of one patient.
    on_missing : {"raise", "drop", "empty"}, default="raise"
        What to do with rows whose photo does not exist: raise an error that names the first ones,
        leave the rows out, or keep them without that photo.
    on_unused : {"warn", "raise", "ignore"}, default="warn"
        What to do about photos that no row names.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - ``frame``: DataFrame with the columns in their order, photos as absolute paths or None,
          the target last. ``key_column`` is replaced by ``photo``.
        - ``data``: ``frame`` without the target
        - ``target``: Series, or None
        - ``groups``: int64 (n,), equal within a group; a row without one is its own group; or None
        - ``row_keys``: Series, the column of keys; or None
        - ``missing_photos``: DataFrame of what was not found: ``row`` (position in the table, from
          0), ``column``, ``photo`` (the cell)
        - ``unused_photos``: list of str, photos that no row names, relative to ``image_root``
        - ``feature_names``, ``image_column``, ``group_column``, ``image_dir``
    (data, target) : tuple
        With ``return_X_y``.

    Raises
    ------
    FileNotFoundError
        If the table, ``image_root`` or, with ``on_missing="raise"``, a photo does not exist.
    ImportError
        If pyarrow is needed and not installed; the message says how to install it.
    TypeError, ValueError
        If a column does not exist or has two roles, an image cell is not a path, a key matches
        several photos, no row has a photo or none is left, or, with ``on_unused="raise"``, a photo
        has no row.

    Warns
    -----
    UserWarning
        If there are photos that no row names, with ``on_unused="warn"``; the message lists further
        columns that seem to name photos.

    Examples
    --------
    >>> from tabimg import MTCMTMClassifier, MultiModalPretrainer
    >>> from tabimg.datasets import load_paired
    >>> cars = load_paired("cars.csv", "photos", target="model", image_column="photo")
    ... # doctest: +SKIP
    >>> pretrainer = MultiModalPretrainer(image_column=cars.image_column)  # doctest: +SKIP
    >>> MTCMTMClassifier(pretrainer).fit(cars.data, cars.target)  # doctest: +SKIP
    """
    root = check_folder("image_root", image_root)
    check_choice("on_missing", on_missing, ("raise", "drop", "empty"))
    check_choice("on_unused", on_unused, ("warn", "raise", "ignore"))
    if (image_column is None) == (key_column is None):
        raise ValueError("Give either image_column= or key_column=: it says which photo is whose.")
    if return_X_y and target is None:
        raise ValueError("return_X_y needs a target=.")
    naming = as_labels(image_column if key_column is None else key_column)
    frame = read_frame(table, text_columns=naming)
    made = None if key_column is None else photo_label(frame)
    check_roles(frame, [*naming, target, group_column], made)

    photos = list_photos(root)
    if key_column is None:
        paths = {name: find_paths(frame[name], root, photos) for name in naming}
    else:
        paths = {made: match_stems(frame[key_column], photos)}
    missing = _list_missing(frame, naming, paths)
    if len(missing):
        told = tell_missing(missing, len(frame), root, photos, key_column is not None)
        if on_missing == "raise":
            raise FileNotFoundError(told)
    if all(path is None for column in paths.values() for path in column):
        empty = f"every cell of {listing(naming)} is empty."
        raise ValueError(f"No row has a photo: {told if len(missing) else empty}")
    declared = [*naming, target, group_column]
    unused = _list_unused(photos, paths, root)
    _report_unused(unused, len(photos), on_unused, likely_photo_columns(frame, declared))

    paired = frame.copy(deep=False)
    for name, column in paths.items():
        paired[name] = pd.Series(column, index=frame.index, dtype=object)
    if on_missing == "drop":
        paired = paired[~np.isin(np.arange(len(frame)), missing["row"])]
        if paired.empty:
            raise ValueError(f"on_missing='drop' leaves no row: {told}")
    keys = None if key_column is None else paired[key_column]
    y = None if target is None else paired[target]
    paired, whole = _without(paired, [key_column, target]), _without(paired, [key_column])
    if return_X_y:
        return paired, y
    return Bunch(
        frame=whole if target is None else _with_last(whole, target),
        data=paired,
        target=y,
        groups=None if group_column is None else _number_groups(paired[group_column]),
        row_keys=keys,
        missing_photos=missing,
        unused_photos=unused,
        feature_names=[c for c in paired if c not in paths and c != group_column],
        image_column=image_column if key_column is None else made,
        group_column=group_column,
        image_dir=str(root),
    )


def _without(frame: pd.DataFrame, names: Sequence[Any]) -> pd.DataFrame:
    """Leave columns out by comparing labels, which works with any number of header levels."""
    return frame.loc[:, [name not in names for name in frame.columns]]


def _with_last(frame: pd.DataFrame, last: Any) -> pd.DataFrame:
    """Move one column behind the others."""
    order = np.argsort([name == last for name in frame.columns], kind="stable")
    return frame.iloc[:, order]


def _list_missing(
    frame: pd.DataFrame, naming: Sequence[Any], paths: Mapping[Any, Sequence[str | None]]
) -> pd.DataFrame:
    """List the names without a file, row by row."""
    missing = [
        (row, name, cell)
        for name, column in zip(naming, paths.values(), strict=True)
        for row, (cell, path) in enumerate(zip(frame[name], column, strict=True))
        if path is None and not is_empty(cell)
    ]
    return pd.DataFrame(missing, columns=["row", "column", "photo"]).sort_values(
        "row", kind="stable", ignore_index=True
    )


def _list_unused(
    photos: Sequence[str], paths: Mapping[Any, Sequence[str | None]], root: Path
) -> list[str]:
    used = {path for column in paths.values() for path in column}
    return [os.path.relpath(path, root) for path in photos if path not in used]


def _report_unused(unused: list[str], n_photos: int, on_unused: str, likely: list[Any]) -> None:
    if not unused or on_unused == "ignore":
        return
    hint = "If that is intended, set on_unused='ignore'."
    if likely:
        hint = (
            f"The columns {listing(likely)} look like photos too: list them in image_column=, or "
            f"drop them; now they are features. {hint}"
        )
    message = (
        f"{len(unused)} of {n_photos} photos in image_root are named by no row. The first: "
        f"{listing(unused, N_NAMED)}. {hint}"
    )
    if on_unused == "raise":
        raise ValueError(message)
    warn(message)


def _number_groups(column: pd.Series) -> np.ndarray:
    """Number the groups; a row without one is its own group."""
    numbers, names = pd.factorize(column)
    alone = numbers < 0
    numbers[alone] = len(names) + np.arange(alone.sum())
    return numbers.astype(np.int64)
