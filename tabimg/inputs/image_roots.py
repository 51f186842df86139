"""The folder that relative paths of photos start from: one for all, or one per cohort."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from tabimg.image.cells import is_address, is_blank
from tabimg.messages import listing, shorten

# The cohort of rows for which none was named.
UNNAMED = "table"


def image_root_of(
    root: Any, cohort: str | int, cells: Sequence[Sequence[Any]]
) -> str | Path | None:
    """Return the folder that relative paths of a cohort's photos start from.

    Parameters
    ----------
    root : path, None, or mapping of cohort name to path or None
    cohort : str or int
    cells : sequence of sequences of image cells

    Raises
    ------
    ValueError
        If there are folders per cohort, but none for this one, and ``cells`` hold relative paths.
    """
    if not isinstance(root, Mapping):
        return root
    if cohort in root:
        return root[cohort]
    if any(_is_relative(cell) for column in cells for cell in column):
        if cohort == UNNAMED:
            raise ValueError(
                "the photos have relative paths, image_root has a folder for each cohort, "
                f"[{listing(root)}], and nothing says which one these rows are: name it in a "
                "column, with cohort_column=, or give absolute paths, or leave the photos out"
            )
        raise ValueError(
            f"image_root names no folder for cohort {shorten(cohort)}, only for [{listing(root)}], "
            "and its photos have relative paths: add it, or give absolute paths"
        )
    return None


def _is_relative(cell: Any) -> bool:
    if isinstance(cell, (list, tuple)):
        return any(_is_relative(each) for each in cell)
    if is_blank(cell) or not isinstance(cell, (str, PurePath)):
        return False
    return not os.path.isabs(cell) and not is_address(str(cell))
