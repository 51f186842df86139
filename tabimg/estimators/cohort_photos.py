"""The photos of cohorts, each with a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from tabimg.image import RowImages
from tabimg.image.cells import is_address, is_blank
from tabimg.inputs.cohorts import UNNAMED, Cohort, holds_several, split
from tabimg.inputs.frames import as_column_list, is_frame, require_columns
from tabimg.messages import listing, shorten


def row_images(pretrainer: Any, cohort: Cohort) -> RowImages:
    """Collect the photos of a cohort; it may have none."""
    cells = cohort.image_cells or [[None] * len(cohort.rows)]
    root = image_root_of(pretrainer, cohort.name, cells)
    return RowImages.from_cells(cells, root, cohort.row_names)


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
        if name == UNNAMED:
            raise ValueError(
                "the photos have relative paths, image_root has a folder for each cohort, "
                f"[{listing(root)}], and nothing says which one these rows are: name it in a "
                "column, with cohort_column=, or give absolute paths, or leave the photos out"
            )
        raise ValueError(
            f"image_root names no folder for cohort {shorten(name)}, only for [{listing(root)}], "
            "and its photos have relative paths: add it, or give absolute paths"
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
    for name in wanted:
        require_in_some(X, name, "image_column")


def require_in_some(frames: Mapping[Any, Any], name: Hashable, parameter: str) -> None:
    """Check that a declared column is there in one of several frames, if there are any."""
    columns = [c for frame in frames.values() if is_frame(frame) for c in frame.columns]
    if columns and name not in columns:
        raise ValueError(
            f"{parameter}={shorten(name)} is not a column of any cohort: "
            f"[{listing(dict.fromkeys(columns))}]"
        )


def _is_relative(cell: Any) -> bool:
    if isinstance(cell, (list, tuple)):
        return any(_is_relative(each) for each in cell)
    if is_blank(cell) or not isinstance(cell, (str, PurePath)):
        return False
    return not os.path.isabs(cell) and not is_address(str(cell))
