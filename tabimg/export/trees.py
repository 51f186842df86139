"""Forests and boosted trees as nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import numpy_helper

from tabimg.export.graph import DOUBLE, ML, Graph, Value
from tabimg.training.forest import ForestModel


@dataclass(frozen=True, eq=False)
class _Trees:
    """The nodes of trees with more than one node, tree by tree, roots first."""

    nodes: np.ndarray
    tree: np.ndarray


def summed_leaves(graph: Graph, forest: ForestModel, features: Value, n_outputs: int) -> Value:
    """Add up the leaves that rows reach in all trees, float64 (n_rows, n_outputs).

    Parameters
    ----------
    graph : Graph
    forest : ForestModel
    features : Value
        float32 (n_rows, n_features).
    n_outputs : int
    """
    # A tree that is one leaf says the same about all rows: not every runtime takes such a tree.
    single = forest.roots[forest.feature[forest.roots] < 0]
    constant = graph.constant(_leaf_values(forest, single, n_outputs).sum(axis=0)[None])
    trees = _grown_trees(forest)
    if not len(trees.nodes):
        zeros = graph.add("Mul", _first_column(graph, features), graph.constant(0.0))
        return graph.add("Add", zeros, constant)
    total = graph.add(
        "TreeEnsembleRegressor",
        graph.cast(features, DOUBLE),
        domain=ML,
        n_targets=n_outputs,
        aggregate_function="SUM",
        post_transform="NONE",
        **_node_attributes(forest, trees),
        **_leaf_attributes(forest, trees),
    )
    return graph.add("Add", graph.cast(total, DOUBLE), constant)


def _first_column(graph: Graph, features: Value) -> Value:
    return graph.cast(graph.add("Gather", features, graph.constant(np.array([0])), axis=1), DOUBLE)


def _grown_trees(forest: ForestModel) -> _Trees:
    """Find the nodes that the roots lead to; others may belong to trees that were cut off."""
    tree = np.full(len(forest.feature), -1)
    roots = forest.roots[forest.feature[forest.roots] >= 0]
    tree[roots] = np.arange(len(roots))
    level = roots
    while len(level):
        inner = level[forest.feature[level] >= 0]
        for children in (forest.left[inner], forest.right[inner]):
            tree[children] = tree[inner]
        level = np.concatenate([forest.left[inner], forest.right[inner]])
    nodes = np.flatnonzero(tree >= 0)
    nodes = nodes[np.argsort(tree[nodes], kind="stable")]
    return _Trees(nodes, tree[nodes])


def _node_attributes(forest: ForestModel, trees: _Trees) -> dict[str, object]:
    """Describe the nodes; they keep their numbers, which are distinct within a tree."""
    nodes = trees.nodes
    inner = forest.feature[nodes] >= 0
    return {
        "nodes_treeids": trees.tree.tolist(),
        "nodes_nodeids": nodes.tolist(),
        "nodes_featureids": np.where(inner, forest.feature[nodes], 0).tolist(),
        "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(
            np.where(inner, forest.threshold[nodes], 0.0), "thresholds"
        ),
        "nodes_truenodeids": np.where(inner, forest.left[nodes], 0).tolist(),
        "nodes_falsenodeids": np.where(inner, forest.right[nodes], 0).tolist(),
    }


def _leaf_attributes(forest: ForestModel, trees: _Trees) -> dict[str, object]:
    """Describe the leaves: what each adds to which output."""
    is_leaf = forest.feature[trees.nodes] < 0
    leaves, tree = trees.nodes[is_leaf], trees.tree[is_leaf]
    counts = forest.pointers[leaves + 1] - forest.pointers[leaves]
    starts = np.repeat(forest.pointers[leaves] - np.cumsum(counts) + counts, counts)
    entries = starts + np.arange(counts.sum())
    # A leaf that adds nothing is listed too: each leaf must be.
    empty = counts == 0
    ids = np.concatenate([np.repeat(leaves, counts), leaves[empty]])
    trees_of = np.concatenate([np.repeat(tree, counts), tree[empty]])
    zeros = np.zeros(empty.sum())
    return {
        "target_treeids": trees_of.tolist(),
        "target_nodeids": ids.tolist(),
        "target_ids": np.concatenate([forest.indices[entries], zeros]).astype(np.int64).tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(
            np.concatenate([forest.values[entries], zeros]), "leaves"
        ),
    }


def _leaf_values(forest: ForestModel, leaves: np.ndarray, n_outputs: int) -> np.ndarray:
    values = np.zeros((len(leaves), n_outputs))
    for row, leaf in enumerate(leaves):
        own = slice(forest.pointers[leaf], forest.pointers[leaf + 1])
        values[row, forest.indices[own]] = forest.values[own]
    return values
