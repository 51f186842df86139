"""Rows with their photos, and pre-training batches drawn from them by index array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tabimg.image import RowImages
from tabimg.training.photo_inputs import PhotoInputs
from tabimg.training.processes import ONE_PROCESS, Processes
from tabimg.training.runtime import derive_seed
from tabimg.training.skorch_net import Batch

# With several cohorts, this many rows of one cohort are kept together: a row that is alone of its
# cohort has nothing to be contrasted with.
ROWS_TOGETHER = 16
# Streams of one seed.
_TRAINING, _VALIDATION, _AUGMENTATION = 1, 2, 3


class RowTable(Protocol):
    """Encoded rows: of one table, or of several cohorts."""

    def __len__(self) -> int: ...

    def take(self, index: np.ndarray) -> Any:
        """Return the rows of an index array."""

    def arrays(self) -> Sequence[np.ndarray]:
        """Return all of its arrays, for a fingerprint."""


# Maps encoded rows to the arrays of a batch.
CellDraw = Callable[[Any, np.random.Generator], dict[str, np.ndarray]]


@dataclass(frozen=True)
class PairedRows:
    """An encoded table, the photos of its rows, and what makes two rows positives.

    Parameters
    ----------
    table : RowTable of n_rows rows
    images : RowImages of n_rows rows, or None
        None if no photos are used at all.
    photos : PhotoInputs or None
        The photos as the image encoder takes them.
    row_ids, group_ids : int64 arrays of shape (n_rows,)
        Equal ids mark identical rows, and rows of one declared group. -1 means no group.
    weight : float32 array of shape (n_rows,)
        Factor of each row in the losses.
    own : int64 array, or None, default=None
        The rows whose photos this process holds, ascending; None if it holds all.
    """

    table: RowTable
    images: RowImages | None
    photos: PhotoInputs | None
    row_ids: np.ndarray
    group_ids: np.ndarray
    weight: np.ndarray
    own: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def cohorts(self) -> np.ndarray | None:
        """Number of each row's cohort, int64 (n_rows,); None if rows have none."""
        return getattr(self.table, "cohorts", None)

    @property
    def has_image(self) -> np.ndarray:
        """Which rows have at least one photo; bool array of shape (n_rows,)."""
        if self.images is None:
            return np.zeros(len(self), dtype=bool)
        return self.images.has_image

    def share_of(self, index: np.ndarray) -> np.ndarray:
        """Keep this process's rows of an index array."""
        return index if self.own is None else index[np.isin(index, self.own)]

    def first_image_ids(self) -> np.ndarray:
        """Id of each row's first photo, -1 for none; int64 array of shape (n_rows,)."""
        ids = np.full(len(self), -1, dtype=np.int64)
        if self.images is not None:
            rows = np.flatnonzero(self.has_image)
            ids[rows] = self.images.first(rows)
        return ids

    def listed_images(self) -> coo_array:
        """Which row lists which photo, as a sparse (n_rows, n_photos) matrix of ones."""
        if self.images is None:
            return coo_array((len(self), 0), dtype=np.int64)
        rows = np.repeat(np.arange(len(self)), self.images.counts)
        ones = np.ones(len(rows), dtype=np.int64)
        return coo_array((ones, (rows, self.images.ids)), shape=(len(self), self.images.n_sources))

    def linked_by_images(self) -> np.ndarray:
        """Number the rows linked by shared photos, directly or through others; int64 (n_rows,)."""
        listed = self.listed_images()
        size = sum(listed.shape)
        edges = (listed.row, len(self) + listed.col)
        graph = coo_array((listed.data, edges), shape=(size, size))
        return connected_components(graph, directed=False)[1][: len(self)].astype(np.int64)


class BatchBuilder:
    """Makes one batch from row numbers: gathers rows and photos, and marks positives.

    Parameters
    ----------
    rows : PairedRows
    draw_cells : callable
        Makes the cells of a batch from encoded rows; this is where a method corrupts or masks.
    device : torch.device
    processes : Processes, default=ONE_PROCESS
        Those that build the other shares of each batch, from their own rows.
    """

    def __init__(
        self,
        rows: PairedRows,
        draw_cells: CellDraw,
        device: torch.device,
        processes: Processes = ONE_PROCESS,
    ) -> None:
        self.rows = rows
        self.listed_images = rows.listed_images().tocsr()
        self.draw_cells = draw_cells
        self.device = device
        self.processes = processes

    def table_part(self, index: np.ndarray, rng: np.random.Generator) -> Batch:
        """Cells and weights of the rows."""
        cells = self.draw_cells(self.rows.table.take(index), rng)
        arrays = {**cells, "weight": self.rows.weight[index]}
        tensors = {name: torch.from_numpy(a).to(self.device) for name, a in arrays.items()}
        return {"size": len(index), **tensors}

    def image_part(self, index: np.ndarray, image_ids: np.ndarray) -> Batch:
        """Positives among the rows with a photo, and the positions of these rows in the batch.

        ``image_ids`` has an entry for each row of the batch, -1 for no photo. Two rows that share
        any photo are positives, whichever was drawn. With several processes the positives are
        those of the own rows among the rows of all.
        """
        standing = np.flatnonzero(image_ids >= 0)
        parts = self.processes.all_of(index[standing])
        if min(map(len, parts)) < 2:  # no negatives, and no batch statistics
            return {}
        positives = self._positives(index[standing], np.concatenate(parts))
        return {
            "image_rows": torch.from_numpy(standing).to(self.device),
            "positives": torch.from_numpy(positives).to(self.device),
        }

    def _positives(self, own: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Find which rows belong together, bool array of shape (len(own), len(others))."""
        positives = own[:, None] == others
        for ids in (self.rows.row_ids, self.rows.group_ids):
            known = ids[own][:, None] != -1
            positives |= known & (ids[own][:, None] == ids[others])
        shared = self.listed_images[own] @ self.listed_images[others].T
        return positives | (shared.toarray() > 0)


class TrainingBatches:
    """One epoch of training batches per iteration, each epoch with its own random stream.

    Batches have nearly equal sizes, so that none is too small for batch statistics, and nearly
    equal numbers of photos. A stream depends on (seed, epoch): a resumed run draws what the
    uninterrupted one would have drawn. Several processes make equally many batches, each one from
    its own rows and with its own streams; ``batch_size`` counts the rows of all of them.
    """

    def __init__(
        self,
        builder: BatchBuilder,
        index: np.ndarray,
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
    ) -> None:
        self.builder = builder
        self.index = builder.rows.share_of(index)
        self.seed = builder.processes.own_seed(seed)
        self.epoch = first_epoch
        self.n_batches = -(-len(index) // batch_size)

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, _TRAINING, self.epoch])
        generator = torch.Generator(device=self.builder.device)
        generator.manual_seed(derive_seed(self.seed, _AUGMENTATION, self.epoch))
        self.epoch += 1
        for index in self._deal(rng):
            yield self._build(index, rng, generator)

    def _deal(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Distribute the rows over the batches, those with a photo separately from the others."""
        has_image = self.builder.rows.has_image[self.index]
        paired = rng.permutation(self.index[has_image])
        if self.builder.rows.cohorts is not None:
            paired = paired[side_by_side(self.builder.rows.cohorts[paired], rng)]
        alone = rng.permutation(self.index[~has_image])
        # Contrasting takes at least two photos, in each process.
        n_pairs = min(self.builder.processes.all_of(len(paired)))
        n_paired = max(1, min(self.n_batches, n_pairs // 2))
        parts = np.array_split(paired, n_paired)
        parts += [paired[:0]] * (self.n_batches - n_paired)
        # Batches with the fewest photos take the most rows without one.
        sizes = [len(part) for part in np.array_split(self.index, self.n_batches)]
        bounds = np.cumsum([max(0, s - len(p)) for s, p in zip(sizes, parts, strict=True)])
        rest = np.split(alone, np.minimum(bounds[:-1], len(alone)))
        return [np.concatenate(pair) for pair in zip(parts, rest, strict=True)]

    def _build(
        self, index: np.ndarray, rng: np.random.Generator, generator: torch.Generator
    ) -> Batch:
        rows = self.builder.rows
        batch = self.builder.table_part(index, rng)
        if rows.images is None or rows.photos is None:
            return batch
        image_ids = np.full(len(index), -1, dtype=np.int64)
        standing = np.flatnonzero(rows.has_image[index])
        image_ids[standing] = rows.images.draw(index[standing], rng)
        part = self.builder.image_part(index, image_ids)
        if part:
            part["pixels"] = rows.photos.drawn(image_ids[standing], generator)
        return batch | part


def side_by_side(cohorts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order shuffled rows so that each cohort comes in pieces of at least ``ROWS_TOGETHER`` rows.

    Parameters
    ----------
    cohorts : int64 array of shape (n_rows,)
        Of rows in random order.
    rng : numpy.random.Generator
        Shuffles the pieces.

    Returns
    -------
    int64 array of shape (n_rows,)
        A permutation; a smaller cohort is one piece.
    """
    pieces = []
    for cohort in np.unique(cohorts):
        rows = np.flatnonzero(cohorts == cohort)
        pieces += np.array_split(rows, max(1, len(rows) // ROWS_TOGETHER))
    order = rng.permutation(len(pieces))
    return np.concatenate([np.empty(0, dtype=np.int64), *(pieces[piece] for piece in order)])


class ValidationBatches:
    """The same batches each time: fixed masks and photos, no augmentation, one constant size.

    The contrastive loss depends on the batch size, so a smaller last batch is left out.
    """

    def __init__(
        self, builder: BatchBuilder, index: np.ndarray, batch_size: int, seed: int
    ) -> None:
        self.builder = builder
        n_batches = len(index) // batch_size
        rng = np.random.default_rng([builder.processes.own_seed(seed), _VALIDATION])
        own = builder.rows.share_of(index)
        order = rng.permutation(own)[: n_batches * batch_size // builder.processes.size]
        first_ids = builder.rows.first_image_ids()
        self._batches = [
            (builder.table_part(i, rng) | builder.image_part(i, first_ids[i]), first_ids[i])
            for i in np.array_split(order, n_batches)
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch, image_ids in self._batches:
            # Photos are gathered each time: keeping them would take their memory twice.
            yield batch | self._pixels(batch, image_ids)

    def _pixels(self, batch: Batch, image_ids: np.ndarray) -> Batch:
        photos = self.builder.rows.photos
        if "image_rows" not in batch or photos is None:
            return {}
        return {"pixels": photos.plain(image_ids[image_ids >= 0], self.builder.device)}
