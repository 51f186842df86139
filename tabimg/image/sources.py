"""Which images belong to which row."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tabimg.image.cells import CellCollector, is_address
from tabimg.image.reader import ImageReadError, ImageSource, describe_source
from tabimg.image.row_names import RowNames
from tabimg.image.words import quoted


@dataclass(frozen=True, eq=False)
class RowImages:
    """The images of each row: any number, including none.

    Images are held once: cells with the same path, the same bytes, the same PIL object or the
    same embedding vector share an id. Build it with :meth:`from_cells`.

    Attributes
    ----------
    sources : list of str, bytes or PIL.Image.Image
        The images that ids point to; paths are absolute. Empty if the cells are vectors.
    vectors : ndarray of shape (u, d), dtype float32, or None
        The precomputed embeddings that ids point to, if the cells are vectors.
    offsets : ndarray of shape (n + 1,), dtype int64
        The images of row i are ``ids[offsets[i]:offsets[i + 1]]``.
    ids : ndarray of shape (total,), dtype int64
        Positions in ``sources`` or ``vectors``.
    names : RowNames or None
        What the rows are called in messages; None counts them from 0.
    given : sequence of str
        How the cells name ``sources``: a path as it was given, nothing for anything else.
    """

    sources: list[ImageSource]
    vectors: np.ndarray | None
    offsets: np.ndarray
    ids: np.ndarray
    names: RowNames | None = None
    given: Sequence[str] = ()

    @classmethod
    def from_cells(
        cls,
        columns: Sequence[Sequence[object]],
        root: str | os.PathLike[str] | None = None,
        names: RowNames | None = None,
    ) -> RowImages:
        """Collect the images of a table's image columns.

        Parameters
        ----------
        columns : sequence of sequences of cells
            One or more image columns of equal length. A cell is a str, Path, bytes, PIL image, a
            1-D numeric vector (a precomputed embedding), a list or tuple of those, or blank,
            see :func:`~tabimg.image.cells.is_blank`.
        root : str or Path, default=None
            Folder that relative paths start from; None is the working directory. An address, such
            as ``"s3://photos"``, is prepended for a loader to fetch.
        names : RowNames, default=None
            What the rows are called in messages; None counts them from 0.

        Returns
        -------
        RowImages

        Raises
        ------
        TypeError
            If a cell is of another type; names the row.
        ValueError
            If columns differ in length, images and vectors are mixed, vectors differ in length or
            are not finite.
        """
        if not columns:
            raise ValueError("columns must hold at least one image column")
        lengths = {len(column) for column in columns}
        if len(lengths) > 1:
            raise ValueError(f"image columns must have the same length, got {sorted(lengths)}")
        start = os.path.expanduser(root or "")
        start = start if is_address(start) else os.path.abspath(start)
        collector = CellCollector(start, names or RowNames.of(len(columns[0])))
        for row, cells in enumerate(zip(*columns, strict=True)):
            collector.add_row(row, cells)
        return _finished(collector, names)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> np.ndarray:
        """Number of images of each row, shape (n,), dtype int64."""
        return np.diff(self.offsets)

    @property
    def has_image(self) -> np.ndarray:
        """Whether a row has an image, shape (n,), dtype bool."""
        return self.counts > 0

    @property
    def n_sources(self) -> int:
        """Number of distinct images that ids may point to."""
        return len(self.sources) if self.vectors is None else len(self.vectors)

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one image of each row, all with equal probability.

        Parameters
        ----------
        rows : ndarray of shape (B,), dtype int64
            Rows that have an image.
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of shape (B,), dtype int64
            Ids.

        Raises
        ------
        ValueError
            If a row has no image.
        """
        return self.ids[self._starts(rows) + rng.integers(0, self.counts[rows])]

    def first(self, rows: np.ndarray) -> np.ndarray:
        """First image of each row; arguments, result and errors as in :meth:`draw`."""
        return self.ids[self._starts(rows)]

    def take(self, rows: np.ndarray) -> RowImages:
        """Keep some rows, in the order given.

        Ids keep their meaning, so that an earlier cache still serves.

        Parameters
        ----------
        rows : ndarray of shape (B,), dtype int64

        Returns
        -------
        RowImages
        """
        rows = np.asarray(rows, dtype=np.int64)
        counts = self.counts[rows]
        offsets = _offsets(counts)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        ids = self.ids[np.repeat(self.offsets[rows], counts) + within]
        return replace(self, offsets=offsets, ids=ids, names=self._row_names().take(rows))

    def drop_sources(self, bad: Iterable[int] | np.ndarray) -> RowImages:
        """Drop images from every row that has them.

        Parameters
        ----------
        bad : iterable of int
            Ids to drop.

        Returns
        -------
        RowImages
            No row points to a dropped image. All other ids keep their meaning.
        """
        kept = np.ones(self.n_sources, dtype=bool)
        kept[np.fromiter(bad, dtype=np.int64)] = False
        mask = kept[self.ids]
        before = np.concatenate([[0], np.cumsum(mask)]).astype(np.int64)
        return replace(self, offsets=before[self.offsets], ids=self.ids[mask])

    def rows_of(self, source_id: int) -> np.ndarray:
        """Positions of the rows that list an image, ascending, shape (k,), dtype int64."""
        places = np.flatnonzero(self.ids == source_id)
        return np.unique(np.searchsorted(self.offsets, places, side="right") - 1)

    @staticmethod
    def concat(parts: Sequence[RowImages]) -> RowImages:
        """Concatenate the rows of several sets; equal images share one id.

        Parameters
        ----------
        parts : sequence of RowImages
            At least one.

        Returns
        -------
        RowImages

        Raises
        ------
        ValueError
            If there is no part, or images and vectors are mixed, or vectors differ in length.
        """
        if not parts:
            raise ValueError("concat needs at least one RowImages")
        names = None
        if any(part.names is not None for part in parts):
            names = RowNames.concat([part._row_names() for part in parts])
        n_rows = sum(len(part) for part in parts)
        collector = CellCollector("", names or RowNames.of(n_rows))
        for part in parts:
            held = part.sources if part.vectors is None else list(part.vectors)
            collector.add_part(held, part.given, part.ids, part.counts)
        return _finished(collector, names)

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name rows in a message; see :meth:`~tabimg.image.row_names.RowNames.describe`."""
        return self._row_names().describe(rows)

    def describe_source(self, source_id: int) -> str:
        """Name an image in a message: its path, else its cell, else what it is."""
        source = self.sources[source_id]
        if not isinstance(source, str):
            return describe_source(source)
        given = self.given[source_id] if len(self.given) else ""
        return quoted(source if source.endswith(given) else given)

    def error_of(self, source_id: int, cause: str) -> ImageReadError:
        """Return the error for an image that cannot be read, with the rows that list it."""
        rows = self.rows_of(source_id).tolist()
        where = self.describe_rows(rows)
        positions = self._row_names().positions[rows].tolist()
        return ImageReadError(cause, self.describe_source(source_id), positions, where)

    def _row_names(self) -> RowNames:
        return RowNames.of(len(self)) if self.names is None else self.names

    def _starts(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.int64)
        empty = rows[self.counts[rows] == 0]
        if len(empty):
            raise ValueError(f"{self.describe_rows(empty.tolist())} has no image to choose from")
        return self.offsets[rows]


def _finished(collector: CellCollector, names: RowNames | None) -> RowImages:
    vectors = np.stack(collector.vectors) if collector.vectors else None
    offsets = _offsets(np.array(collector.counts, dtype=np.int64))
    ids = np.array(collector.ids, dtype=np.int64)
    return RowImages(collector.sources, vectors, offsets, ids, names, collector.given)


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
