"""Corruption of table rows: which cells are masked, and what takes their place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tabimg.messages import shorten
from tabimg.table.categories import MISSING, UNKNOWN
from tabimg.table.encoded import EncodedTable


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A corrupted batch and where it was corrupted.

    Parameters
    ----------
    table : EncodedTable
        The batch with the masked cells replaced.
    numeric_mask : ndarray of shape (n_rows, p), dtype bool
    code_mask : ndarray of shape (n_rows, q), dtype bool
        True where a cell was masked. A draw may equal the value it replaced; the cell is masked
        all the same.
    """

    table: EncodedTable
    numeric_mask: np.ndarray
    code_mask: np.ndarray


class Corruption(ABC):
    """Bernoulli masking; a subclass says what a masked cell becomes.

    Each observed cell is masked with probability ``mask_rate``, independently; a row in which no
    cell was masked gets one, uniformly among its observed cells. Missing and unknown cells are
    never masked, nor are columns without an observed cell in the training rows.

    Parameters
    ----------
    training : EncodedTable
        The training rows.
    mask_rate : float
        Probability of masking a cell, in (0, 1).

    Raises
    ------
    ValueError
        ``mask_rate`` is outside (0, 1), or there is no training row.

    Notes
    -----
    With m observed cells in a row, the expected share of masked cells is
    ``mask_rate + (1 - mask_rate)**m / m``.
    """

    def __init__(self, training: EncodedTable, mask_rate: float) -> None:
        if not 0.0 < mask_rate < 1.0:
            raise ValueError(f"mask_rate must lie in (0, 1), got {shorten(mask_rate)}.")
        if len(training) == 0:
            raise ValueError("The marginals need at least one training row, got none.")
        self.mask_rate = float(mask_rate)
        numeric_observed, code_observed = training.observed()
        self._numeric_seen: np.ndarray = np.any(numeric_observed, axis=0)
        self._code_seen: np.ndarray = np.any(code_observed, axis=0)

    @abstractmethod
    def _replace(
        self,
        batch: EncodedTable,
        numeric_mask: np.ndarray,
        code_mask: np.ndarray,
        rng: np.random.Generator,
    ) -> EncodedTable:
        """Copy a batch with the masked cells replaced."""

    def draw(self, batch: EncodedTable, rng: np.random.Generator) -> Corrupted:
        """Corrupt a batch; the batch itself is not changed.

        Parameters
        ----------
        batch : EncodedTable of n_rows rows
            With the training rows' columns.
        rng : numpy.random.Generator
            The only source of randomness.

        Returns
        -------
        Corrupted

        Raises
        ------
        ValueError
            The batch has other columns than the training rows.
        """
        self._check_columns(batch)
        numeric_observed, code_observed = batch.observed()
        # A column that no training row shows has no marginal to draw from.
        maskable = np.hstack(
            [numeric_observed & self._numeric_seen, code_observed & self._code_seen]
        )
        mask = _draw_mask(maskable, self.mask_rate, rng)
        n_numeric = batch.numeric.shape[1]
        numeric_mask, code_mask = mask[:, :n_numeric], mask[:, n_numeric:]
        table = self._replace(batch, numeric_mask, code_mask, rng)
        return Corrupted(table, numeric_mask, code_mask)

    def _check_columns(self, batch: EncodedTable) -> None:
        got = (batch.numeric.shape[1], batch.codes.shape[1])
        expected = (len(self._numeric_seen), len(self._code_seen))
        if got != expected:
            raise ValueError(
                f"The batch has {got[0]} numeric and {got[1]} categorical columns, the training "
                f"rows have {expected[0]} and {expected[1]}."
            )


class MarginalCorruption(Corruption):
    """A masked cell becomes the observed value of a training row drawn uniformly.

    Each cell is drawn on its own, so a replacement follows its column's empirical marginal.
    Missing and unknown cells are never drawn.

    Parameters
    ----------
    training : EncodedTable
        The source of the marginals. Not copied where all cells are observed.
    mask_rate : float
        As in `Corruption`.

    Notes
    -----
    The corruption of Roy et al., arXiv 2501.07304, after SCARF (Bahri et al., arXiv 2106.15147,
    section 3).
    """

    def __init__(self, training: EncodedTable, mask_rate: float) -> None:
        super().__init__(training, mask_rate)
        numeric_observed, code_observed = training.observed()
        self._numeric_pool, self._numeric_counts = _pool(training.numeric, numeric_observed)
        self._code_pool, self._code_counts = _pool(training.codes, code_observed)

    def _replace(
        self,
        batch: EncodedTable,
        numeric_mask: np.ndarray,
        code_mask: np.ndarray,
        rng: np.random.Generator,
    ) -> EncodedTable:
        return EncodedTable(
            _draw_from(self._numeric_pool, self._numeric_counts, batch.numeric, numeric_mask, rng),
            _draw_from(self._code_pool, self._code_counts, batch.codes, code_mask, rng),
        )


class ConstantCorruption(Corruption):
    """A masked cell becomes a constant of its column; a baseline for the marginal.

    Parameters
    ----------
    training : EncodedTable
    mask_rate : float
        As in `Corruption`.
    numeric : float, or float array of shape (p,)
    codes : int, or int array of shape (q,)
        What takes the place of masked cells.
    """

    def __init__(
        self,
        training: EncodedTable,
        mask_rate: float,
        numeric: float | np.ndarray,
        codes: int | np.ndarray,
    ) -> None:
        super().__init__(training, mask_rate)
        self._numeric = np.asarray(numeric, dtype=training.numeric.dtype)
        self._codes = np.asarray(codes, dtype=training.codes.dtype)

    def _replace(
        self,
        batch: EncodedTable,
        numeric_mask: np.ndarray,
        code_mask: np.ndarray,
        rng: np.random.Generator,
    ) -> EncodedTable:
        return EncodedTable(
            np.where(numeric_mask, self._numeric, batch.numeric),
            np.where(code_mask, self._codes, batch.codes),
        )


def mean_corruption(training: EncodedTable, mask_rate: float) -> Corruption:
    """Replace numbers by their column's mean, categories by the most frequent one."""
    numeric_observed, code_observed = training.observed()
    sums = np.where(numeric_observed, training.numeric, 0.0).sum(axis=0, dtype=np.float64)
    means = sums / np.maximum(numeric_observed.sum(axis=0), 1)
    modes = [
        np.bincount(codes[seen], minlength=1).argmax()
        for codes, seen in zip(training.codes.T, code_observed.T, strict=True)
    ]
    return ConstantCorruption(training, mask_rate, means, np.array(modes, dtype=np.int64))


def zero_corruption(training: EncodedTable, mask_rate: float) -> Corruption:
    """Replace numbers by the scaled 0, categories by the unknown one: networks see zeros only."""
    return ConstantCorruption(training, mask_rate, 0.0, UNKNOWN)


def token_corruption(training: EncodedTable, mask_rate: float) -> Corruption:
    """Make cells missing, for networks that learn a missing-cell token for every column."""
    return ConstantCorruption(training, mask_rate, np.nan, MISSING)


CORRUPTIONS: dict[str, Callable[[EncodedTable, float], Corruption]] = {
    "marginal": MarginalCorruption,
    "mean": mean_corruption,
    "zero": zero_corruption,
    "token": token_corruption,
}


def _pool(values: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values with each column's observed ones on top, and how many those are."""
    counts = observed.sum(axis=0)
    if (counts == len(values)).all():
        return values, counts
    order = np.argsort(~observed, axis=0, kind="stable")
    return np.take_along_axis(values, order, axis=0), counts


def _draw_mask(maskable: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    mask = (rng.random(maskable.shape) < rate) & maskable
    bare = np.flatnonzero(maskable.any(axis=1) & ~mask.any(axis=1))
    if len(bare):
        # Scores are identically distributed: the largest falls on each maskable cell equally often.
        scores = np.where(maskable[bare], rng.random((len(bare), maskable.shape[1])), -1.0)
        mask[bare, scores.argmax(axis=1)] = True
    return mask


def _draw_from(
    pool: np.ndarray,
    counts: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    replaced = values.copy()
    replaced[rows, columns] = pool[rng.integers(0, counts[columns]), columns]
    return replaced
