"""The uncertainty of differences between methods: over the folds of a set, and over sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tabimg.messages import shorten

N_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean and its uncertainty.

    Parameters
    ----------
    mean : float
    low, high : float
        Ends of the confidence interval; NaN if there are too few values.
    p_value : float
        Two-sided, for the hypothesis that the mean is zero.
    n : int
        Number of folds, or of sets, that it is based on.
    """

    mean: float
    low: float
    high: float
    p_value: float
    n: int


def corrected_interval(values: Any, test_share: float, confidence: float = 0.95) -> Interval:
    """Return the mean over resampled folds with the corrected resampled t interval.

    Parameters
    ----------
    values : array of shape (n_folds,)
        One value per fold, such as the difference of two methods' scores; draws of labels within a
        fold must be averaged first. NaN entries are left out.
    test_share : float
        Number of test rows over that of training rows in a fold.
    confidence : float in (0, 1), default=0.95

    Returns
    -------
    Interval
        Without ends and p-value for fewer than two folds.

    Notes
    -----
    Training rows overlap between folds, so the usual variance of the mean, s²/J over J folds, is
    too small. Nadeau and Bengio ("Inference for the generalization error", Machine Learning 52,
    2003) replace it by (1/J + n_test/n_train)·s², with J-1 degrees of freedom.

    Examples
    --------
    >>> from tabimg.evaluation.statistics import corrected_interval
    >>> interval = corrected_interval([0.02, 0.04, 0.03, 0.05, 0.01], test_share=1 / 4)
    >>> round(interval.mean, 3), round(interval.low, 3), round(interval.high, 3)
    (0.03, 0.001, 0.059)
    """
    check_confidence(confidence)
    if not test_share > 0:
        raise ValueError(f"test_share must be a number above 0, got {shorten(test_share)}")
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    if n < 2:
        mean = float(values[0]) if n else float("nan")
        return Interval(mean, float("nan"), float("nan"), float("nan"), n)
    mean = float(values.mean())
    error = float(np.sqrt((1 / n + test_share) * values.var(ddof=1)))
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    return Interval(mean, mean - reach, mean + reach, _t_p_value(mean, error, n), n)


def pooled_difference(
    differences: Mapping[str, Sequence[float] | np.ndarray],
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int = 0,
) -> Interval:
    """Pool the difference of two methods over several sets by a hierarchical bootstrap.

    Parameters
    ----------
    differences : mapping of str to array of shape (n_folds,)
        For each set its paired differences, as from `StudyResult.differences`. NaN entries are
        left out.
    confidence : float in (0, 1), default=0.95
    n_resamples : int, default=10000
    random_state : int, default=0

    Returns
    -------
    Interval
        The mean of the sets' means, with equal weights, and the percentile interval. The p-value is
        twice the smaller share of resampled means on one side of zero; it is never smaller than
        2 / (n_resamples + 1). `n` is the number of sets.

    Raises
    ------
    ValueError
        If there is no set, or a set without any difference.

    Notes
    -----
    A resample draws sets with replacement, and within each of them folds with replacement. Sets say
    most about how a difference carries over to another set; with a handful of them the interval is
    rough. With a single set only folds are drawn, whose training rows overlap: the interval is then
    too narrow, and `corrected_interval` is better.

    Examples
    --------
    >>> from tabimg.evaluation import pooled_difference
    >>> pooled = pooled_difference({"leaves": [0.04, 0.05, 0.06], "lesions": [0.01, 0.02, 0.0]})
    >>> round(pooled.mean, 3), pooled.low > 0
    (0.03, True)
    """
    check_confidence(confidence)
    sets = [_without_nan(name, values) for name, values in differences.items()]
    if not sets:
        raise ValueError("differences is empty: give at least one set")
    rng = np.random.default_rng(random_state)
    totals = np.zeros(n_resamples)
    for _ in sets:
        drawn = rng.integers(len(sets), size=n_resamples)
        for number, values in enumerate(sets):
            places = np.flatnonzero(drawn == number)
            folds = rng.integers(len(values), size=(len(places), len(values)))
            totals[places] += values[folds].mean(axis=1)
    means = totals / len(sets)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    one_side = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p_value = min(1.0, 2 * (one_side + 1) / (n_resamples + 1))
    mean = float(np.mean([values.mean() for values in sets]))
    return Interval(mean, float(low), float(high), p_value, len(sets))


def check_confidence(confidence: float) -> None:
    """Raise a ValueError for a confidence outside (0, 1)."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), such as 0.95; got {shorten(confidence)}")


def _t_p_value(mean: float, error: float, n: int) -> float:
    if error == 0.0:  # all folds agree exactly
        return 1.0 if mean == 0.0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, n - 1))


def _without_nan(name: str, values: Any) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64).ravel()
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError(
            f"the set {shorten(name)} has no difference: no fold has scores of both methods"
        )
    return values
