"""Intervals against hand counts, against scipy, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tabimg.evaluation.statistics import corrected_interval, pooled_difference


def test_corrected_interval_equals_hand_count() -> None:
    interval = corrected_interval([1.0, 2.0, 3.0, 4.0, 5.0], test_share=0.25)
    error = np.sqrt((1 / 5 + 1 / 4) * 2.5)
    assert interval.mean == 3.0 and interval.n == 5
    # 2.776 is the tabulated t quantile of 4 degrees of freedom.
    assert interval.high - 3.0 == pytest.approx(2.776 * error, rel=1e-3)
    assert 3.0 - interval.low == pytest.approx(interval.high - 3.0)
    assert interval.p_value == pytest.approx(2 * stats.t.sf(3.0 / error, 4))


def test_without_overlap_it_is_the_usual_t_interval() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, size=12)
    interval = corrected_interval(values, test_share=1e-12, confidence=0.9)
    usual = stats.ttest_1samp(values, 0.0)
    assert interval.p_value == pytest.approx(usual.pvalue)
    expected = usual.confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_correction_keeps_its_promise_where_the_usual_interval_does_not() -> None:
    # Fold values that share a part, as overlapping training rows make them: correlation
    # n_test / (n_test + n_train), which is what the correction assumes.
    rng = np.random.default_rng(0)
    n_studies, n_folds, correlation = 2000, 10, 0.2
    shared = rng.normal(size=(n_studies, 1)) * np.sqrt(correlation)
    values = shared + rng.normal(size=(n_studies, n_folds)) * np.sqrt(1 - correlation)
    corrected = [corrected_interval(row, test_share=0.25).p_value < 0.05 for row in values]
    usual = stats.ttest_1samp(values, 0.0, axis=1).pvalue < 0.05
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.02)
    assert usual.mean() > 0.2


@pytest.mark.parametrize(("values", "mean"), [([0.5], 0.5), ([0.5, np.nan], 0.5), ([], np.nan)])
def test_single_fold_has_a_mean_and_no_interval(values: list[float], mean: float) -> None:
    interval = corrected_interval(values, test_share=0.25)
    np.testing.assert_equal(interval.mean, mean)
    assert np.isnan([interval.low, interval.high, interval.p_value]).all()


def test_folds_that_agree_give_no_width() -> None:
    assert corrected_interval([0.5, 0.5], 0.25).p_value == 0.0
    zero = corrected_interval([0.0, 0.0], 0.25)
    assert (zero.low, zero.high, zero.p_value) == (0.0, 0.0, 1.0)


def test_pooled_difference_of_sets_without_spread_is_a_bootstrap_of_their_means() -> None:
    sets = {name: [value] * 3 for name, value in zip("abcd", [1.0, 2.0, 3.0, 6.0], strict=True)}
    pooled = pooled_difference(sets, n_resamples=20_000)
    reference = stats.bootstrap(
        ([1.0, 2.0, 3.0, 6.0],), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert pooled.mean == 3.0 and pooled.n == 4
    assert (pooled.low, pooled.high) == pytest.approx((reference.low, reference.high), abs=0.1)


def test_pooled_difference_of_one_set_is_a_bootstrap_of_its_folds() -> None:
    values = np.random.default_rng(0).normal(size=15)
    pooled = pooled_difference({"one": values}, n_resamples=20_000)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert (pooled.low, pooled.high) == pytest.approx((reference.low, reference.high), abs=0.03)


def test_sets_count_alike_whatever_their_number_of_folds() -> None:
    pooled = pooled_difference({"many": [0.0] * 50, "few": [1.0] * 2})
    assert pooled.mean == 0.5


def test_pooled_p_value_sees_sides() -> None:
    clear = pooled_difference({"a": [0.1, 0.2], "b": [0.3, 0.1]}, n_resamples=999)
    assert clear.p_value == pytest.approx(2 / 1000)
    assert pooled_difference({"a": [-0.1, 0.1], "b": [0.2, -0.2]}).p_value > 0.5
    assert pooled_difference({"a": [0.0, 0.0]}).p_value == 1.0


def test_pooled_difference_is_seeded() -> None:
    sets = {"a": [0.1, 0.5, -0.2], "b": [0.3, 0.4]}
    assert pooled_difference(sets, random_state=4) == pooled_difference(sets, random_state=4)
    assert pooled_difference(sets, random_state=4) != pooled_difference(sets, random_state=5)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="confidence must be in"):
        corrected_interval([1.0, 2.0], 0.25, confidence=95)
    with pytest.raises(ValueError, match="test_share must be a number above 0"):
        corrected_interval([1.0, 2.0], 0.0)
    with pytest.raises(ValueError, match="at least one set"):
        pooled_difference({})
    with pytest.raises(ValueError, match="'leaves' has no difference"):
        pooled_difference({"leaves": [np.nan]})
