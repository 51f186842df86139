"""From numbers of any magnitude to numbers a network can use, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Beyond four robust standard deviations a value bends towards the bound instead of growing.
CLIP = 4.0
# IQR of a normal distribution in standard deviations.
_NORMAL_IQR = 1.349
# Keeps the square of a scaled value finite.
_LARGEST = 1e150
# float32 cannot tell ratios above this from 1: decoded tails end at about 9,000 scales.
_LARGEST_RATIO = 1.0 - 1e-7
# Rows per block: temporaries stay in the processor's cache.
_BLOCK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class RobustScaling:
    """Robust scaling, a smooth clip and a z-score, column by column.

    With ``z = (x - median) / scale`` and ``c = z / sqrt(1 + (z / 4)**2)``, a value is encoded as
    ``(c - clip_mean) / clip_std``: mean 0 and standard deviation 1 over the observed training
    cells, strictly increasing in ``x``, and bounded however heavy the tails are. The scale is
    IQR / 1.349, or the standard deviation where the IQR is 0. A column with a single value encodes
    every observed cell to 0.

    Parameters
    ----------
    medians, scales, clip_means, clip_stds : ndarray of shape (n_columns,), dtype float64
        ``clip_stds`` is 0 for a column with a single value.

    Notes
    -----
    The smooth clip is the one used by RealMLP (Holzmüller et al., 2024, arXiv 2407.04491,
    section 3), with a bound of 4 instead of 3.
    """

    medians: np.ndarray
    scales: np.ndarray
    clip_means: np.ndarray
    clip_stds: np.ndarray

    @classmethod
    def fit(cls, matrix: np.ndarray) -> RobustScaling:
        """Learn the scaling from the training rows.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_columns), dtype float64
            NaN = missing; at least one observed cell per column.

        Returns
        -------
        RobustScaling
        """
        parameters = np.array([_fit_column(column) for column in matrix.T]).reshape(-1, 4)
        return cls(*(np.ascontiguousarray(row) for row in parameters.T))

    def transform(self, matrix: np.ndarray) -> np.ndarray:
        """Encode; NaN stays NaN.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_columns), dtype float64

        Returns
        -------
        ndarray of shape (n_rows, n_columns), dtype float32
            Computed in float64, rounded once at the end.
        """
        gains = np.divide(
            1.0, self.clip_stds, out=np.zeros_like(self.clip_stds), where=self.clip_stds > 0
        )
        encoded = np.empty(matrix.shape, dtype=np.float32)
        for start in range(0, len(matrix), _BLOCK_ROWS):
            block = _smooth_clip(matrix[start : start + _BLOCK_ROWS], self.medians, self.scales)
            block -= self.clip_means
            block *= gains
            encoded[start : start + _BLOCK_ROWS] = block
        return encoded

    def inverse(self, encoded: np.ndarray) -> np.ndarray:
        """Decode; the inverse of :meth:`transform` up to float32 rounding.

        Rounding matters more the further out a value lies: about 1e-6 of the scale in the bulk,
        0.5 % of the value at 1,000 scales. Values beyond 9,000 scales decode to about that bound.

        Parameters
        ----------
        encoded : ndarray of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_columns), dtype float64
            Finite wherever ``encoded`` is.
        """
        ratio = (encoded.astype(np.float64) * self.clip_stds + self.clip_means) / CLIP
        ratio = np.clip(ratio, -_LARGEST_RATIO, _LARGEST_RATIO)
        bound = np.finfo(np.float64).max
        with np.errstate(over="ignore"):
            values = CLIP * ratio / np.sqrt(1.0 - ratio**2) * self.scales + self.medians
        return np.clip(values, -bound, bound)


def _smooth_clip(
    values: np.ndarray, median: np.ndarray | float, scale: np.ndarray | float
) -> np.ndarray:
    # The two ends of the float64 range differ by more than it holds: infinity is clipped below.
    with np.errstate(over="ignore"):
        z = np.subtract(values, median)
        z /= scale
    np.clip(z, -_LARGEST, _LARGEST, out=z)
    root = z / CLIP
    root *= root
    root += 1.0
    np.sqrt(root, out=root)
    z /= root
    return z


def _fit_column(column: np.ndarray) -> tuple[float, float, float, float]:
    """Return the median, scale, clip mean and clip standard deviation of one column."""
    observed = column[~np.isnan(column)]
    # Scaled by a power of two (exact) into [-1, 1]: no difference or square leaves the range.
    exponent = int(np.frexp(np.abs(observed).max())[1])
    unit = np.ldexp(observed, -exponent)
    lower, median, upper = np.quantile(unit, (0.25, 0.5, 0.75))
    if np.ptp(unit) <= 4 * np.finfo(np.float64).eps:
        return float(np.ldexp(median, exponent)), 1.0, 0.0, 0.0
    spread = (upper - lower) / _NORMAL_IQR
    scale = _rescaled(spread if spread > 0 else float(unit.std()), exponent)
    median = float(np.ldexp(median, exponent))
    clipped = _smooth_clip(observed, median, scale)
    return median, scale, float(clipped.mean()), float(clipped.std())


def _rescaled(scale: float, exponent: int) -> float:
    """Return ``scale * 2**exponent``, held within float64's positive range."""
    limits = np.finfo(np.float64)
    with np.errstate(over="ignore"):
        return float(np.clip(np.ldexp(scale, exponent), limits.tiny, limits.max))
