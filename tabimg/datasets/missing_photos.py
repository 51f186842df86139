"""The message if rows name photos that do not exist: the first ones, and what was meant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tabimg.datasets.near_names import is_address, plain
from tabimg.datasets.photo_matching import as_stem, photo_stem
from tabimg.messages import shorten

N_NAMED = 3
N_PROBED = 200
# No path is longer.
LONGEST = 4096


def tell_missing(
    missing: pd.DataFrame, n_rows: int, root: Path, photos: Sequence[str], by_key: bool
) -> str:
    """Write the message about missing photos.

    Parameters
    ----------
    missing : DataFrame
        Columns ``row``, ``column`` and ``photo``, at least one row.
    n_rows : int
        Of the table.
    root : Path
    photos : sequence of str
        The files below ``root``, absolute.
    by_key : bool
        Whether cells are names without suffix, not paths.

    Returns
    -------
    str
        Of bounded length, whatever the cells hold.
    """
    near = _NearPhotos(root, photos)
    first = "; ".join(
        f"row {row}, column {shorten(column)}: {shorten(cell)}{near.to(cell)}"
        for row, column, cell in missing.head(N_NAMED).itertuples(index=False)
    )
    hint = _explain(missing["photo"].head(N_PROBED).tolist(), root, photos, by_key)
    return (
        f"{missing['row'].nunique()} of {n_rows} rows name photos that are not in "
        f"{shorten(str(root))}. The first: {first}.{hint} Correct the names or image_root, or go "
        "on with on_missing='drop' (without these rows) or 'empty' (without their photos)."
    )


class _NearPhotos:
    """Photos by their names, ignoring case, Unicode form, folder, suffix and zeros."""

    def __init__(self, root: Path, photos: Sequence[str]) -> None:
        self._root = root
        self._by_reading: dict[str, str] = {}
        for path in photos:
            relative = os.path.relpath(path, root)
            stem = plain(photo_stem(path))
            for reading in (plain(relative), plain(os.path.basename(path)), stem, _no_zeros(stem)):
                self._by_reading.setdefault(reading, relative)

    def to(self, cell: Any) -> str:
        """Show the photo with a name similar to a cell, in parentheses; empty if there is none."""
        text = os.fspath(cell) if isinstance(cell, os.PathLike) else as_stem(cell)
        name = plain(text[:LONGEST])
        base = os.path.basename(name)
        stem = os.path.splitext(base)[0]
        for reading in (name, base, stem, _no_zeros(stem)):
            if reading in self._by_reading:
                return f" (there is {shorten(self._by_reading[reading])})"
        return ""


def _explain(cells: Sequence[Any], root: Path, photos: Sequence[str], by_key: bool) -> str:
    """Guess the common cause; the text starts with a blank."""
    if not photos:
        return f" There is no photo at all below {shorten(str(root))}."
    texts = [os.fspath(cell) for cell in cells if isinstance(cell, (str, os.PathLike))]
    if any(map(is_address, texts)):
        return " Web addresses are not files: download the photos first."
    known = set(photos)
    if by_key:
        full = sum(os.path.normpath(os.path.join(root, text)) in known for text in texts)
        return " The keys are file names with their suffix: give image_column=." if full else ""
    relative = [text for text in texts if not os.path.isabs(text)]
    tails = [os.path.join(root, text.partition("/")[2]) for text in relative if "/" in text]
    n_found = sum(os.path.normpath(tail) in known for tail in tails)
    if n_found:
        folder = relative[0].partition("/")[0]
        return (
            f" {n_found} of the first {len(texts)} are found without the folder "
            f"{shorten(folder)} in front"
            + (
                f", which image_root ends in already: image_root={str(root.parent)!r}."
                if folder == root.name
                else "."
            )
        )
    for other in (str(root.parent), *_folders_of(photos)):
        n_found = sum(os.path.isfile(os.path.join(other, text)) for text in relative)
        if n_found:
            return (
                f" {n_found} of the first {len(texts)} are found from another folder: "
                f"image_root={shorten(other)}."
            )
    return ""


def _folders_of(photos: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(os.path.dirname(path) for path in photos[:N_PROBED]))[:N_NAMED]


def _no_zeros(stem: str) -> str:
    return stem.lstrip("0")
