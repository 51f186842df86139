"""Gradient boosting as plain arrays, like forests; the number of rounds is chosen by folds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from tabimg.serialization import register
from tabimg.serialization.checks import check_stored, check_type
from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.cross_fitting import CrossFitted, SimpleCandidate, held_out_by
from tabimg.training.forest import MAX_ROWS_A_TREE, ForestModel, stack_trees
from tabimg.training.runtime import own_warning_filters
from tabimg.training.splits import Split
from tabimg.training.tasks import Classification, Task

# A round of a classification grows one tree for each class: with more classes it takes minutes.
MAX_OUTPUTS = 20
# With fewer rows it is the weakest of all, and an even share in a blend is too much for it.
MIN_ROWS = 100
ROUNDS = (5, 10, 20, 40, 70, 100)
SETTINGS: dict[str, Any] = {"learning_rate": 0.1, "max_depth": 4, "max_features": 0.5}
# Each tree sees this share of the rows, unless they are few.
SHARE_OF_ROWS, FEW_ROWS = 0.5, 40
# A leaf holds this share of the rows, within these bounds.
LEAF_SHARE, LEAF_ROWS = 0.02, (2, 20)
# What a class starts from that no row has.
MIN_PRIOR = 1e-6


@dataclass(frozen=True, eq=False)
class BoostedModel:
    """Trees on some blocks whose leaves add up to logits, or to numbers.

    Parameters
    ----------
    trees : ForestModel
        A leaf holds what is added.
    start : float64 array of shape (n_outputs,)
        What it is added to.
    """

    trees: ForestModel
    start: np.ndarray

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        """Add up the trees' leaves, on the CPU; see `Model`."""
        features = blocks.matrix(self.trees.names)
        added = self.trees.summed_leaves(features, self.trees.roots, len(self.start))
        return _predictions(self.start + added, task)

    def staged(self, blocks: Blocks, task: Task) -> list[np.ndarray]:
        """Predict with the trees of the first rounds only, for each number in ``ROUNDS``."""
        features, roots = blocks.matrix(self.trees.names), self.trees.roots
        a_round = len(roots) // max(ROUNDS)
        totals, staged = np.tile(self.start, (len(blocks), 1)), []
        for first, last in pairwise([0, *ROUNDS]):
            part = roots[first * a_round : last * a_round]
            totals = totals + self.trees.summed_leaves(features, part, len(self.start))
            staged.append(_predictions(totals, task))
        return staged

    def first(self, n_rounds: int) -> BoostedModel:
        """Return the model of the first rounds, of one that has them all."""
        roots = self.trees.roots
        kept = roots[: n_rounds * (len(roots) // max(ROUNDS))]
        return replace(self, trees=replace(self.trees, roots=kept))


def check_boosted(model: BoostedModel) -> None:
    """Raise a ValueError for values that are not a boosted model."""
    check_type("trees", model.trees, ForestModel)
    check_stored("start", model.start, "float64", (None,))
    if len(model.start) == 0:
        raise ValueError("a boosted model has no outputs")


register(BoostedModel, check=check_boosted)


def can_boost(n_rows: int, task: Task) -> bool:
    """Return whether gradient boosting is worth its time."""
    return n_rows >= MIN_ROWS and task.n_outputs <= MAX_OUTPUTS


@dataclass(frozen=True)
class BoostingCandidate(SimpleCandidate):
    """Gradient boosting on some blocks.

    Parameters
    ----------
    seed : int
    names : tuple of str
    """

    seed: int
    names: tuple[str, ...] = (COLUMNS,)

    def fit_folds(self, rows: LabelledRows, folds: Sequence[Split], task: Task) -> CrossFitted:
        """Choose the number of rounds; see `SimpleCandidate`."""
        longest = [self._fit(task, max(ROUNDS), rows.take(train)) for train, _ in folds]
        losses = np.zeros(len(ROUNDS))
        for model, (_, valid) in zip(longest, folds, strict=True):
            for number, predictions in enumerate(model.staged(rows.blocks.take(valid), task)):
                losses[number] += rows.weight[valid] @ task.losses(predictions, rows.target[valid])
        best = ROUNDS[int(np.argmin(losses)) if folds else len(ROUNDS) // 2]
        models = [model.first(best) for model in longest]
        held_out = held_out_by(models, rows.blocks, folds, task)
        return CrossFitted(held_out, models, partial(self._fit, task, best))

    def _fit(self, task: Task, n_rounds: int, rows: LabelledRows) -> BoostedModel:
        features = rows.blocks.matrix(self.names)
        model = fit_boosting(features, rows.target, rows.weight, task, self.seed, n_rounds)
        return replace(model, trees=replace(model.trees, names=self.names))


def fit_boosting(
    features: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    task: Task,
    seed: int,
    n_rounds: int,
) -> BoostedModel:
    """Fit scikit-learn's gradient boosting and convert it, using its public attributes.

    Parameters
    ----------
    features : float32 array of shape (n_rows, n_features)
    target : array of n_rows rows
    weight : array of shape (n_rows,)
    task : Task
    seed, n_rounds : int

    Notes
    -----
    Friedman, "Stochastic gradient boosting", 2002. Several numbers are boosted one by one.
    """
    n_rows = len(features)
    settings = {
        **SETTINGS,
        "n_estimators": n_rounds,
        "min_samples_leaf": int(np.clip(LEAF_SHARE * n_rows, *LEAF_ROWS)),
        "subsample": min(SHARE_OF_ROWS, MAX_ROWS_A_TREE / n_rows) if n_rows > FEW_ROWS else 1.0,
        "random_state": seed % 2**31,
    }
    with own_warning_filters():
        # The estimator's own check has already warned of it.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        if isinstance(task, Classification):
            return _fit_classes(settings, features, target, weight, task.n_outputs)
        return _fit_numbers(settings, features, target, weight)


def _fit_classes(
    settings: dict[str, Any],
    features: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    n_classes: int,
) -> BoostedModel:
    """Boost the logits of the classes, from those of their shares."""
    shares = np.bincount(target, weight, minlength=n_classes) / weight.sum()
    start = np.log(np.maximum(shares, MIN_PRIOR))
    classes = np.unique(target)
    if len(classes) < 2:
        # A constant needs no tree, but rounds are counted in trees.
        leaf = DecisionTreeRegressor().fit([[0.0]], [0.0]).tree_
        return BoostedModel(_as_forest([(leaf, 0)] * settings["n_estimators"], n_classes), start)
    model = GradientBoostingClassifier(**settings).fit(features, target, sample_weight=weight)
    # With two classes only the second has trees.
    outputs = classes if model.estimators_.shape[1] > 1 else classes[1:]
    rounds = [zip(trees, outputs, strict=True) for trees in model.estimators_]
    pairs = [(tree.tree_, output) for each in rounds for tree, output in each]
    return BoostedModel(_as_forest(pairs, n_classes), start)


def _fit_numbers(
    settings: dict[str, Any], features: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> BoostedModel:
    """Boost standardised numbers from 0."""
    models = [
        GradientBoostingRegressor(init="zero", **settings).fit(features, column, weight)
        for column in target.T
    ]
    rounds = zip(*(model.estimators_[:, 0] for model in models), strict=True)
    pairs = [(tree.tree_, output) for trees in rounds for output, tree in enumerate(trees)]
    return BoostedModel(_as_forest(pairs, len(models)), np.zeros(len(models)))


def _as_forest(pairs: list[tuple[Any, int]], n_outputs: int) -> ForestModel:
    """Stack trees, each of which adds to one output."""
    values = []
    for tree, output in pairs:
        added = np.zeros((tree.node_count, n_outputs))
        added[:, output] = SETTINGS["learning_rate"] * tree.value[:, 0, 0]
        values.append(csr_array(added))
    return stack_trees([tree for tree, _ in pairs], vstack(values, format="csr"))


def _predictions(totals: np.ndarray, task: Task) -> np.ndarray:
    return task.predictions(torch.from_numpy(totals)).numpy()
