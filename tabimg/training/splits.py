"""Which rows are trained on, held out, and used with their label; related rows stay together."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from tabimg.messages import shorten
from tabimg.training.runtime import derive_seed, own_warning_filters

Split = tuple[np.ndarray, np.ndarray]
MIN_LABELS_PER_CLASS = 2


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
    groups: np.ndarray, fraction: float | None, seed: int, classes: np.ndarray | None = None
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
        Keeps the classes in proportion, a group counting as its most frequent class. Each class
        stays in training, so one with a single group is only there.

    Returns
    -------
    (train, valid) : int arrays of row numbers, sorted, or None
        None if a split is not wanted or not possible: with fewer than two groups, or if validation
        would get more rows than training.
    """
    if fraction is None:
        return None
    rng = np.random.default_rng([seed, 101])
    _, group = np.unique(groups, return_inverse=True)
    chosen = _draw_groups(_strata(group, classes), fraction, rng)
    in_valid = np.isin(group, chosen)
    if classes is not None:
        in_valid = _give_back_lost_classes(in_valid, group, classes)
    train, valid = np.flatnonzero(~in_valid), np.flatnonzero(in_valid)
    return None if len(valid) == 0 or len(valid) > len(train) else (train, valid)


def grouped_folds(
    groups: np.ndarray, n_folds: int, seed: int, classes: np.ndarray | None = None
) -> list[Split]:
    """Folds that keep groups together and, if given, classes in proportion.

    A class with a single row is in the training rows of every fold.

    Returns
    -------
    list of (train, valid)
        Empty if there are fewer than two groups.
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
    # The only row of a class stays on the side of its group.
    splits = [(np.flatnonzero(~np.isin(groups, groups[v])), v) for v in valid_rows]
    return [(train, valid) for train, valid in splits if len(train) and len(valid)]


def dealt_folds(
    target: np.ndarray, groups: np.ndarray, n_folds: int, seed: int, n_classes: int
) -> list[Split]:
    """Folds for few rows: groups are sorted by target and dealt out in turn.

    Parameters
    ----------
    target : array of shape (n_rows,)
        Class numbers, or numbers for regression.
    groups : int array of shape (n_rows,)
        Numbers from 0. Rows of one group never cross a split.
    n_folds, seed : int
    n_classes : int
        0 for regression.

    Returns
    -------
    list of (train, valid)
        At most ``n_folds``; empty if no row can be held out.

    Notes
    -----
    Groups are sorted by their most frequent class, or by blocks of the mean target. Unlike
    `grouped_folds` this also makes five folds of two rows per class, so that tuning on few labels
    trains on four fifths of them instead of half. A class whose rows are all in one group is never
    held out: no model could have learned it.
    """
    if n_classes:
        stratum = _strata_of_classes(groups, target)
    else:
        stratum = _strata_of_numbers(groups, target, n_folds)
    free = np.flatnonzero(stratum >= 0)
    order = free[_by_stratum(stratum[free], np.random.default_rng([seed, 103]))]
    fold_of_group = np.full(len(stratum), -1)
    fold_of_group[order] = np.arange(len(order)) % n_folds
    fold = fold_of_group[groups]
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]
    # A single class, or no row at all, is nothing to learn from.
    enough = 2 if n_classes else 1
    return [(t, v) for t, v in splits if len(v) and len(np.unique(target[t])) >= enough]


def labelled_rows(
    train: np.ndarray, groups: np.ndarray, classes: np.ndarray | None, fraction: float, seed: int
) -> np.ndarray:
    """Draw the training rows whose label may be used.

    Whole groups are drawn, classes in proportion, until ``fraction`` of the rows is reached, and
    at least two rows of each class (two rows in regression) or all that it has. Draws with one
    seed are nested: a larger fraction keeps the rows of a smaller one.

    Parameters
    ----------
    train : int array of shape (n_train,)
    groups : int array of shape (n_rows,)
    classes : int array of shape (n_rows,), or None
    fraction : float in (0, 1]
    seed : int

    Returns
    -------
    int array
        Row positions, sorted. If groups have several rows, it may hold up to one group more than
        requested.
    """
    names, group = np.unique(groups[train], return_inverse=True)
    label = np.zeros(len(train), dtype=np.int64) if classes is None else classes[train]
    place = np.random.default_rng(seed).permutation(len(names))
    # The groups that hold the first rows of a class, groups taken in random order.
    rows = np.argsort(place[group], kind="stable")
    is_first = _count_before(label[rows]) < MIN_LABELS_PER_CLASS
    indispensable = np.isin(np.arange(len(names)), group[rows[is_first]])
    # Every prefix of this order holds these first, then the classes in proportion.
    order = np.lexsort([place, ~indispensable])
    urgency = _urgency(_strata(group, label)[order])
    urgency[indispensable[order]] = -1.0
    order = order[np.lexsort([place[order], urgency])]

    rows_so_far = np.cumsum(np.bincount(group)[order])
    n_wanted = round(fraction * len(train))
    n_groups = int(np.searchsorted(rows_so_far, n_wanted)) + 1 if n_wanted else 0
    drawn = order[: max(n_groups, int(indispensable.sum()))]
    return np.sort(train[np.isin(group, drawn)])


def _stratified_group_folds(
    classes: np.ndarray, groups: np.ndarray, n_folds: int, random_state: int
) -> list[Split]:
    distinct = len(np.unique(groups)) == len(groups)
    # The grouped splitter is slow if every row is its own group.
    splitter = (StratifiedKFold if distinct else StratifiedGroupKFold)(
        n_folds, shuffle=True, random_state=random_state
    )
    with own_warning_filters():
        # Classes with fewer rows than folds are missing from some, which cannot be avoided.
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


def _draw_groups(stratum: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Draw groups for validation, in proportion to the strata; one of each stays in training."""
    n_wanted = max(1, min(round(fraction * len(stratum)), len(stratum) // 2))
    order = _by_stratum(stratum, rng)
    sorted_strata = stratum[order]
    is_last = np.append(sorted_strata[1:] != sorted_strata[:-1], True)
    drawable = order[~is_last]
    # Ties are broken at random, so that the first strata do not take all of a few places.
    urgency = _urgency(sorted_strata)[~is_last]
    return drawable[np.lexsort([rng.random(len(drawable)), urgency])[:n_wanted]]


def _give_back_lost_classes(
    in_valid: np.ndarray, group: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return a group to training for each class that training would lack."""
    in_valid = in_valid.copy()
    for lost in np.setdiff1d(classes, classes[~in_valid]):
        if not np.isin(lost, classes[~in_valid]):
            in_valid[group == group[classes == lost][0]] = False
    return in_valid


def _strata(group: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Return each group's most frequent class, the first among equals; groups count from 0."""
    if classes is None:
        classes = np.zeros(len(group), dtype=np.int64)
    names, label = np.unique(classes, return_inverse=True)
    pairs, count = np.unique(group * len(names) + label, return_counts=True)
    frequent_first = pairs[np.argsort(-count, kind="stable")]
    _, place = np.unique(frequent_first // len(names), return_index=True)
    return frequent_first[place] % len(names)


def _strata_of_classes(group: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return `_strata`, and -1 for a group that holds all rows of a class."""
    stratum = _strata(group, classes)
    holders = pd.Series(group).groupby(classes).agg(["first", "nunique"])
    stratum[holders["first"][holders["nunique"] == 1]] = -1
    return stratum


def _strata_of_numbers(group: np.ndarray, numbers: np.ndarray, size: int) -> np.ndarray:
    """Number blocks of ``size`` groups by the groups' mean; -1 if there is only one group."""
    # Plain sums round differently from pandas', and could change the folds of stored results.
    means = pd.Series(numbers).groupby(group).mean().to_numpy()
    rank = np.argsort(np.argsort(means, kind="stable"))
    return rank // size if len(means) > 1 else np.array([-1])


def _by_stratum(stratum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order positions by stratum, at random within each."""
    order = rng.permutation(len(stratum))
    return order[np.argsort(stratum[order], kind="stable")]


def _urgency(stratum: np.ndarray) -> np.ndarray:
    """Return the share of its stratum that comes before each position.

    Sorted by it, every prefix holds the strata in proportion.
    """
    return (_count_before(stratum) + 0.5) / np.bincount(stratum)[stratum]


def _count_before(values: np.ndarray) -> np.ndarray:
    """Count, at each position, the equal values before it."""
    return pd.Series(values).groupby(values).cumcount().to_numpy()
