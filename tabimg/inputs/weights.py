"""Row weights: finite, and small enough to be summed in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import _check_sample_weight

from tabimg.messages import bounded_errors

# Networks weight losses in float32, and sum them over a batch.
SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-20, 1e20


def check_weights(sample_weight: Any, rows: Any) -> np.ndarray:
    """Check the ``sample_weight`` of a fit.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), number or None
    rows : table or array of n_rows rows

    Returns
    -------
    float64 array of shape (n_rows,)

    Raises
    ------
    ValueError
        A weight is negative or not finite, or positive beyond the bounds; names the row.
    """
    if np.ma.isMaskedArray(sample_weight):  # a masked weight is missing
        sample_weight = np.ma.filled(sample_weight.astype(np.float64), np.nan)
    given = np.asarray(sample_weight)  # also for objects that merely have __array__
    if given.ndim == 1:
        _refuse_infinite(given)
    with bounded_errors():
        weight = _check_sample_weight(sample_weight, rows, ensure_non_negative=True)
    refuse_extreme_weights(weight, "sample_weight")
    return weight


def refuse_extreme_weights(weight: np.ndarray, name: str) -> None:
    """Raise a ValueError for weights that are neither zero nor within the bounds.

    Parameters
    ----------
    weight : float64 array of shape (n_rows,), none negative
    name : str
        What the message calls it.
    """
    extreme = (weight > 0) & ~((weight >= SMALLEST_WEIGHT) & (weight <= LARGEST_WEIGHT))
    if extreme.any():
        row = int(extreme.argmax())
        raise ValueError(
            f"{name}, row {row}: {weight[row]:.3g} is not within {SMALLEST_WEIGHT:g} and "
            f"{LARGEST_WEIGHT:g}: rescale all weights alike, or leave the row out with weight 0"
        )


def _refuse_infinite(weight: np.ndarray) -> None:
    # Early versions of pandas turn a nullable column with a missing cell into objects.
    missing = pd.isna(weight)
    wrong = missing | np.isinf(weight) if weight.dtype.kind == "f" else missing
    if wrong.any():
        row = int(wrong.argmax())
        kind = "NaN" if missing[row] else "infinity"
        raise ValueError(
            f"Input sample_weight contains {kind}, first in row {row}: give a finite weight, or 0 "
            "to leave the row out"
        )
