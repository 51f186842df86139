"""Rows and photos on both sides of a split, found by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tabimg.evaluation.foundation import (
    ImageSource,
    RefusedImage,
    Rows,
    as_column_list,
    as_container,
    describe_source,
    group_ids,
    is_frame,
    look_for_files,
    open_regular,
    related_rows,
    require_columns,
    source_key,
    stack_known_columns,
    take_apart,
    without_columns,
)
from tabimg.image import RowImages
from tabimg.messages import listing
from tabimg.table import read_columns

SHOWN = 10
# Names of the two frames in messages: the arguments of a report.
FRAMES = ("pretraining", "test")


@dataclass(frozen=True, eq=False)
class LeakageReport:
    """What two frames have in common.

    Attributes
    ----------
    rows : DataFrame
        One line per test row whose cells all equal those of a pre-training row:
        ``test_row``, ``pretraining_row`` (the first of them) and ``n_pretraining_rows``.
    images : DataFrame
        One line per image of a test row that a pre-training row also lists: ``test_row``,
        ``test_image``, ``pretraining_row``, ``pretraining_image`` and ``n_pretraining_rows``.
    n_pretraining, n_test : int
        Numbers of rows compared.
    compares_images : bool
        Whether images were compared, because both frames have an image column.

    Notes
    -----
    Row numbers are positions, from 0.
    """

    rows: pd.DataFrame
    images: pd.DataFrame
    n_pretraining: int
    n_test: int
    compares_images: bool

    @property
    def is_clean(self) -> bool:
        """Whether nothing is shared."""
        return self.rows.empty and self.images.empty

    def __str__(self) -> str:
        compared = f"{self.n_test} test rows against {self.n_pretraining} pre-training rows"
        if self.is_clean:
            if not self.compares_images:
                return (
                    f"No shared rows: {compared}. Images were not compared: image_column names "
                    "no column of both frames."
                )
            return f"No shared rows or images: {compared}."
        parts = [f"Leakage, {compared}:"]
        for name, frame in (("rows", self.rows), ("images", self.images)):
            if not frame.empty:
                affected = frame["test_row"].nunique()
                parts.append(f"{affected} test rows share {name} with pre-training rows")
                parts.append(frame.head(SHOWN).to_string(index=False))
                if len(frame) > SHOWN:
                    parts.append(f"... and {len(frame) - SHOWN} more in .{name}")
        parts.append("Split by group: image_groups(X, image_column) gives groups for GroupKFold.")
        return "\n".join(parts)


def leakage_report(
    pretraining: Any,
    test: Any,
    *,
    image_column: Hashable | Sequence[Hashable] | None = None,
    image_root: str | Path | None = None,
    group_column: Hashable | None = None,
) -> LeakageReport:
    """Find rows and images of a test frame that pre-training has seen.

    Parameters
    ----------
    pretraining : DataFrame
        The rows that a pretrainer was, or will be, fitted on.
    test : DataFrame
        From the same library. Columns that only one of the two frames has, such as a target, are
        not compared.
    image_column : column label, list of labels or None, default=None
        Photos are compared if both frames have one of these columns; the report says whether.
    image_root : str or Path, default=None
        Folder that relative paths start from.
    group_column : column label, default=None
        Not compared, since it is not a feature.

    Returns
    -------
    LeakageReport

    Raises
    ------
    ValueError
        If the frames have no column in common, not even photos, or are from different libraries,
        an image or group column is in neither, or an image file cannot be read; names row and file.
        Files that do not exist are counted before the first is read (``MissingImagesError``, also a
        FileNotFoundError).

    Notes
    -----
    Rows are equal if all their cells are; a missing cell equals a missing cell. Images are equal if
    their files are, byte for byte: a photo that was saved again, cropped or scaled is not found.
    Every file is read once.

    Examples
    --------
    >>> import pandas as pd
    >>> from tabimg.evaluation import leakage_report
    >>> seen = pd.DataFrame({"width": [1.0, 2.0], "colour": ["red", "blue"]})
    >>> new = pd.DataFrame({"width": [2.0, 3.0], "colour": ["blue", "blue"]})
    >>> leakage_report(seen, new).rows
       test_row  pretraining_row  n_pretraining_rows
    0         0                1                   1
    """
    frames = [as_container(*each) for each in zip((pretraining, test), FRAMES, strict=True)]
    parts = [
        _take_apart(frame, image_column, group_column, name)
        for frame, name in zip(frames, FRAMES, strict=True)
    ]
    for name, columns in (("image_column", image_column), ("group_column", group_column)):
        _require_somewhere(frames, as_column_list(columns), name)
    n_pretraining = len(parts[0])
    compares_images = all(part.image_cells for part in parts)
    n_test = len(parts[1])
    if compares_images and not _common_columns(*(part.table for part in parts)):
        keys = np.arange(n_pretraining + n_test)  # only photos: no row equals another
    else:
        keys = _row_keys(_common_table(parts[0].table, parts[1].table))
    rows = _shared_rows(keys[:n_pretraining], keys[n_pretraining:])
    pretraining_images, test_images = (_images_of(part, image_root) for part in parts)
    images = _shared_images(pretraining_images, test_images)
    return LeakageReport(rows, images, n_pretraining, n_test, compares_images)


def image_groups(
    X: Any,
    image_column: Hashable | Sequence[Hashable],
    *,
    image_root: str | Path | None = None,
    group_column: Hashable | None = None,
) -> np.ndarray:
    """Number the rows so that related rows get the same number.

    Parameters
    ----------
    X : DataFrame
    image_column : column label or list of labels
    image_root : str or Path, default=None
        Folder that relative paths start from.
    group_column : column label, default=None
        Rows of one declared group are related too.

    Returns
    -------
    int array of shape (n_rows,)
        ``groups`` for `sklearn.model_selection.GroupKFold`, or a ``group_column``. Two rows get the
        same number if they list an image with the same content, or have the same cells in all other
        columns, directly or through further rows.

    Raises
    ------
    ValueError
        If a column is missing, or an image file cannot be read; names row and file. Files that do
        not exist are counted before the first is read (``MissingImagesError``, also a
        FileNotFoundError).

    Examples
    --------
    >>> import pandas as pd
    >>> from tabimg.evaluation import image_groups
    >>> frame = pd.DataFrame({"width": [1.0, 2.0, 3.0], "photo": [b"front", b"side", b"front"]})
    >>> image_groups(frame, "photo")
    array([0, 1, 0])
    """
    X = as_container(X)
    require_columns(X, as_column_list(image_column), "image_column")
    if group_column is not None:
        require_columns(X, [group_column], "group_column")
    inputs = _take_apart(X, image_column, group_column, "X")
    n_rows = len(inputs)
    images = _images_of(inputs, image_root)
    # One item per row and one per image that it lists: related items mean related rows.
    row = np.concatenate([np.arange(n_rows), np.repeat(np.arange(n_rows), images.counts)])
    content = np.concatenate([np.full(n_rows, -1), _content_ids(images)])
    has_features = inputs.table.shape[1] > 0
    keys = _row_keys(inputs.table)[row] if has_features else None
    labels = related_rows(row, content, keys, group_ids([inputs])[row])
    return pd.factorize(labels[:n_rows])[0]


def _take_apart(X: Any, image_column: Any, group_column: Hashable | None, frame: str) -> Rows:
    if not is_frame(X):
        raise TypeError(f"{frame}: a DataFrame is needed, got {type(X).__name__}")
    return take_apart(X, image_column, group_column, frame=frame)


def _images_of(rows: Rows, root: str | Path | None) -> RowImages:
    """Collect the images of rows, and look for their files before any is read."""
    images = rows.images(root)
    look_for_files(images, None)
    return images


def _require_somewhere(frames: Sequence[Any], columns: Sequence[Hashable], name: str) -> None:
    """Check that each column is in at least one of the frames."""
    for column in columns:
        if not any(column in list(frame.columns) for frame in frames):
            require_columns(frames[0], [column], name, FRAMES[0])


def _common_columns(first: Any, second: Any) -> list[Hashable]:
    return [name for name in first.columns if name in list(second.columns)]


def _common_table(first: Any, second: Any) -> Any:
    """Stack the columns that both tables have."""
    common = _common_columns(first, second)
    if not common:
        raise ValueError(
            f"the frames have no column in common: [{listing(first.columns)}] and "
            f"[{listing(second.columns)}]"
        )
    surplus = [name for name in first.columns if name not in common]
    return stack_known_columns(without_columns(first, surplus), second, FRAMES)


def _row_keys(table: Any) -> np.ndarray:
    """Number the distinct rows of a table, by all their cells; int64 (n_rows,)."""
    codes = {
        position: pd.factorize(column.values)[0]
        for position, column in enumerate(read_columns(table))
    }
    return pd.DataFrame(codes).groupby(list(codes), sort=False).ngroup().to_numpy()


def _shared_rows(pretraining: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """List the test rows whose key is among those of pre-training."""
    tested = pd.DataFrame({"test_row": np.arange(len(test)), "key": test})
    seen = pd.DataFrame({"pretraining_row": np.arange(len(pretraining)), "key": pretraining})
    return _shared(tested, seen)


def _shared_images(pretraining: RowImages, test: RowImages) -> pd.DataFrame:
    """List the images of test rows that pre-training rows also list."""
    tested, seen = (
        pd.DataFrame(
            {
                f"{name}_row": np.repeat(np.arange(len(images)), images.counts),
                f"{name}_image": _image_names(images),
                "key": _content_keys(images),
            }
        )
        for name, images in (("test", test), ("pretraining", pretraining))
    )
    return _shared(tested, seen)


def _shared(tested: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Join on "key": each line of the first frame with its first partner, and their number."""
    partners = seen.drop_duplicates("key").set_index("key")
    partners["n_pretraining_rows"] = seen.groupby("key")["pretraining_row"].nunique()
    # pandas before 2.2 returns the rows of an inner join in the order of the keys.
    joined = tested.merge(partners, left_on="key", right_index=True).sort_index()
    return joined.drop(columns="key").reset_index(drop=True)


def _content_ids(images: RowImages) -> np.ndarray:
    """Number the images by content, one number per listed image."""
    return pd.factorize(_content_keys(images))[0]


def _content_keys(images: RowImages) -> np.ndarray:
    """Return a key of the content of each listed image; object array."""
    key_of = np.full(images.n_sources, None, dtype=object)
    for image in np.unique(images.ids).tolist():
        if images.vectors is not None:
            key_of[image] = images.vectors[image].tobytes()
        else:
            key_of[image] = _content_key(images.sources[image], images, image)
    return key_of[images.ids]


def _content_key(source: ImageSource, images: RowImages, image: int) -> bytes:
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    if not isinstance(source, (str, Path)):
        return source_key(source)  # of a PIL image: its pixels
    try:
        with open_regular(str(source)) as file:
            return hashlib.sha256(file.read()).digest()
    except (OSError, RefusedImage) as error:
        raise ValueError(
            f"{images.describe_rows(images.rows_of(image).tolist())}: cannot read the image file "
            f"{describe_source(source)} ({getattr(error, 'strerror', error)}). Give a row without "
            "a photo an empty cell (None)"
        ) from error


def _image_names(images: RowImages) -> list[str]:
    if images.vectors is not None:
        return ["an embedding vector"] * len(images.ids)
    return [_name(images.sources[image]) for image in images.ids.tolist()]


def _name(source: ImageSource) -> str:
    return str(source) if isinstance(source, (str, Path)) else describe_source(source)
