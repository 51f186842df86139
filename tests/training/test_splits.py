"""Splits that keep related rows together, against brute force and by their promises."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tabimg.training.splits import (
    check_validation_fraction,
    dealt_folds,
    grouped_folds,
    labelled_rows,
    related_rows,
    validation_split,
)


def components_by_brute_force(ids: list[np.ndarray]) -> list[set[int]]:
    """Merge rows that share an id until nothing changes."""
    parts = [{row} for row in range(len(ids[0]))]
    for column in ids:
        for name in set(column[column >= 0].tolist()):
            sharing = set(np.flatnonzero(column == name).tolist())
            touched = [part for part in parts if part & sharing]
            parts = [part for part in parts if not part & sharing] + [set().union(*touched)]
    return parts


@pytest.mark.parametrize("seed", range(5))
def test_related_rows_are_connected_components(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [rng.integers(-1, 25, size=30) for _ in range(3)]
    labels = related_rows(*ids)
    got = {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}
    assert got == {frozenset(part) for part in components_by_brute_force(ids)}


def test_related_rows_none_never_links() -> None:
    labels = related_rows(np.full(6, -1), None, np.array([0, -1, -1, 0, -1, 7]))
    assert labels[0] == labels[3]
    assert len(set(labels.tolist())) == 5


def test_related_rows_equal_numbers_of_different_kinds_do_not_link() -> None:
    labels = related_rows(np.array([0, 1, 2]), np.array([2, 3, 4]))
    assert len(set(labels.tolist())) == 3


@pytest.mark.parametrize("fraction", [0.0, -0.1, 0.51, 1.0, float("nan")])
def test_check_validation_fraction_out_of_range_is_error(fraction: float) -> None:
    with pytest.raises(ValueError, match="validation_fraction must be None or in"):
        check_validation_fraction(fraction)


@pytest.mark.parametrize("fraction", [None, 1e-3, 0.5])
def test_check_validation_fraction_in_range_passes(fraction: float | None) -> None:
    check_validation_fraction(fraction)


@pytest.mark.parametrize("n_rows", [2, 3, 7, 20, 101])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("with_classes", [False, True])
def test_validation_split_parts_all_rows_and_validates_on_no_more_than_it_trains_on(
    n_rows: int, fraction: float, with_classes: bool
) -> None:
    classes = np.zeros(n_rows, dtype=int) if with_classes else None
    split = validation_split(np.arange(n_rows), fraction, 0, classes)
    assert split is not None
    train, valid = split
    assert np.array_equal(np.sort(np.r_[train, valid]), np.arange(n_rows))
    assert len(valid) == max(1, min(round(fraction * n_rows), n_rows // 2))


@pytest.mark.parametrize("seed", range(5))
def test_validation_split_groups_never_cross(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, classes = rng.integers(0, 30, 100), rng.integers(0, 4, 100)
    for labels in (None, classes):
        split = validation_split(groups, 0.2, seed, labels)
        assert split is not None
        train, valid = split
        assert not set(groups[train]) & set(groups[valid])
        assert len(train) + len(valid) == 100
        assert (np.diff(train) > 0).all() and (np.diff(valid) > 0).all()


def test_validation_split_is_stratified() -> None:
    classes = np.repeat([0, 1, 2], [60, 30, 10])
    for seed in range(5):
        split = validation_split(np.arange(100), 0.2, seed, classes)
        assert split is not None
        assert np.bincount(classes[split[1]]).tolist() == [12, 6, 2]


@pytest.mark.parametrize("seed", range(10))
def test_validation_split_keeps_every_class_in_training(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Mixed groups, classes of one row and classes that stand in one group only.
    groups = rng.integers(0, 12, 40)
    classes = np.r_[rng.integers(0, 3, 36), 3, 4, 5, 5]
    groups[38:] = 50
    split = validation_split(groups, 0.4, seed, classes)
    if split is not None:
        assert set(classes[split[0]]) == set(classes)


def test_validation_split_class_of_one_row_stays_in_training() -> None:
    classes = np.r_[np.zeros(20, int), 1, 2]
    for seed in range(10):
        split = validation_split(np.arange(22), 0.3, seed, classes)
        assert split is not None
        assert set(split[0]) >= {20, 21}


@pytest.mark.parametrize("one_pair_is_related", [False, True])
def test_validation_split_fewer_places_than_classes_takes_no_class_twice(
    one_pair_is_related: bool,
) -> None:
    classes = np.repeat(np.arange(50), 4)
    groups = np.arange(200)
    if one_pair_is_related:
        groups[1] = groups[0]
    split = validation_split(groups, 0.1, 0, classes)
    assert split is not None
    assert 19 <= len(split[1]) <= 21
    assert np.bincount(classes[split[1]]).max() == 1


def test_validation_split_few_places_do_not_go_to_the_first_classes() -> None:
    classes = np.repeat(np.arange(50), 4)
    chosen = np.concatenate(
        [classes[validation_split(np.arange(200), 0.05, seed, classes)[1]] for seed in range(20)]
    )
    assert 20 < chosen.mean() < 30


def test_validation_split_where_none_is_possible_or_wanted_is_none() -> None:
    one_group = np.zeros(10, dtype=int)
    assert validation_split(np.arange(10), None, 0) is None
    assert validation_split(one_group, 0.3, 0) is None
    assert validation_split(one_group, 0.3, 0, np.arange(10) % 2) is None
    # Each class has one group only.
    assert validation_split(np.arange(10) // 5, 0.3, 0, np.arange(10) // 5) is None


def test_validation_split_is_decided_by_the_seed() -> None:
    groups = np.arange(50)
    first, again, other = (validation_split(groups, 0.2, seed) for seed in (1, 1, 2))
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("with_classes", [False, True])
def test_grouped_folds_validate_each_group_once(with_classes: bool) -> None:
    rng = np.random.default_rng(0)
    groups, classes = rng.integers(0, 20, 60), rng.integers(0, 2, 60)
    folds = grouped_folds(groups, 3, 0, classes if with_classes else None)
    assert len(folds) == 3
    assert np.array_equal(np.sort(np.concatenate([v for _, v in folds])), np.arange(60))
    for train, valid in folds:
        assert not set(groups[train]) & set(groups[valid])


def test_grouped_folds_hold_the_classes_in_proportion() -> None:
    classes = np.repeat([0, 1], [30, 9])
    for _, valid in grouped_folds(np.arange(39), 3, 0, classes):
        assert np.bincount(classes[valid]).tolist() == [10, 3]


def test_grouped_folds_fewer_groups_than_folds_gives_one_fold_a_group() -> None:
    assert len(grouped_folds(np.array([0, 0, 1, 1, 1]), 3, 0)) == 2


def test_grouped_folds_nothing_to_part_gives_no_fold() -> None:
    assert grouped_folds(np.zeros(8, dtype=int), 3, 0) == []
    assert grouped_folds(np.arange(3), 3, 0, np.arange(3)) == []


def test_grouped_folds_class_of_one_row_is_never_validated() -> None:
    classes = np.r_[np.zeros(9, int), np.ones(9, int), 2]
    folds = grouped_folds(np.arange(19), 3, 0, classes)
    assert len(folds) == 3
    assert all(18 in train for train, _ in folds)


def rows_of(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups, classes and numbers of 90 rows."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 40, 90), rng.integers(0, 6, 90), rng.normal(size=90).round(1)


def grouped(groups: np.ndarray, classes: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
    # By group scikit-learn's rule differs between versions, with and without classes.
    return grouped_folds(np.arange(90), 5, seed, classes)


def dealt(groups: np.ndarray, classes: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
    group = related_rows(groups)
    return dealt_folds(classes, group, 5, seed, 6), dealt_folds(numbers, group, 5, seed, 0)


def validated(groups: np.ndarray, classes: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
    return [validation_split(groups, 0.3, seed, labels) for labels in (None, classes)]


def labelled(groups: np.ndarray, classes: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
    train = np.arange(10, 90)
    return [
        labelled_rows(train, groups, labels, fraction, seed)
        for labels in (None, classes)
        for fraction in (0.05, 0.3, 1.0)
    ]


def written(rows: Any) -> Any:
    """Turn nested arrays into nested lists."""
    if isinstance(rows, np.ndarray):
        return rows.tolist()
    return None if rows is None else [written(part) for part in rows]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (grouped, "8961a8a1bd52153c"),
        (dealt, "01ff726a1fe80c80"),
        (validated, "5b41f10dbcf0bb5f"),
        (labelled, "e384d385f0c65d22"),
    ],
)
def test_splits_of_a_seed_stay_what_they_were(split: Callable[..., Any], expected: str) -> None:
    # Saved studies and interrupted fits go on with the same rows.
    parts = [written(split(*rows_of(seed), seed)) for seed in range(20)]
    assert hashlib.sha256(repr(parts).encode()).hexdigest()[:16] == expected
