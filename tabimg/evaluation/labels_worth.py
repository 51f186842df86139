"""How many labels a score is worth: where the learning curve of a reference reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.isotonic import isotonic_regression

from tabimg.evaluation.statistics import check_confidence

ABOVE, BELOW = ">", "<"
N_RESAMPLES = 2_000


@dataclass(frozen=True)
class LabelsWorth:
    """How many times the labels, and how far it can be trusted.

    Parameters
    ----------
    worth : float
    low, high : float
        Ends of the confidence interval; NaN where there is too little to tell.
    censored : {"", ">", "<"}
        ">" where ``worth`` is a lower bound, as the reference never reaches the score; "<" where
        it is an upper bound, as the reference's worst score is better.
    n : int
        Number of folds, or of sets, that it rests on.
    """

    worth: float
    low: float
    high: float
    censored: str
    n: int


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Scores with some labels, beside a reference's scores with few to many, fold by fold.

    Parameters
    ----------
    n_labels : float array of shape (n_budgets,)
        Labels behind the columns of ``reference``, rising.
    reference : float array of shape (n_folds, n_budgets)
        NaN where there is no score.
    n_scores : int array of shape (n_folds, n_budgets)
        How many scores each of these is the mean of.
    score : float array of shape (n_folds,)
        Of the same folds; none is NaN.
    n : float
        Labels behind ``score``.
    greater_is_better : bool
    """

    n_labels: np.ndarray
    reference: np.ndarray
    n_scores: np.ndarray
    score: np.ndarray
    n: float
    greater_is_better: bool

    def worth(self) -> tuple[float, str]:
        """Give how many times the labels the score is worth, and how that is censored."""
        everything = np.ones((1, len(self.score)), dtype=np.int64)
        return self._worths(everything, spread=1.0)[0]

    def resampled(
        self, n_resamples: int, rng: np.random.Generator, spread: float = 1.0
    ) -> list[tuple[float, str]]:
        """Give the worth on folds that are drawn with replacement, for curve and score at once.

        Parameters
        ----------
        n_resamples : int
        rng : numpy.random.Generator
        spread : float, default=1.0
            How much further than drawn the resampled means are from the mean.
        """
        n_folds = len(self.score)
        times = rng.multinomial(n_folds, np.full(n_folds, 1 / n_folds), size=n_resamples)
        # Few folds can be drawn in few ways.
        drawn, place = np.unique(times, axis=0, return_inverse=True)
        worths = self._worths(drawn, spread)
        return [worths[n] for n in place.ravel()]

    def _worths(self, times: np.ndarray, spread: float) -> list[tuple[float, str]]:
        """Give the worth on folds that each count so many times: (n_resamples, n_folds)."""
        whole = self._means(np.ones_like(times[:1]))
        means = whole + spread * (self._means(times) - whole)
        weights = times @ self.n_scores
        worths = []
        for (*curve, score), weight in zip(means, weights, strict=True):
            known = np.isfinite(curve)
            measured, n_labels = np.asarray(curve)[known], self.n_labels[known]
            levels = isotonic_regression(measured, sample_weight=weight[known])
            # Both were fitted on the same rows: what luck the repair takes from the reference it
            # takes from the score, and equal scores remain worth the labels they have.
            luck = np.interp(self.n, n_labels, measured - levels)
            needed, censored = labels_needed(n_labels, levels, score - luck, self.n)
            worths.append((needed / self.n, censored))
        return worths

    def _means(self, times: np.ndarray) -> np.ndarray:
        """Give the curve and, in the last column, the score; higher is better."""
        scores = np.column_stack([self.reference, self.score])
        with np.errstate(invalid="ignore"):  # no score at a budget, in these folds
            means = times @ np.nan_to_num(scores) / (times @ np.isfinite(scores))
        return means if self.greater_is_better else -means


def labels_needed(
    n_labels: np.ndarray, curve: np.ndarray, score: float, n: float
) -> tuple[float, str]:
    """Give how many labels a learning curve needs for a score.

    Parameters
    ----------
    n_labels : float array of shape (n_budgets,)
        Rising.
    curve : float array of shape (n_budgets,)
        Scores with so many labels; higher is better, and none is below the one before.
    score : float
    n : float
        Labels that the score was reached with.

    Returns
    -------
    needed : float
        Between budgets the curve is linear in the logarithm of the labels. Where it is flat, all
        its numbers of labels give the score: the one nearest to ``n`` claims the least.
    censored : {"", ">", "<"}
        ">" for a score above the curve, which needs more than the returned, largest number; "<"
        for one below it.

    Examples
    --------
    >>> import numpy as np
    >>> from tabimg.evaluation.labels_worth import labels_needed
    >>> n_labels, curve = np.array([10.0, 40.0, 160.0]), np.array([0.5, 0.7, 0.8])
    >>> needed, censored = labels_needed(n_labels, curve, score=0.6, n=10)
    >>> round(needed, 6), censored
    (20.0, '')
    >>> labels_needed(n_labels, curve, score=0.9, n=10)
    (160.0, '>')
    """
    equal = np.flatnonzero(np.isclose(curve, score, rtol=1e-9, atol=0.0))
    if len(equal):
        return float(np.clip(n, n_labels[equal[0]], n_labels[equal[-1]])), ""
    if score > curve[-1]:
        return float(n_labels[-1]), ABOVE
    if score < curve[0]:
        return float(n_labels[0]), BELOW
    return float(np.exp(np.interp(score, curve, np.log(n_labels)))), ""


def worth_with_interval(
    folds: FoldScores,
    test_share: float,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int = 0,
) -> LabelsWorth:
    """Give the labels' worth of a score, with its interval over folds.

    Parameters
    ----------
    folds : FoldScores
    test_share : float
        Test rows over training rows of a fold.
    confidence : float in (0, 1), default=0.95
    n_resamples : int, default=2000
    random_state : int, default=0

    Returns
    -------
    LabelsWorth
        The low end is 0 where it lies below the reference's curve, the high end infinite where
        it lies above.

    Notes
    -----
    Folds are drawn with replacement, and the ends are percentiles. Means of few folds that share
    training rows vary more than such draws: the deviations of resampled means from the mean are
    stretched, so that the interval of a score itself is as wide as by `corrected_interval`.
    """
    check_confidence(confidence)
    n_folds = len(folds.score)
    if n_folds == 0:
        return LabelsWorth(np.nan, np.nan, np.nan, "", 0)
    worth, censored = folds.worth()
    if n_folds < 2:
        return LabelsWorth(worth, np.nan, np.nan, censored, n_folds)
    rng = np.random.default_rng(random_state)
    drawn = folds.resampled(n_resamples, rng, _spread(n_folds, test_share, confidence))
    outside = int(n_resamples * (1 - confidence) / 2)
    low = sorted(0.0 if side == BELOW else value for value, side in drawn)[outside]
    high = sorted(np.inf if side == ABOVE else value for value, side in drawn)[-1 - outside]
    return LabelsWorth(worth, low, high, censored, n_folds)


def pooled_worth(
    sets: Sequence[FoldScores],
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int = 0,
) -> LabelsWorth:
    """Give the geometric mean over sets, every set counting alike; censored values at their bound.

    Parameters
    ----------
    sets : sequence of FoldScores
        At least one; each has a fold.
    confidence : float in (0, 1), default=0.95
    n_resamples : int, default=2000
    random_state : int, default=0

    Returns
    -------
    LabelsWorth
        With the interval of a bootstrap that draws sets, then folds, as in `pooled_difference`.
    """
    check_confidence(confidence)
    rng = np.random.default_rng(random_state)
    totals = np.zeros(n_resamples)
    for _ in sets:
        drawn = rng.integers(len(sets), size=n_resamples)
        for number, folds in enumerate(sets):
            places = np.flatnonzero(drawn == number)
            totals[places] += [np.log(worth) for worth, _ in folds.resampled(len(places), rng)]
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.exp(np.quantile(totals / len(sets), ends))
    mean = np.exp(np.mean([np.log(folds.worth()[0]) for folds in sets]))
    return LabelsWorth(float(mean), float(low), float(high), "", len(sets))


def _spread(n_folds: int, test_share: float, confidence: float) -> float:
    """Width of the corrected resampled t interval of a mean over that of its bootstrap."""
    upper = (1 + confidence) / 2
    corrected = stats.t.ppf(upper, n_folds - 1) * np.sqrt(1 / n_folds + test_share)
    return float(corrected / (stats.norm.ppf(upper) * np.sqrt((n_folds - 1) / n_folds**2)))
