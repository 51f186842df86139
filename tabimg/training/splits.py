"""Validation rows, split off so that related rows stay on one side."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import (
    GroupKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from tabimg.messages import shorten
from tabimg.training.runtime import derive_seed, own_warning_filters

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
            f"validation_fraction must be None or in (0, 0.5], got {shorten(fraction)}: validation "
            "never gets more rows than training"
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
        Share of the groups; None means no split.
    seed : int
    classes : int array of shape (n_rows,), optional
        Keeps the classes in proportion, a group counting for its most frequent class. Each class
        stays in training too, so one with a single group stays there alone.

    Returns
    -------
    (train, valid) : int arrays of row numbers, sorted, or None
        None where a split is not wanted or not possible: with fewer than two groups to part, or
        where validation would end up with more rows than training.
    """
    if fraction is None:
        return None
    rng = np.random.default_rng([seed, 101])
    names, group = np.unique(groups, return_inverse=True)
    if classes is None:
        strata = np.zeros(len(names), dtype=np.int64)
    else:
        strata = _most_frequent(group, classes)
    chosen = _draw_groups(strata, fraction, rng)
    in_valid = np.isin(group, chosen)
    if classes is not None:
        in_valid = _give_back_lost_classes(in_valid, group, classes)
    train, valid = np.flatnonzero(~in_valid), np.flatnonzero(in_valid)
    return None if len(valid) == 0 or len(valid) > len(train) else (train, valid)


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
    with own_warning_filters():
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


def _most_frequent(group: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Give the most frequent class of each group; group numbers count from 0."""
    _, label = np.unique(classes, return_inverse=True)
    counts = coo_array((np.ones(len(group)), (group, label))).tocsr()
    return np.asarray(counts.argmax(axis=1)).ravel()


def _draw_groups(strata: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Draw groups for validation, in proportion to the strata; one of each stays in training."""
    n_wanted = max(1, min(round(fraction * len(strata)), len(strata) // 2))
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    _, first, size = np.unique(strata[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, size)
    sizes = np.repeat(size, size)
    # Where the share of its stratum that is drawn before it is smallest, a group is drawn first;
    # ties are broken at random, so that with few places not the first strata take them all.
    urgency = (rank + 0.5) / sizes
    drawable = np.flatnonzero(rank < sizes - 1)
    by_urgency = np.lexsort([rng.random(len(drawable)), urgency[drawable]])
    return order[drawable[by_urgency[:n_wanted]]]


def _give_back_lost_classes(
    in_valid: np.ndarray, group: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return a group to training for each class that training would be without."""
    in_valid = in_valid.copy()
    for lost in np.setdiff1d(classes, classes[~in_valid]):
        if not np.isin(lost, classes[~in_valid]):
            in_valid[group == group[classes == lost][0]] = False
    return in_valid
