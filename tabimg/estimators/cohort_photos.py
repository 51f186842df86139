"""The photos of cohorts, each with a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tabimg.estimators.cohorts import Cohort, holds_several, split
from tabimg.estimators.inputs import as_column_list, is_frame, require_columns
from tabimg.image import RowImages


def row_images(pretrainer: Any, cohort: Cohort) -> RowImages:
    """Collect the photos of a cohort; it may have none."""
    cells = cohort.image_cells or [[None] * len(cohort.rows)]
    return RowImages.from_cells(cells, root=image_root_of(pretrainer, cohort.name, cells))


def image_root_of(
    pretrainer: Any, name: str | int, cells: Sequence[Sequence[Any]]
) -> str | Path | None:
    """Give the folder that relative paths of a cohort's photos start from.

    Raises
    ------
    ValueError
        If there is one for each cohort but this, and ``cells`` hold relative paths.
    """
    root = pretrainer.image_root
    if not isinstance(root, Mapping) or name in root:
        return root[name] if isinstance(root, Mapping) else root
    if any(_is_relative(cell) for column in cells for cell in column):
        raise ValueError(
            f"image_root names no folder for cohort {name!r}, only for {list(root)}, and its "
            "photos have relative paths: add it, or give absolute paths"
        )
    return None


def images_of(pretrainer: Any, X: Any, image_paths: Sequence[Any] | None = None) -> RowImages:
    """Collect the photos of what the user handed in, in the order of its rows."""
    column = pretrainer.cohort_column
    cohorts = split(X, column, pretrainer.image_column, pretrainer.group_column, image_paths)
    images = RowImages.concat([row_images(pretrainer, cohort) for cohort in cohorts])
    return images.take(np.argsort(np.concatenate([cohort.rows for cohort in cohorts])))


def require_image_columns(pretrainer: Any, X: Any) -> None:
    """Check that the image columns are there; of several frames each may lack them."""
    wanted = as_column_list(pretrainer.image_column)
    if not holds_several(X):
        require_columns(X, wanted, "image_column")
        return
    columns = {name for frame in X.values() if is_frame(frame) for name in frame.columns}
    for name in wanted:
        if name not in columns:
            raise ValueError(f"image_column={name!r} is not a column of any cohort")


def _is_relative(cell: Any) -> bool:
    if isinstance(cell, (list, tuple)):
        return any(_is_relative(each) for each in cell)
    return isinstance(cell, (str, Path)) and bool(str(cell)) and not os.path.isabs(cell)
