"""Folds inside the training rows, on which baselines are tuned and compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length

from tabimg.training.splits import Split, related_rows

N_FOLDS = 5


def inner_folds(target: np.ndarray, groups: Any, seed: int, n_classes: int) -> list[Split]:
    """Draw folds that keep groups together and the target in proportion.

    Parameters
    ----------
    target : array of shape (n_rows,)
        Class numbers, or numbers for regression.
    groups : sequence of length n_rows, or None
        Rows of one group never cross a split. A missing entry, or None for all, makes a row a
        group of its own.
    seed : int
    n_classes : int
        0 for regression.

    Returns
    -------
    list of (train, valid)
        At most `N_FOLDS`; empty where no row can be held out.

    Notes
    -----
    The groups are sorted by their most frequent class, or by blocks of the mean target, and dealt
    out in turn. Other than scikit-learn's stratified folds this also makes five folds of two rows
    a class, so that few labels are tuned on with four fifths of them instead of one half. A class
    whose rows are all in one group is never held out: nothing could have learned it.
    """
    if groups is None:
        group = np.arange(len(target))
    else:
        check_consistent_length(target, groups)
        group = related_rows(pd.factorize(np.asarray(groups, dtype=object))[0])
    strata, may_be_held_out = (
        _class_strata(target, group) if n_classes else _number_strata(target, group)
    )
    order = np.random.default_rng([seed, 103]).permutation(np.flatnonzero(may_be_held_out))
    order = order[np.argsort(strata[order], kind="stable")]
    fold_of_group = np.full(len(strata), -1)
    fold_of_group[order] = np.arange(len(order)) % N_FOLDS
    fold = fold_of_group[group]
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(N_FOLDS)]
    # One class, or no row at all, is nothing to learn from.
    enough = 2 if n_classes else 1
    return [(t, v) for t, v in splits if len(v) and len(np.unique(target[t])) >= enough]


def _class_strata(target: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most frequent class of each group, and whether every class has rows outside it."""
    counts = pd.crosstab(group, target).to_numpy()
    holds_a_whole_class = (counts == counts.sum(axis=0)) & (counts > 0)
    return counts.argmax(axis=1), ~holds_a_whole_class.any(axis=1)


def _number_strata(target: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of as many groups as there are folds, by the groups' mean target."""
    means = pd.Series(target).groupby(group).mean().to_numpy()
    ranks = np.empty(len(means), dtype=np.int64)
    ranks[np.argsort(means, kind="stable")] = np.arange(len(means))
    return ranks // N_FOLDS, np.full(len(means), len(means) > 1)
