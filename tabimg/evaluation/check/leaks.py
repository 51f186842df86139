"""Columns that alone say nearly everything about the target: are they known at prediction?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tabimg.evaluation.foundation import Split, grouped_folds
from tabimg.table import RawColumn

MOST_ROWS = 3_000
N_FOLDS = 3
# A leaf of fewer rows would learn single rows by heart.
LEAF = 5
NEARLY_ALL = 0.95
FEWEST_ROWS = 60


def suspected_leaks(
    columns: Sequence[RawColumn], target: np.ndarray, task: str, groups: np.ndarray
) -> pd.DataFrame:
    """Find the columns from which a tree predicts the target nearly perfectly, out of fold.

    Parameters
    ----------
    columns : sequence of RawColumn
    target : array of shape (n_rows,)
    task : {"classification", "regression"}
    groups : int array of shape (n_rows,)

    Returns
    -------
    DataFrame
        As ``leaks`` of `DataCheck`.
    """
    rows = np.random.default_rng(0).permutation(len(target))[:MOST_ROWS]
    found = []
    if len(rows) >= FEWEST_ROWS and len(np.unique(target[rows])) > 1:
        numbers = np.unique(target[rows], return_inverse=True)[1]
        classes = numbers if task == "classification" else None
        folds = grouped_folds(groups[rows], N_FOLDS, 0, classes)
        for column in columns if folds else []:
            score = _score(_numbers(column)[rows], target[rows], task, folds)
            if score >= NEARLY_ALL:
                found.append({"column": column.name, "score": round(score, 3)})
    return pd.DataFrame(found, columns=["column", "score"])


def _numbers(column: RawColumn) -> np.ndarray:
    if column.kind.is_discrete:
        return pd.factorize(column.values, sort=False)[0].astype(np.float64)
    return np.asarray(column.values, dtype=np.float64)


def _score(numbers: np.ndarray, target: np.ndarray, task: str, folds: Sequence[Split]) -> float:
    kind = DecisionTreeClassifier if task == "classification" else DecisionTreeRegressor
    tree = kind(min_samples_leaf=LEAF, random_state=0)
    # A class with a single row is in the training rows of every fold: it is never predicted.
    tested = np.concatenate([test for _, test in folds])
    predicted = np.concatenate(
        [
            tree.fit(numbers[train, None], target[train]).predict(numbers[test, None])
            for train, test in folds
        ]
    )
    target = target[tested]
    if task == "classification":
        chance = pd.Series(target).value_counts(normalize=True).iloc[0]
        return float(((predicted == target).mean() - chance) / (1 - chance))
    return float(1 - ((predicted - target) ** 2).mean() / target.var())
