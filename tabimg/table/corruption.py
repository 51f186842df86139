"""Corruption of table rows: masked cells take a value from their column's marginal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


class MarginalCorruption:
    """Bernoulli masking with replacement from the columns' empirical marginals.

    Each observed cell is masked with probability ``mask_rate``, independently; a row in which no
    cell was masked gets one, uniformly among its observed cells. A masked cell is replaced by the
    observed value of a training row drawn uniformly, each cell on its own. Missing and unknown
    cells are never masked, and never drawn.

    Parameters
    ----------
    training : EncodedTable
        The training rows, the source of the marginals. Not copied where all cells are observed.
    mask_rate : float
        Probability of masking a cell, in (0, 1).

    Raises
    ------
    ValueError
        ``mask_rate`` is outside (0, 1), or there is no training row.

    Notes
    -----
    The corruption of Roy et al., arXiv 2501.07304, after SCARF (Bahri et al., arXiv 2106.15147,
    section 3). With m observed cells in a row, the expected share of masked cells is
    ``mask_rate + (1 - mask_rate)**m / m``.
    """

    def __init__(self, training: EncodedTable, mask_rate: float) -> None:
        if not 0.0 < mask_rate < 1.0:
            raise ValueError(f"mask_rate must lie in (0, 1), got {mask_rate!r}.")
        if len(training) == 0:
            raise ValueError("The marginals need at least one training row, got none.")
        numeric_observed, code_observed = training.observed()
        self.mask_rate = float(mask_rate)
        self._numeric_pool, self._numeric_counts = _pool(training.numeric, numeric_observed)
        self._code_pool, self._code_counts = _pool(training.codes, code_observed)

    def draw(self, batch: EncodedTable, rng: np.random.Generator) -> Corrupted:
        """Corrupt a batch; the batch itself is not changed.

        Parameters
        ----------
        batch : EncodedTable of n_rows rows
            Of the training rows' columns.
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
        # A column that the training rows never show has nothing to draw from.
        maskable = np.hstack(
            [numeric_observed & (self._numeric_counts > 0), code_observed & (self._code_counts > 0)]
        )
        mask = _draw_mask(maskable, self.mask_rate, rng)
        n_numeric = batch.numeric.shape[1]
        numeric_mask, code_mask = mask[:, :n_numeric], mask[:, n_numeric:]
        numeric = _replace(
            batch.numeric, numeric_mask, self._numeric_pool, self._numeric_counts, rng
        )
        codes = _replace(batch.codes, code_mask, self._code_pool, self._code_counts, rng)
        return Corrupted(EncodedTable(numeric, codes), numeric_mask, code_mask)

    def _check_columns(self, batch: EncodedTable) -> None:
        got = (batch.numeric.shape[1], batch.codes.shape[1])
        expected = (self._numeric_pool.shape[1], self._code_pool.shape[1])
        if got != expected:
            raise ValueError(
                f"The batch has {got[0]} numeric and {got[1]} categorical columns, the training "
                f"rows have {expected[0]} and {expected[1]}."
            )


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
        # The largest of equally distributed scores falls on each maskable cell equally often.
        scores = np.where(maskable[bare], rng.random((len(bare), maskable.shape[1])), -1.0)
        mask[bare, scores.argmax(axis=1)] = True
    return mask


def _replace(
    values: np.ndarray,
    mask: np.ndarray,
    pool: np.ndarray,
    counts: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    replaced = values.copy()
    replaced[rows, columns] = pool[rng.integers(0, counts[columns]), columns]
    return replaced
