"""Labels' worth against hand counts, and its intervals against simulated curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tabimg.evaluation.labels_worth import (
    FoldScores,
    LabelsWorth,
    labels_needed,
    pooled_worth,
    worth_with_interval,
)

N_LABELS = np.array([10.0, 40.0, 160.0])


def make_folds(curve: Any, score: Any, n: float = 10.0, **changes: Any) -> FoldScores:
    """Folds from a curve of each fold, or one for all, and a score of each fold."""
    score = np.atleast_1d(np.asarray(score, dtype=np.float64))
    reference = np.broadcast_to(np.asarray(curve, dtype=np.float64), (len(score), 3))
    given = {
        "n_labels": N_LABELS,
        "reference": reference,
        "n_scores": np.isfinite(reference).astype(int),
        "score": score,
        "n": n,
        "greater_is_better": True,
    }
    return FoldScores(**{**given, **changes})


@pytest.mark.parametrize(
    ("score", "n", "needed", "censored"),
    [
        (0.5, 10, 10, ""),
        (0.6, 10, 20, ""),  # half way between 10 and 40, in the logarithm
        (0.75, 10, 80, ""),
        (0.8, 10, 160, ""),  # as good as all labels is no more than that
        (0.81, 10, 160, ">"),
        (0.49, 160, 10, "<"),
    ],
)
def test_labels_are_read_off_the_curve_in_logarithm(
    score: float, n: float, needed: float, censored: str
) -> None:
    found = labels_needed(N_LABELS, np.array([0.5, 0.7, 0.8]), score, n)
    assert found == (pytest.approx(needed), censored)


@pytest.mark.parametrize(("n", "needed"), [(10, 40), (40, 40), (80, 80), (160, 160), (640, 160)])
def test_score_on_a_plateau_needs_the_labels_nearest_to_its_own(n: float, needed: float) -> None:
    assert labels_needed(N_LABELS, np.array([0.5, 0.7, 0.7]), 0.7, n) == (needed, "")


def test_losses_and_scores_are_worth_the_same() -> None:
    scores = make_folds([0.5, 0.7, 0.8], 0.6)
    losses = make_folds([0.5, 0.3, 0.2], 0.4, greater_is_better=False)
    assert scores.worth() == (pytest.approx(2.0), "")
    assert losses.worth() == (pytest.approx(2.0), "")
    assert make_folds([0.5, 0.3, 0.2], 0.1, greater_is_better=False).worth() == (16.0, ">")
    assert make_folds([0.5, 0.3, 0.2], 0.6, greater_is_better=False).worth() == (1.0, "<")


def test_curve_that_falls_is_made_monotone_by_weight() -> None:
    # 0.8 counts twice as much as 0.5: both become 0.7.
    weights = np.array([[1, 2, 1]])
    folds = make_folds([0.6, 0.8, 0.5], 0.65, n_scores=weights)
    assert folds.worth() == (pytest.approx(2.0), "")
    assert make_folds([0.6, 0.8, 0.5], 0.71, n_scores=weights).worth() == (16.0, ">")
    # With 40 labels 0.75 is behind the reference by 0.05, and so it stays: 0.65.
    folds = make_folds([0.6, 0.8, 0.5], 0.75, n=40.0, n_scores=weights)
    assert folds.worth() == (pytest.approx(0.5), "")


@pytest.mark.parametrize("n", N_LABELS)
@pytest.mark.parametrize("curve", [[0.5, 0.7, 0.8], [0.6, 0.8, 0.5], [0.8, 0.5, 0.5]])
def test_score_of_the_reference_is_worth_its_labels(curve: list[float], n: float) -> None:
    score = curve[list(N_LABELS).index(n)]
    folds = make_folds([curve, np.add(curve, 0.1)], [score, score + 0.1], n)
    found = worth_with_interval(folds, test_share=0.25)
    assert found == LabelsWorth(1.0, 1.0, 1.0, "", 2)


def test_budgets_without_a_score_leave_the_curve() -> None:
    folds = make_folds([0.5, np.nan, 0.7], [0.6, 0.6])
    assert folds.worth() == (pytest.approx(4.0), "")
    curves = [[0.5, np.nan, 0.7], [0.5, 0.6, 0.7]]
    found = worth_with_interval(make_folds(curves, [0.6, 0.6]), test_share=0.25)
    assert (found.worth, found.low, found.high) == pytest.approx((4.0, 4.0, 4.0))


def test_interval_says_nothing_where_there_is_too_little_to_tell() -> None:
    found = worth_with_interval(make_folds([0.5, 0.7, 0.8], 0.6), test_share=0.25)
    assert found.worth == pytest.approx(2.0)
    assert np.isnan([found.low, found.high]).all() and found.n == 1
    none = worth_with_interval(make_folds([0.5, 0.7, 0.8], []), test_share=0.25)
    assert np.isnan([none.worth, none.low, none.high]).all() and none.n == 0


def test_interval_is_open_beyond_the_curve() -> None:
    scores = [0.76, 0.84, 0.79, 0.83, 0.78]  # about the best of the reference
    above = worth_with_interval(make_folds([0.5, 0.7, 0.8], scores), test_share=0.25)
    assert above.high == np.inf and 1 < above.low < 16
    scores = [0.46, 0.54, 0.49, 0.53, 0.48]  # about its worst
    below = worth_with_interval(make_folds([0.5, 0.7, 0.8], scores), test_share=0.25)
    assert below.low == 0.0 and 1 < below.high < 16
    # Far out, the bound is still a bound of the interval.
    best = worth_with_interval(make_folds([0.5, 0.7, 0.8], [0.9] * 5), test_share=0.25)
    assert best == LabelsWorth(16.0, 16.0, np.inf, ">", 5)
    worst = worth_with_interval(make_folds([0.5, 0.7, 0.8], [0.1] * 5), test_share=0.25)
    assert worst == LabelsWorth(1.0, 0.0, 1.0, "<", 5)


def test_folds_are_drawn_for_curve_and_score_together() -> None:
    # Folds differ by far more than the budgets do, and all by the same amount.
    ease = np.array([-0.3, -0.1, 0.0, 0.1, 0.3])
    folds = make_folds(np.array([0.5, 0.7, 0.8]) + ease[:, None], 0.6 + ease)
    found = worth_with_interval(folds, test_share=0.25)
    assert (found.worth, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def simulate(rng: np.random.Generator, true_worth: float, n_folds: int) -> FoldScores:
    """Scores 0.5 + 0.1 log2(n / 10), and those of a method that has ``true_worth`` the labels."""
    ease = rng.normal(0.0, 0.05, n_folds)
    truth = np.append(0.5 + 0.1 * np.log2(N_LABELS / 10), 0.5 + 0.1 * np.log2(4 * true_worth))
    scores = truth + ease[:, None] + rng.normal(0.0, 0.02, (n_folds, 4))
    return make_folds(scores[:, :3], scores[:, 3], n=40.0)


@pytest.mark.parametrize("true_worth", [0.4, 1.0, 2.5])
def test_interval_covers_the_true_worth_of_simulated_curves(true_worth: float) -> None:
    rng = np.random.default_rng(0)
    found = [
        worth_with_interval(simulate(rng, true_worth, 5), test_share=0.25, n_resamples=500)
        for _ in range(60)
    ]
    covered = [each.low <= true_worth <= each.high for each in found]
    assert np.mean(covered) >= 0.9
    many = worth_with_interval(simulate(rng, true_worth, 50), test_share=0.01, n_resamples=500)
    assert many.low > true_worth / 1.3 and many.high < true_worth * 1.3


def test_interval_depends_on_random_state_alone() -> None:
    folds = simulate(np.random.default_rng(1), 2.0, 8)
    first, again, other = (
        worth_with_interval(folds, 0.25, random_state=seed, n_resamples=200) for seed in (3, 3, 4)
    )
    assert first == again != other
    assert pooled_worth([folds], random_state=3) == pooled_worth([folds], random_state=3)
    wider = worth_with_interval(folds, 0.25, confidence=0.99)
    narrower = worth_with_interval(folds, 0.25, confidence=0.5)
    assert wider.low < narrower.low < narrower.high < wider.high
    with pytest.raises(ValueError, match="confidence must be in"):
        worth_with_interval(folds, 0.25, confidence=95)


def test_mean_over_sets_is_geometric_with_bounds_as_they_are() -> None:
    double, most = make_folds([0.5, 0.7, 0.8], [0.6] * 3), make_folds([0.5, 0.7, 0.8], [0.9] * 3)
    pooled = pooled_worth([double, most])
    assert pooled.worth == pytest.approx(np.sqrt(2 * 16))
    assert (pooled.low, pooled.high) == pytest.approx((2.0, 16.0))
    assert pooled.n == 2
