"""Which file of a folder is the photo of which row; no file is opened."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from tabimg.messages import shorten

# The longest first: "scan.nii.gz" has the stem "scan".
PHOTO_SUFFIXES = (
    ".nii.gz", ".avif", ".heic", ".heif", ".jfif", ".jpeg", ".tiff", ".webp", ".bmp", ".dcm",
    ".gif", ".jp2", ".jpg", ".nii", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif",
)  # fmt: skip

# What str() turns missing cells into, as in a column after astype(str).
MISSING_TEXTS = frozenset({"nan", "NaN", "None", "<NA>", "NaT"})


def list_photos(root: Path) -> list[str]:
    """List the image files in a folder and its subfolders, by suffix; hidden ones are left out.

    Returns
    -------
    list of str
        Absolute paths, sorted.
    """
    photos = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        photos += [
            os.path.join(folder, name)
            for name in names
            if name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith(".")
        ]
    return sorted(photos)


def find_paths(cells: Iterable[Any], root: Path, photos: Sequence[str]) -> list[str | None]:
    """Find the photos that cells name by path, relative to ``root`` or absolute.

    Parameters
    ----------
    cells : iterable of str or path-like
        One per row; may be empty.
    root : Path
        Absolute folder.
    photos : sequence of str
        What `list_photos` found; only paths that are not among these are looked up.

    Returns
    -------
    list of str or None
        Absolute paths; None if the cell is empty or there is no such file.

    Raises
    ------
    TypeError
        If a cell is not a path; names the row.
    """
    listed = set(photos)
    found: list[str | None] = []
    for row, cell in enumerate(cells):
        path = None if is_empty(cell) else _absolute_path(row, cell, root)
        is_there = path is not None and (path in listed or os.path.isfile(path))
        found.append(path if is_there else None)
    return found


def _absolute_path(row: int, cell: Any, root: Path) -> str:
    if not isinstance(cell, (str, os.PathLike)):
        raise TypeError(
            f"row {row}: a photo is named by its path, not by {shorten(cell)} of type "
            f"{type(cell).__name__}. To match a column with the names of files, use key_column=."
        )
    return os.path.normpath(os.path.join(root, cell))


def match_stems(keys: Iterable[Any], photos: Sequence[str]) -> list[str | None]:
    """Find the photos whose names without suffix are the rows' keys.

    Parameters
    ----------
    keys : iterable of str or int
        One per row; may be empty.
    photos : sequence of str
        What `list_photos` found.

    Returns
    -------
    list of str or None
        Paths from ``photos``; None if the key is empty or no photo has that name.

    Raises
    ------
    ValueError
        If several photos have the name; names the row and two of them.
    """
    by_stem = defaultdict(list)
    for path in photos:
        by_stem[photo_stem(path)].append(path)
    return [
        None if is_empty(key) else _only_photo(row, by_stem.get(as_stem(key), []))
        for row, key in enumerate(keys)
    ]


def _only_photo(row: int, found: list[str]) -> str | None:
    if len(found) > 1:
        raise ValueError(
            f"row {row}: its key is the name of {len(found)} photos, among them "
            f"{shorten(found[0])} and {shorten(found[1])}. Give a narrower image_root, or a column "
            "of paths as image_column=."
        )
    return found[0] if found else None


def as_stem(key: Any) -> str:
    """Write a key as the name of a photo without its suffix."""
    # A column of whole numbers with gaps arrives as floats.
    if isinstance(key, Integral) or (isinstance(key, float) and key.is_integer()):
        return str(int(key))
    return str(key)


def photo_stem(path: str) -> str:
    """Return the name of a photo without its suffix; ``path`` is one that `list_photos` found."""
    name = os.path.basename(path)
    suffix = next(suffix for suffix in PHOTO_SUFFIXES if name.lower().endswith(suffix))
    return name[: -len(suffix)]


def is_empty(cell: Any) -> bool:
    """Return whether a cell names no photo: None, NaN, blank text, or what `str` makes of these."""
    if isinstance(cell, str):
        return not cell.strip() or cell.strip() in MISSING_TEXTS
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))
