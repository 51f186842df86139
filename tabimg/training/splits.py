"""Validation rows, split off so that related rows stay on one side."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from tabimg.training.runtime import derive_seed

Split = tuple[np.ndarray, np.ndarray]


def related_rows(*ids: np.ndarray | None) -> np.ndarray:
    """Label the rows that are related, directly or through others.

    Parameters
    ----------
    *ids : int64 array of shape (n_rows,) or None
        Rows with an equal id (not -1) in any of the arrays are related.

    Returns
    -------
    labels : int array of shape (n_rows,)
        Equal labels for the rows of one connected component.
    """
    present = [np.asarray(i) for i in ids if i is not None]
    n_rows = len(present[0])
    rows, nodes, first_node = [], [], n_rows
    for column in present:
        known = np.flatnonzero(column >= 0)
        _, codes = np.unique(column[known], return_inverse=True)
        rows.append(known)
        nodes.append(codes + first_node)
        first_node += int(codes.max()) + 1 if len(codes) else 0
    row, node = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(row)), (row, node)), shape=(first_node, first_node))
    return connected_components(graph, directed=False)[1][:n_rows]


def check_validation_fraction(fraction: float | None) -> None:
    """Reject fractions that would validate on more rows than are trained on.

    Raises
    ------
    ValueError
        If the fraction is not None and not in (0, 0.5].
    """
    if fraction is not None and not 0.0 < fraction <= 0.5:
        raise ValueError(
            f"validation_fraction must be None or in (0, 0.5], got {fraction!r}: validation never "
            "gets more rows than training"
        )


def validation_split(
    groups: np.ndarray,
    fraction: float | None,
    seed: int,
    classes: np.ndarray | None = None,
) -> Split | None:
    """Split off validation rows by group.

    Parameters
    ----------
    groups : int array of shape (n_rows,)
        Rows of one group never cross the split.
    fraction : float in (0, 0.5], or None
        None means no split.
    seed : int
    classes : int array of shape (n_rows,), optional
        Keeps the classes in proportion. A class with a single group stays in training.

    Returns
    -------
    (train, valid) : int arrays of row numbers, sorted, or None
        None where a split is not wanted or not possible: with fewer than two groups to part, or
        where validation would end up with more rows than training.
    """
    if fraction is None:
        return None
    random_state = derive_seed(seed, 101) % (2**31)
    rows = np.arange(len(groups))
    splittable = rows if classes is None else rows[_has_two_groups(classes, groups)]
    if len(np.unique(groups[splittable])) < 2:
        return None
    if classes is None:
        valid = _split_by_group(groups, fraction, random_state)
    else:
        part = _split_by_class(classes[splittable], groups[splittable], fraction, random_state)
        valid = splittable[part]
        # The group of a moved row moves as a whole.
        valid = rows[np.isin(groups, groups[valid])]
    train = np.setdiff1d(rows, valid)
    if len(valid) == 0 or len(valid) > len(train) or _loses_class(classes, train):
        return None
    return train, valid


def grouped_folds(
    groups: np.ndarray, n_folds: int, seed: int, classes: np.ndarray | None = None
) -> list[Split]:
    """Folds that keep groups together and, where given, classes in proportion.

    A class with a single row is in the training rows of every fold.

    Returns
    -------
    list of (train, valid)
        Empty where there are fewer than two groups to part.
    """
    rows = np.arange(len(groups))
    if classes is not None:
        _, number, count = np.unique(classes, return_inverse=True, return_counts=True)
        rows = rows[count[number] >= 2]
    n_folds = min(n_folds, len(np.unique(groups[rows])))
    if n_folds < 2:
        return []
    random_state = derive_seed(seed, 102) % (2**31)
    if classes is None:
        folds = _shuffled_group_folds(groups, n_folds, random_state)
    else:
        folds = _stratified_group_folds(classes[rows], groups[rows], n_folds, random_state)
    valid_rows = [rows[valid] for _, valid in folds]
    # A single row of a class shares the side of its group.
    splits = [(np.flatnonzero(~np.isin(groups, groups[v])), v) for v in valid_rows]
    return [(train, valid) for train, valid in splits if len(train) and len(valid)]


def _stratified_group_folds(
    classes: np.ndarray, groups: np.ndarray, n_folds: int, random_state: int
) -> list[Split]:
    distinct = len(np.unique(groups)) == len(groups)
    # The grouped splitter is slow where every row is a group of its own.
    splitter = (StratifiedKFold if distinct else StratifiedGroupKFold)(
        n_folds, shuffle=True, random_state=random_state
    )
    with warnings.catch_warnings():
        # Classes with fewer rows than folds are missing from some; that is as good as it gets.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        try:
            return list(splitter.split(classes, classes, None if distinct else groups))
        except ValueError:  # every class has fewer rows than there are folds
            return _stratified_group_folds(classes, groups, n_folds - 1, random_state)


def _shuffled_group_folds(groups: np.ndarray, n_folds: int, random_state: int) -> list[Split]:
    """GroupKFold over shuffled rows; its own ``shuffle`` needs scikit-learn 1.6.1."""
    _, numbers = np.unique(groups, return_inverse=True)
    shuffled = np.random.default_rng(random_state).permutation(numbers.max() + 1)[numbers]
    return list(GroupKFold(n_folds).split(groups, groups=shuffled))


def _has_two_groups(classes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    pairs = np.unique(np.column_stack([classes, groups]), axis=0)
    names, n_groups = np.unique(pairs[:, 0], return_counts=True)
    return np.isin(classes, names[n_groups >= 2])


def _split_by_group(groups: np.ndarray, fraction: float, random_state: int) -> np.ndarray:
    splitter = GroupShuffleSplit(1, test_size=fraction, random_state=random_state)
    return np.sort(next(splitter.split(groups, groups=groups))[1])


def _split_by_class(
    classes: np.ndarray, groups: np.ndarray, fraction: float, random_state: int
) -> np.ndarray:
    if len(np.unique(groups)) == len(groups):
        n_valid = max(1, round(fraction * len(classes)))
        if n_valid < len(np.unique(classes)):
            return _one_row_of_some_classes(classes, n_valid, random_state)
        shuffle = StratifiedShuffleSplit(1, test_size=n_valid, random_state=random_state)
        return np.sort(next(shuffle.split(classes, classes))[1])
    n_splits = max(2, min(round(1 / fraction), len(np.unique(groups))))
    return _stratified_group_folds(classes, groups, n_splits, random_state)[0][1]


def _one_row_of_some_classes(classes: np.ndarray, n_valid: int, random_state: int) -> np.ndarray:
    """Draw fewer validation rows than there are classes, without taking two of one class."""
    rng = np.random.default_rng(random_state)
    order = rng.permutation(len(classes))
    _, first = np.unique(classes[order], return_index=True)
    return np.sort(rng.choice(order[first], n_valid, replace=False))


def _loses_class(classes: np.ndarray | None, train: np.ndarray) -> bool:
    return classes is not None and len(np.unique(classes[train])) < len(np.unique(classes))
