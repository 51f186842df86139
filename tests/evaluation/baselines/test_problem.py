"""Inner folds keep groups together and classes in training, with few labels too."""

from __future__ import annotations

import numpy as np
import pytest

from tabimg.evaluation.baselines.problem import N_FOLDS, inner_folds


def assert_parts_rows(folds: list, n_rows: int) -> np.ndarray:
    """Each fold parts all rows; no row is held out twice. Gives the rows ever held out."""
    for train, valid in folds:
        assert sorted([*train, *valid]) == list(range(n_rows))
    held_out = np.concatenate([valid for _, valid in folds])
    assert len(np.unique(held_out)) == len(held_out)
    return np.sort(held_out)


@pytest.mark.parametrize("n_classes", [5, 20])
def test_two_rows_a_class_make_five_folds_that_keep_every_class_in_training(
    n_classes: int,
) -> None:
    target = np.repeat(np.arange(n_classes), 2)
    folds = inner_folds(target, None, 0, n_classes)
    assert len(folds) == N_FOLDS
    assert len(assert_parts_rows(folds, len(target))) == len(target)
    for train, valid in folds:
        assert set(target[train]) == set(range(n_classes))
        assert len(valid) == len(target) // N_FOLDS


def test_classes_are_in_proportion() -> None:
    target = np.repeat([0, 1, 2], [50, 30, 20])
    for _, valid in inner_folds(target, None, 3, 3):
        assert np.bincount(target[valid]).tolist() == [10, 6, 4]


def test_class_of_a_single_row_or_group_is_never_held_out() -> None:
    target = np.array([0] * 10 + [1] * 10 + [2] + [3] * 3)
    groups = [*range(20), 20, "pair", "pair", "pair"]
    held_out = assert_parts_rows(inner_folds(target, groups, 0, 4), len(target))
    assert held_out.tolist() == list(range(20))


def test_groups_stay_together_and_missing_groups_are_rows_of_their_own() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([*np.repeat([f"g{i}" for i in range(20)], 4), *[None] * 20], dtype=object)
    target = rng.integers(3, size=100)
    folds = inner_folds(target, groups, 0, 3)
    assert len(assert_parts_rows(folds, 100)) == 100
    for train, valid in folds:
        shared = set(groups[train]) & set(groups[valid])
        assert shared <= {None}
    alone = {fold for fold, (_, valid) in enumerate(folds) if (valid >= 80).any()}
    assert len(alone) > 1


def test_numbers_are_in_proportion() -> None:
    target = np.random.default_rng(0).permutation(100).astype(float)
    folds = inner_folds(target, None, 0, 0)
    assert len(assert_parts_rows(folds, 100)) == 100
    for _, valid in folds:
        # One of each five consecutive numbers.
        assert sorted(target[valid] // 5) == list(range(20))


def test_same_seed_gives_same_folds_and_another_seed_others() -> None:
    target = np.repeat([0, 1], 30)
    first, again, other = (inner_folds(target, None, seed, 2) for seed in (1, 1, 2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("target", "groups", "n_classes"),
    [
        (np.array([0, 1, 2]), None, 3),
        (np.array([0, 0, 1, 1]), ["a", "a", "b", "b"], 2),
        (np.array([1.0, 2.0]), ["a", "a"], 0),
    ],
    ids=["one row a class", "one group a class", "one group"],
)
def test_nothing_to_hold_out_gives_no_fold(
    target: np.ndarray, groups: list | None, n_classes: int
) -> None:
    assert inner_folds(target, groups, 0, n_classes) == []


def test_fold_without_two_classes_left_is_dropped() -> None:
    # Without the fold that holds class 1 out, or parts of it, only class 0 could be learned.
    target = np.array([0, 0, 0, 0, 1, 1, 0, 1])
    groups = ["a", "b", "c", "d", "e", "e", "f", "f"]
    for train, _ in inner_folds(target, groups, 0, 2):
        assert set(target[train]) == {0, 1}


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        inner_folds(np.array([0, 1]), ["a"], 0, 2)
