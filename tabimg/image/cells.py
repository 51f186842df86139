"""Read the cells of image columns and give equal images one id."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tabimg.image.misfits import explain_object
from tabimg.image.reader import ImageSource
from tabimg.image.row_names import RowNames
from tabimg.messages import shorten

# What str() turns missing cells into, as in a column after astype(str).
MISSING_TEXTS = frozenset({"nan", "NaN", "None", "<NA>", "NaT"})
# A scheme has at least two letters: "C:\\photos" is a path.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:", re.IGNORECASE)


def is_blank(cell: Any) -> bool:
    """Return whether an image cell holds no image.

    The rule, for the whole package: None, NaN, ``pd.NA`` and NaT, text that is empty, blank or what
    ``str`` turns a missing cell into, and a list or array of nothing else.
    """
    if isinstance(cell, str):
        return not cell.strip() or cell.strip() in MISSING_TEXTS
    if cell is None:
        return True
    if isinstance(cell, (list, tuple)):
        return all(is_blank(part) for part in cell)
    if isinstance(cell, np.ndarray):
        return cell.size == 0 or (cell.dtype.kind in "OUS" and is_blank(cell.tolist()))
    return pd.api.types.is_scalar(cell) and bool(pd.isna(cell))


def is_address(text: str) -> bool:
    """Tell the address of a photo, such as a URL, an object of a bucket or a data URI."""
    return _ADDRESS.match(text) is not None


class CellCollector:
    """Gathers images row by row and gives equal ones the same id.

    Parameters
    ----------
    root : str
        Absolute folder, or address, that relative paths start from.
    names : RowNames
        Of the rows to come, for messages.

    Attributes
    ----------
    sources : list of str, bytes or PIL.Image.Image
        Different images so far, in order of appearance.
    given : list of str
        How the first cell with each source names it; empty if that is not a path.
    vectors : list of ndarray of shape (d,), dtype float32
        Different embedding vectors so far; one of the two lists stays empty.
    ids : list of int
        Positions in ``sources`` or ``vectors``, row after row.
    counts : list of int
        Number of images of each row.
    """

    def __init__(self, root: str, names: RowNames) -> None:
        self.root = root
        self.names = names
        self.sources: list[ImageSource] = []
        self.given: list[str] = []
        self.vectors: list[np.ndarray] = []
        self.ids: list[int] = []
        self.counts: list[int] = []
        self._id_of: dict[object, int] = {}
        self._absolute: dict[str, str] = {}

    def add_row(self, row: int, cells: Iterable[object]) -> None:
        """Add one row, given its cells; raise a TypeError or ValueError that names ``row``."""
        before = len(self.ids)
        for cell in cells:
            for item in self._items(cell, row):
                given = os.fspath(item) if isinstance(item, (str, os.PathLike)) else ""
                self.ids.append(self._identify(item, given, row))
        self.counts.append(len(self.ids) - before)

    def add_part(
        self,
        held: Sequence[Any],
        given: Sequence[str],
        ids: np.ndarray,
        counts: np.ndarray,
    ) -> None:
        """Add the rows of a finished set: its images, their names, ids and counts.

        Only images that a row lists are carried over.
        """
        row_of = np.repeat(np.arange(len(counts)) + len(self.counts), counts)
        used, first = np.unique(ids, return_index=True)
        renumbered = np.zeros(len(held), dtype=np.int64)
        for old, place in zip(used.tolist(), first.tolist(), strict=True):
            named = given[old] if given else ""
            renumbered[old] = self._identify(held[old], named, int(row_of[place]))
        self.ids.extend(renumbered[ids].tolist())
        self.counts.extend(counts.tolist())

    def _identify(self, item: ImageSource | np.ndarray, given: str, row: int) -> int:
        if isinstance(item, np.ndarray):
            vector = self._checked_vector(item, row)
            return self._remember(vector.tobytes(), vector, self.vectors)
        if self.vectors:
            raise ValueError(
                f"{self.names.describe([row])} holds an image, but earlier rows hold embedding "
                "vectors: the cells of the image columns are all images or all vectors"
            )
        if isinstance(item, Image.Image):
            # The object is kept in sources, so its id() stays taken.
            number = self._remember(("PIL", id(item)), item, self.sources)
        else:
            source = item if isinstance(item, bytes) else self._absolute_path(os.fspath(item))
            number = self._remember(source, source, self.sources)
        if number == len(self.given):
            self.given.append(given)
        return number

    def _checked_vector(self, item: np.ndarray, row: int) -> np.ndarray:
        if self.sources:
            raise ValueError(
                f"{self.names.describe([row])} holds an embedding vector, but earlier rows hold "
                "images: the cells of the image columns are all images or all vectors"
            )
        # A single zero: 0.0 and -0.0 are the same number and must give the same bytes.
        vector = item.astype(np.float32) + np.float32(0)
        if not np.isfinite(vector).all():
            raise ValueError(
                f"{self.names.describe([row])}: the embedding vector holds values that are NaN, "
                "infinite or beyond float32; leave the cell empty (None) if there is no embedding"
            )
        if self.vectors and len(vector) != len(self.vectors[0]):
            raise ValueError(
                f"{self.names.describe([row])}: the embedding vector has {len(vector)} values, "
                f"earlier ones have {len(self.vectors[0])}"
            )
        return vector

    def _remember(self, key: object, value: Any, held: list[Any]) -> int:
        known = self._id_of.get(key)
        if known is None:
            known = self._id_of[key] = len(held)
            held.append(value)
        return known

    def _absolute_path(self, path: str) -> str:
        absolute = self._absolute.get(path)
        if absolute is None:
            absolute = self._absolute[path] = _joined(self.root, path)
        return absolute

    def _items(self, cell: Any, row: int) -> Iterator[ImageSource | np.ndarray]:
        """Flatten a cell into images and vectors; a blank cell yields nothing."""
        if isinstance(cell, str):
            if not is_blank(cell):
                yield str(cell)
        elif isinstance(cell, PurePath):
            yield os.fspath(cell)
        elif isinstance(cell, (bytes, Image.Image)):
            yield cell
        elif isinstance(cell, (bytearray, memoryview)):
            yield bytes(cell)
        elif is_blank(cell):
            return
        elif isinstance(cell, (list, tuple)) or hasattr(cell, "__array__"):
            vector = _as_vector(cell)
            if vector is not None:
                yield vector
                return
            for item in self._members(cell, row):
                yield from self._items(item, row)
        else:
            raise self._type_error(cell, row)

    def _members(self, cell: Any, row: int) -> list[Any]:
        if isinstance(cell, (list, tuple)):
            return list(cell)
        array = np.asarray(cell)
        if array.ndim == 1 and (array.dtype.kind in "OUST" or not array.size):
            return array.tolist()
        raise self._type_error(cell, row)

    def _type_error(self, cell: Any, row: int) -> TypeError:
        shape = getattr(cell, "shape", None)
        detail = f" of shape {tuple(shape)}" if shape else f", {shorten(cell)}"
        return TypeError(
            f"{self.names.describe([row])}: an image cell is a str, Path, bytes, PIL image, 1-D "
            "numeric vector, a list of those, or empty; got "
            f"{type(cell).__module__}.{type(cell).__qualname__}{detail}. {explain_object(cell)}"
        )


def _joined(root: str, path: str) -> str:
    """Return the full path of a photo; an address stays as it is, for a loader to fetch."""
    if is_address(path):
        return path
    if is_address(root):
        return f"{root.rstrip('/')}/{path}"
    return os.path.abspath(os.path.join(root, path))


def _as_vector(cell: Any) -> np.ndarray | None:
    """Read numbers as a 1-D vector; None if the cell is something else."""
    if isinstance(cell, (list, tuple)) and not all(
        isinstance(item, (int, float, np.number)) for item in cell
    ):
        return None
    array = np.asarray(cell)
    return array if array.ndim == 1 and array.size and array.dtype.kind in "iuf" else None
