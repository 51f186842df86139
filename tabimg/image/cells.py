"""Take the cells of image columns apart and give equal images one id."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tabimg.image.reader import ImageSource


class CellCollector:
    """Gathers images row by row and gives equal ones the same id.

    Parameters
    ----------
    root : str
        Absolute folder that relative paths start from.

    Attributes
    ----------
    sources : list of str, bytes or PIL.Image.Image
        Different images so far, in order of appearance.
    vectors : list of ndarray of shape (d,), dtype float32
        Different embedding vectors so far; one of the two lists stays empty.
    ids : list of int
        Positions in ``sources`` or ``vectors``, row after row.
    counts : list of int
        Number of images of each row.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.sources: list[ImageSource] = []
        self.vectors: list[np.ndarray] = []
        self.ids: list[int] = []
        self.counts: list[int] = []
        self._id_of: dict[object, int] = {}
        self._absolute: dict[str, str] = {}

    def add_row(self, row: int, cells: Iterable[object]) -> None:
        """Add one row, given its cells; raises TypeError or ValueError that names ``row``."""
        before = len(self.ids)
        for cell in cells:
            for item in _items(cell, row):
                self.ids.append(self._identify(item, row))
        self.counts.append(len(self.ids) - before)

    def add_part(
        self, held: Sequence[Any], ids: np.ndarray, counts: np.ndarray, first_row: int
    ) -> None:
        """Add the rows of a finished set: its images, ids and counts.

        Only images that a row lists are carried over.
        """
        row_of = np.repeat(np.arange(len(counts)) + first_row, counts)
        used, first = np.unique(ids, return_index=True)
        renumbered = np.zeros(len(held), dtype=np.int64)
        for old, place in zip(used.tolist(), first.tolist(), strict=True):
            renumbered[old] = self._identify(held[old], int(row_of[place]))
        self.ids.extend(renumbered[ids].tolist())
        self.counts.extend(counts.tolist())

    def _identify(self, item: ImageSource | np.ndarray, row: int) -> int:
        if isinstance(item, np.ndarray):
            vector = self._checked_vector(item, row)
            return self._remember(vector.tobytes(), vector, self.vectors)
        if self.vectors:
            raise ValueError(
                f"row {row} holds an image, but earlier rows hold embedding vectors: the cells of "
                "the image columns are all images or all vectors"
            )
        if isinstance(item, Image.Image):
            # The object is kept in sources, so its id() stays taken.
            return self._remember(("PIL", id(item)), item, self.sources)
        source = item if isinstance(item, bytes) else self._absolute_path(os.fspath(item))
        return self._remember(source, source, self.sources)

    def _checked_vector(self, item: np.ndarray, row: int) -> np.ndarray:
        if self.sources:
            raise ValueError(
                f"row {row} holds an embedding vector, but earlier rows hold images: the cells of "
                "the image columns are all images or all vectors"
            )
        # One zero: 0.0 and -0.0 are the same number and must give the same bytes.
        vector = item.astype(np.float32) + np.float32(0)
        if not np.isfinite(vector).all():
            raise ValueError(
                f"row {row}: the embedding vector holds values that are NaN, infinite or beyond "
                "float32; give an empty cell (None) where there is no embedding"
            )
        if self.vectors and len(vector) != len(self.vectors[0]):
            raise ValueError(
                f"row {row}: the embedding vector has {len(vector)} values, "
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
            absolute = os.path.abspath(os.path.join(self.root, path))
            self._absolute[path] = absolute
        return absolute


def _items(cell: Any, row: int) -> Iterator[ImageSource | np.ndarray]:
    """Flatten a cell into images and vectors; an empty cell yields nothing."""
    if isinstance(cell, str):
        if cell:
            yield str(cell)
    elif isinstance(cell, (bytes, Image.Image, Path)):
        yield cell
    elif isinstance(cell, (bytearray, memoryview)):
        yield bytes(cell)
    elif _is_missing(cell):
        return
    elif isinstance(cell, (list, tuple)) or hasattr(cell, "__array__"):
        vector = _as_vector(cell)
        if vector is not None:
            yield vector
            return
        for item in _members(cell, row):
            yield from _items(item, row)
    else:
        raise _type_error(cell, row)


def _is_missing(cell: Any) -> bool:
    return cell is None or (pd.api.types.is_scalar(cell) and bool(pd.isna(cell)))


def _as_vector(cell: Any) -> np.ndarray | None:
    """Read numbers as a 1-D vector; None where the cell is no such thing."""
    if isinstance(cell, (list, tuple)):
        numbers = all(isinstance(item, (int, float, np.number)) for item in cell)
        # A list of nothing but NaN lists images that are missing.
        if not numbers or not cell or all(_is_missing(item) for item in cell):
            return None
    array = np.asarray(cell)
    return array if array.ndim == 1 and array.size and array.dtype.kind in "iuf" else None


def _members(cell: Any, row: int) -> list[Any]:
    if isinstance(cell, (list, tuple)):
        return list(cell)
    array = np.asarray(cell)
    if array.ndim == 1 and (array.dtype.kind in "OUST" or not array.size):
        return array.tolist()
    raise _type_error(cell, row)


def _type_error(cell: Any, row: int) -> TypeError:
    shape = getattr(cell, "shape", None)
    detail = f" of shape {tuple(shape)}" if shape else ""
    return TypeError(
        f"row {row}: an image cell is a str, Path, bytes, PIL image, 1-D numeric vector, a list of "
        f"those, or empty; got {type(cell).__module__}.{type(cell).__qualname__}{detail}. Wrap "
        "decoded pixels with PIL.Image.fromarray."
    )
