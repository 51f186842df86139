"""Forests of decision trees as plain arrays, which pickle, hash and save like any other state."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, vstack

from tabimg.serialization import register
from tabimg.serialization.checks import check_stored
from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows, check_blocks
from tabimg.training.cross_fitting import CrossFitted, SimpleCandidate, held_out_by
from tabimg.training.runtime import derive_seed, own_warning_filters
from tabimg.training.splits import Split
from tabimg.training.tasks import Task

N_TREES = 100
TREES_AT_ONCE = 25
MAX_ROWS_A_TREE = 10_000
# Of a tree that was read from a file; a fitted one has at most one leaf per row.
MAX_DEPTH = 2 * MAX_ROWS_A_TREE


@dataclass(frozen=True, eq=False)
class ForestModel:
    """Trees on some blocks.

    The nodes of all trees are stacked. An inner node sends a row to ``left`` if its ``feature`` is
    at most ``threshold``, else to ``right``; a leaf has feature -1.

    Parameters
    ----------
    roots : int64 array of shape (n_trees,)
    feature : int32 array of shape (n_nodes,)
    threshold : float64 array of shape (n_nodes,)
    left, right : int64 array of shape (n_nodes,)
    values, indices, pointers : arrays
        The prediction of each node, as a sparse matrix of shape (n_nodes, n_outputs): a leaf mostly
        holds a single class.
    names : tuple of str
        The blocks that the trees see, side by side.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray
    indices: np.ndarray
    pointers: np.ndarray
    names: tuple[str, ...] = (COLUMNS,)

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        """Average the trees' leaves, on the CPU; see `Model`."""
        n_trees = len(self.roots)
        total = self.summed_leaves(blocks.matrix(self.names), self.roots, task.n_outputs)
        return task.smoothed(total / n_trees, n_trees)

    def summed_leaves(self, features: np.ndarray, roots: np.ndarray, n_outputs: int) -> np.ndarray:
        """Add up the leaves that rows reach in some of the trees, float64 (n_rows, n_outputs)."""
        leaves = self._leaves(features, roots)
        shape = (len(self.feature), n_outputs)
        values = csr_array((self.values, self.indices, self.pointers), shape=shape)
        pointers = np.arange(len(features) + 1) * len(roots)
        ones = np.ones(leaves.size)
        visits = csr_array((ones, leaves.ravel(), pointers), shape=(len(features), shape[0]))
        return (visits @ values).toarray()

    def _leaves(self, columns: np.ndarray, roots: np.ndarray) -> np.ndarray:
        """Find the leaf of each row in each of these trees, int64 (n_rows, n_trees)."""
        rows = np.arange(len(columns))[:, None]
        nodes = np.repeat(roots[None], len(columns), axis=0)
        while True:
            feature = self.feature[nodes]
            inner = feature >= 0
            if not inner.any():
                return nodes
            goes_left = columns[rows, feature] <= self.threshold[nodes]
            below = np.where(goes_left, self.left[nodes], self.right[nodes])
            nodes = np.where(inner, below, nodes)


def check_forest(forest: ForestModel) -> None:
    """Raise a ValueError for arrays that are not a forest: prediction would fail or never end."""
    check_blocks(forest.names)
    n_nodes = len(forest.feature) if isinstance(forest.feature, np.ndarray) else 0
    check_stored("feature", forest.feature, "int32", (n_nodes,))
    check_stored("threshold", forest.threshold, "float64", (n_nodes,), finite=False)
    for name in ("left", "right"):
        check_stored(name, getattr(forest, name), "int64", (n_nodes,))
    check_stored("roots", forest.roots, "int64", (None,))
    check_stored("values", forest.values, "float64", (None,))
    n_values = len(forest.values)
    check_stored("indices", forest.indices, ("int32", "int64"), (n_values,))
    check_stored("pointers", forest.pointers, ("int32", "int64"), (n_nodes + 1,))
    pointers = forest.pointers
    if pointers[0] != 0 or pointers[-1] != n_values or (np.diff(pointers) < 0).any():
        raise ValueError("pointers do not split the values by node")
    if n_values and forest.indices.min() < 0:
        raise ValueError("an index is negative")
    if len(forest.roots) == 0 or np.isnan(forest.threshold).any():
        raise ValueError("a forest without trees, or with a NaN threshold")
    _check_descent(forest, n_nodes)


def _check_descent(forest: ForestModel, n_nodes: int) -> None:
    """Check that every path leads down to a leaf: children come after their parent."""
    inner = np.flatnonzero(forest.feature >= 0)
    children = np.concatenate([forest.left[inner], forest.right[inner]])
    below = (children > np.tile(inner, 2)) & (children < n_nodes)
    roots = forest.roots
    if not below.all() or roots.min() < 0 or roots.max() >= n_nodes:
        raise ValueError("a node leads to no later node")
    if len(np.unique(np.concatenate([roots, children]))) < len(roots) + len(children):
        raise ValueError("two nodes lead to the same one")
    level = roots
    for _ in range(MAX_DEPTH):
        level = level[forest.feature[level] >= 0]
        if len(level) == 0:
            return
        level = np.concatenate([forest.left[level], forest.right[level]])
    raise ValueError("a tree is too deep")


register(ForestModel, check=check_forest)


def fit_forest(
    kind: str,
    features: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    task: Task,
    seed: int,
    **settings: Any,
) -> ForestModel:
    """Fit a scikit-learn forest and convert it, using the public attributes of its trees.

    Parameters
    ----------
    kind : {"random_forest", "extra_trees"}
    features : float32 array of shape (n_rows, n_features)
    target : array of n_rows rows
    weight : array of shape (n_rows,)
    task : Task
    seed : int
    **settings
        Further parameters of the scikit-learn forest.
    """
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]  # scikit-learn warns of a single column
    trees, values = [], []
    # A tree of scikit-learn holds a dense row of outputs per node: a few trees at a time.
    for first in range(0, N_TREES, TREES_AT_ONCE):
        forest = _new_forest(kind, len(features), task, derive_seed(seed, first))
        forest.set_params(**settings)
        with own_warning_filters():
            # The estimator's own check has already warned of it.
            warnings.filterwarnings("ignore", message="The number of unique classes is greater")
            forest.fit(features, target, sample_weight=weight)
        for estimator in forest.estimators_:
            trees.append(estimator.tree_)
            classes = getattr(forest, "classes_", None)
            values.append(csr_array(task.tree_values(estimator.tree_, classes)))
    return stack_trees(trees, vstack(values, format="csr"))


def _new_forest(kind: str, n_rows: int, task: Task, seed: int) -> Any:
    # With more rows deeper trees cost memory and hardly improve.
    draws = {"bootstrap": True, "max_samples": MAX_ROWS_A_TREE} if n_rows > MAX_ROWS_A_TREE else {}
    return task.forests[kind](n_estimators=TREES_AT_ONCE, random_state=seed % 2**31, **draws)


def stack_trees(trees: list[Any], values: csr_array) -> ForestModel:
    """Stack the nodes of fitted trees, with the values at all nodes, (n_nodes, n_outputs)."""
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    return ForestModel(
        roots=roots.astype(np.int64),
        feature=np.concatenate([np.maximum(tree.feature, -1) for tree in trees]).astype(np.int32),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        left=_shifted([tree.children_left for tree in trees], roots),
        right=_shifted([tree.children_right for tree in trees], roots),
        values=values.data,
        indices=values.indices,
        pointers=values.indptr,
    )


@dataclass(frozen=True)
class ForestCandidate(SimpleCandidate):
    """A forest on some blocks.

    Parameters
    ----------
    kind : {"random_forest", "extra_trees"}
    seed : int
    names : tuple of str
    """

    kind: str
    seed: int
    names: tuple[str, ...] = (COLUMNS,)

    def fit_folds(self, rows: LabelledRows, folds: Sequence[Split], task: Task) -> CrossFitted:
        """See `SimpleCandidate`; there is nothing to choose."""
        fit = partial(self._fit, task)
        models = [fit(rows.take(train)) for train, _ in folds]
        return CrossFitted(held_out_by(models, rows.blocks, folds, task), models, fit)

    def _fit(self, task: Task, rows: LabelledRows) -> ForestModel:
        features = rows.blocks.matrix(self.names)
        forest = fit_forest(self.kind, features, rows.target, rows.weight, task, self.seed)
        return replace(forest, names=self.names)


def _shifted(children: list[np.ndarray], roots: np.ndarray) -> np.ndarray:
    shifted = [part + root for part, root in zip(children, roots, strict=True)]
    return np.concatenate(shifted).astype(np.int64)
