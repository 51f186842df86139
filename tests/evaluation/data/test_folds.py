"""Folds and label budgets, by their promises and against counting by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tabimg.evaluation.data import Fold, labelled_rows, outer_folds, plan_budgets


def single(n_rows: int) -> np.ndarray:
    """Every row a group of its own."""
    return np.arange(n_rows)


@pytest.fixture
def groups() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60, size=200)


@pytest.fixture
def classes() -> np.ndarray:
    return np.random.default_rng(1).choice(4, size=200, p=[0.5, 0.3, 0.15, 0.05])


@pytest.mark.parametrize("with_classes", [False, True])
def test_outer_folds_test_each_row_once_a_repeat_and_keep_groups_together(
    groups: np.ndarray, classes: np.ndarray, with_classes: bool
) -> None:
    folds = outer_folds(groups, classes if with_classes else None, 5, 3, 0)
    assert [(f.repeat, f.number) for f in folds] == [(r, n) for r in range(3) for n in range(5)]
    for repeat in range(3):
        tested = np.concatenate([f.test for f in folds if f.repeat == repeat])
        np.testing.assert_array_equal(np.sort(tested), np.arange(200))
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        np.testing.assert_array_equal(
            np.sort(np.concatenate([fold.train, fold.test])), np.arange(200)
        )


def test_outer_folds_differ_between_repeats_and_seeds_and_repeat_for_one_seed() -> None:
    first, again, other = (outer_folds(single(50), None, 2, 2, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0].test, again[0].test)
    assert not np.array_equal(first[0].test, first[2].test)
    assert not np.array_equal(first[0].test, other[0].test)


def test_outer_folds_keep_classes_in_proportion(classes: np.ndarray) -> None:
    for fold in outer_folds(single(200), classes, 5, 1, 0):
        counts = np.bincount(classes[fold.test], minlength=4)
        np.testing.assert_allclose(counts, np.bincount(classes) / 5, atol=1)


def test_outer_folds_class_of_single_row_is_always_trained_on() -> None:
    classes = np.array([0] * 10 + [1] * 10 + [2])
    assert all(20 in fold.train for fold in outer_folds(single(21), classes, 5, 1, 0))


@pytest.mark.parametrize(("n_folds", "n_repeats"), [(1, 1), (5, 0)])
def test_outer_folds_out_of_range_is_error(n_folds: int, n_repeats: int) -> None:
    with pytest.raises(ValueError, match="n_folds must be at least 2"):
        outer_folds(single(20), None, n_folds, n_repeats, 0)


def test_outer_folds_too_few_groups_is_error_that_says_so() -> None:
    with pytest.raises(ValueError, match=r"only 3 of n_folds=5.*3 groups.*lower n_folds"):
        outer_folds(np.arange(30) % 3, None, 5, 1, 0)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.77])
def test_labelled_rows_without_groups_are_exactly_the_fraction_in_proportion(
    classes: np.ndarray, fraction: float
) -> None:
    train = np.arange(20, 200)
    rows = labelled_rows(train, single(200), classes, fraction, seed=3)
    assert len(rows) == round(fraction * len(train))
    assert len(set(rows)) == len(rows) and set(rows) <= set(train)
    of_each = np.bincount(classes[rows], minlength=4)
    wanted = np.maximum(fraction * np.bincount(classes[train]), 2)
    np.testing.assert_allclose(of_each, wanted, atol=1.5)


def test_labelled_rows_hold_two_of_each_class_or_all_it_has(classes: np.ndarray) -> None:
    classes = classes.copy()
    classes[7] = 4  # a class of one row
    rows = labelled_rows(np.arange(200), single(200), classes, 0.001, seed=0)
    np.testing.assert_array_equal(np.bincount(classes[rows]), [2, 2, 2, 2, 1])


def test_labelled_rows_in_regression_are_two_at_least() -> None:
    assert len(labelled_rows(np.arange(100), single(100), None, 0.001, seed=0)) == 2
    assert len(labelled_rows(np.arange(100), single(100), None, 0.2, seed=0)) == 20


@pytest.mark.parametrize("with_classes", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_labelled_rows_are_whole_groups_no_more_than_needed(
    groups: np.ndarray, classes: np.ndarray, with_classes: bool, seed: int
) -> None:
    train = np.flatnonzero(groups >= 10)
    rows = labelled_rows(train, groups, classes if with_classes else None, 0.3, seed)
    drawn = np.isin(groups[train], groups[rows])
    np.testing.assert_array_equal(rows, train[drawn])
    largest = np.bincount(groups[train]).max()
    assert 0.3 * len(train) - 1 <= len(rows) < 0.3 * len(train) + largest


@pytest.mark.parametrize("seed", range(5))
def test_labelled_rows_of_one_seed_are_nested(
    groups: np.ndarray, classes: np.ndarray, seed: int
) -> None:
    draws = [
        set(labelled_rows(np.arange(200), groups, classes, fraction, seed))
        for fraction in (0.02, 0.1, 0.3, 0.9, 1.0)
    ]
    assert all(small <= large for small, large in pairwise(draws))
    assert draws[-1] == set(range(200))


def test_labelled_rows_depend_on_seed(classes: np.ndarray) -> None:
    first, second = (
        labelled_rows(np.arange(200), single(200), classes, 0.1, seed) for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def budgets_of(classes: np.ndarray, fractions: Any, n_draws: Any = 3) -> list[tuple[Any, ...]]:
    n_rows = len(classes)
    folds = [Fold(0, 0, np.arange(n_rows), np.arange(0))]
    planned = plan_budgets(folds, single(n_rows), classes, fractions, n_draws, 0)
    return [(b.fraction, b.text, b.n_draws) for b in planned]


def test_plan_budgets_that_coincide_are_merged_and_named() -> None:
    classes = np.repeat(np.arange(99), 8)  # two of each are a quarter
    assert budgets_of(classes, (1.0, 0.05, 0.25, 0.1, 0.5)) == [
        (0.05, "5 % = 10 % = 25 %", 3),
        (0.5, "50 %", 3),
        (1.0, "100 %", 1),
    ]


def test_plan_budgets_with_all_rows_have_one_draw() -> None:
    assert budgets_of(np.repeat([0, 1], 2), (0.1, 1.0)) == [(0.1, "10 % = 100 %", 1)]


def test_plan_budgets_draws_by_fraction_and_merged_take_the_most() -> None:
    classes = np.repeat(np.arange(10), 10)
    draws = {0.1: 2, 0.2: 5, 0.5: 1}
    assert budgets_of(classes, (0.1, 0.2, 0.5, 1.0), draws) == [
        (0.1, "10 % = 20 %", 5),
        (0.5, "50 %", 1),
        (1.0, "100 %", 1),
    ]


@pytest.mark.parametrize("fractions", [(), (0.0, 0.5), (0.5, 1.1)])
def test_plan_budgets_fraction_out_of_range_is_error(fractions: Any) -> None:
    with pytest.raises(ValueError, match=r"label_fractions must be numbers in \(0, 1\]"):
        budgets_of(np.zeros(10, dtype=int), fractions)


@pytest.mark.parametrize("n_draws", [0, {0.1: 3}])
def test_plan_budgets_draws_missing_or_zero_is_error(n_draws: Any) -> None:
    with pytest.raises(ValueError, match=r"n_draws must be at least 1.*0\.5"):
        budgets_of(np.zeros(10, dtype=int), (0.5,), n_draws)
