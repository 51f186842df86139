"""Which column of a table names the photos of a folder, found by the files that are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tabimg.datasets.checks import check_folder
from tabimg.datasets.column_roles import likely_photo_columns
from tabimg.datasets.photo_matching import as_stem, find_paths, is_empty, list_photos, photo_stem
from tabimg.datasets.table_file import READ_IT_YOURSELF, read_csv, read_frame, separator_of
from tabimg.messages import listing, shorten

# A column of keys names a photo in this share of its cells, and is different in as many rows.
MOSTLY = 0.5


@dataclass(frozen=True)
class Pairing:
    """How the rows of a table belong to the photos of a folder; arguments of `load_paired`.

    Parameters
    ----------
    image_root : str
        The folder that the cells' paths start from.
    image_column : list of column labels, or None
        Columns of paths.
    key_column : column label or None
        The column of names without suffix, if there is no column of paths.
    n_found : int
        Rows that name a photo which exists.
    """

    image_root: str
    image_column: list[Any] | None
    key_column: Any
    n_found: int


def suggest_pairing(table: Any, image_root: str | os.PathLike[str]) -> Pairing:
    """Find the columns whose cells name the photos of a folder.

    Nothing is guessed from headers: a column is taken because files with its cells' names exist.

    Parameters
    ----------
    table : str, path-like, or pandas, Polars or pyarrow frame
        As for `load_paired`.
    image_root : str or path-like
        The folder of photos. Paths that start from the folder above it, or from that of the
        table's file, are found too.

    Returns
    -------
    Pairing

    Raises
    ------
    FileNotFoundError
        If the table or the folder does not exist.
    ImportError
        If pyarrow is needed and not installed.
    TypeError, ValueError
        If the table cannot be read, no column names photos of the folder, or several columns of
        names could be the one.

    Examples
    --------
    >>> from tabimg.datasets import load_paired, suggest_pairing
    >>> found = suggest_pairing("cars.csv", "photos")  # doctest: +SKIP
    >>> found.image_column  # doctest: +SKIP
    ['photo']
    """
    root = check_folder("image_root", image_root)
    frame = _read_as_text(table)
    photos = list_photos(root)
    if not photos:
        raise ValueError(f"There is no photo at all below {shorten(str(root))}.")
    likely = likely_photo_columns(frame, [])
    best = max(
        (_paths_from(folder, frame, likely, photos) for folder in _folders(table, root)),
        key=lambda pairing: pairing.n_found,
    )
    if best.image_column:
        return best
    keys = sorted(_keys(frame, photos), reverse=True)
    if not keys:
        raise ValueError(_no_column(frame, likely, root, photos))
    if len(keys) > 1 and keys[0][0] == keys[1][0]:
        names = [frame.columns[-place] for n_found, place in keys if n_found == keys[0][0]]
        raise ValueError(
            f"The columns {listing(names)} name the photos in {shorten(str(root))} equally well: "
            "say which one does, key_column=."
        )
    n_found, place = keys[0]
    return Pairing(str(root), None, frame.columns[-place], n_found)


def _read_as_text(table: Any) -> pd.DataFrame:
    """Read a table; "007" of a text file stays as it is."""
    frame = read_frame(table, text_columns=())
    if isinstance(table, (str, os.PathLike)):
        path = Path(table).expanduser()
        separator = separator_of(path.name)
        if separator is not None:
            return read_csv(path, str, READ_IT_YOURSELF, separator=separator)
    return frame


def _folders(table: Any, root: Path) -> Iterator[Path]:
    yield root
    yield root.parent
    if isinstance(table, (str, os.PathLike)):
        yield Path(table).expanduser().resolve().parent


def _paths_from(folder: Path, frame: pd.DataFrame, likely: list[Any], photos: list[str]) -> Pairing:
    found = {name: find_paths(frame[name], folder, photos) for name in likely}
    # Files elsewhere, such as those of a neighbouring folder, are not what was asked for.
    inside = set(photos)
    named = {
        name: [path is not None and path in inside for path in paths]
        for name, paths in found.items()
    }
    columns = [name for name, is_there in named.items() if any(is_there)]
    rows = pd.DataFrame({name: named[name] for name in columns}).any(axis=1)
    return Pairing(str(folder), columns or None, None, int(rows.sum()))


def _keys(frame: pd.DataFrame, photos: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the number of rows whose cell is the name of a photo, and minus the place."""
    stems = {photo_stem(path) for path in photos}
    for place in range(frame.shape[1]):
        cells = [as_stem(cell) for cell in frame.iloc[:, place] if not is_empty(cell)]
        found = [cell for cell in cells if cell in stems]
        if len(set(found)) > MOSTLY * len(frame):
            yield len(found), -place


def _no_column(frame: pd.DataFrame, likely: list[Any], root: Path, photos: list[str]) -> str:
    told = f"No column of the table names photos in {shorten(str(root))}, which holds"
    told += f" {len(photos)}, such as {shorten(os.path.relpath(photos[0], root))}."
    if likely:
        cell = next(cell for cell in frame[likely[0]] if not is_empty(cell))
        return (
            f"{told} Column {shorten(likely[0])} looks like photos, such as {shorten(cell)}: "
            "correct image_root."
        )
    return (
        f"{told} The columns are {listing(list(frame.columns))}: add one of paths, or one of names "
        "without suffix."
    )
