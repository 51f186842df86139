"""The members of a blend as nodes of a graph, and their mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tabimg.export.graph import DOUBLE, FLOAT, Graph, Value
from tabimg.export.networks import Encoders
from tabimg.export.preprocessing import EncodedValues
from tabimg.export.trees import summed_leaves
from tabimg.training.blending import Member
from tabimg.training.blocks import COLUMNS, EMBEDDING, IMPUTED
from tabimg.training.boosting import BoostedModel
from tabimg.training.forest import ForestModel
from tabimg.training.imputation import PhotoImputer
from tabimg.training.linear import LinearModel
from tabimg.training.networks import NetworkModel
from tabimg.training.tasks import Classification, Task

_ENCODER = "encoder."


@dataclass(frozen=True)
class BlockValues:
    """What members see, in a graph; compare `tabimg.training.blocks.Blocks`.

    Parameters
    ----------
    encoded : EncodedValues
    features : mapping of str to Value
        float32 (n_rows, n_features) by the block's name.
    """

    encoded: EncodedValues
    features: Mapping[str, Value]

    def having(self, name: str, value: Value) -> BlockValues:
        """Return the same rows with one more block."""
        return replace(self, features={**self.features, name: value})

    def matrix(self, graph: Graph, names: Sequence[str]) -> Value:
        """Put blocks side by side."""
        return graph.side_by_side([self.features[name] for name in names])


def impute(graph: Graph, imputer: PhotoImputer, blocks: BlockValues) -> BlockValues:
    """Add the block of imputed photo features."""
    features = blocks.matrix(graph, imputer.forest.names)
    total = summed_leaves(graph, imputer.forest, features, imputer.n_features)
    mean = graph.add("Div", total, graph.constant(float(len(imputer.forest.roots))))
    return blocks.having(IMPUTED, graph.cast(mean, FLOAT))


def embed(
    encoders: Encoders, architecture: Any, arrays: Mapping[str, np.ndarray], blocks: BlockValues
) -> BlockValues:
    """Add the block of the fixed pre-trained encoder."""
    encoded = blocks.encoded
    value = encoders.embed(architecture, arrays, encoded.numeric, encoded.codes)
    return blocks.having(EMBEDDING, value)


def mix(
    graph: Graph, encoders: Encoders, members: Sequence[Member], blocks: BlockValues, task: Task
) -> Value:
    """Add all members and the weighted sum of their predictions, float64 (n_rows, n_outputs)."""
    write = {
        NetworkModel: partial(_network, graph, encoders),
        LinearModel: partial(_linear, graph),
        ForestModel: partial(_forest, graph),
        BoostedModel: partial(_boosted, graph),
    }
    parts = [
        graph.add(
            "Mul",
            write[type(member.model)](member.model, blocks, task),
            graph.constant(float(member.weight)),
        )
        for member in members
    ]
    return parts[0] if len(parts) == 1 else graph.add("Sum", *parts)


def _network(
    graph: Graph, encoders: Encoders, model: NetworkModel, blocks: BlockValues, task: Task
) -> Value:
    """As `TaskNet.predict`: standardised in float32, the head in float64."""
    architecture, arrays = model.module.architecture, model.module.arrays
    own = {k.removeprefix(_ENCODER): v for k, v in arrays.items() if k.startswith(_ENCODER)}
    encoded = blocks.encoded
    features = [encoders.embed(architecture.table, own, encoded.numeric, encoded.codes)]
    if architecture.n_columns:
        features.append(blocks.features[COLUMNS])
    centred = graph.add("Sub", graph.side_by_side(features), graph.constant(arrays["mean"][None]))
    standardised = graph.add("Div", centred, graph.constant(arrays["scale"][None]))
    weight, bias = (arrays[f"head.out.{name}"].astype(np.float64) for name in ("weight", "bias"))
    return _predictions(graph, _affine(graph, graph.cast(standardised, DOUBLE), weight, bias), task)


def _linear(graph: Graph, model: LinearModel, blocks: BlockValues, task: Task) -> Value:
    features = graph.cast(blocks.matrix(graph, model.names), DOUBLE)
    centred = graph.add("Sub", features, graph.constant(model.mean[None]))
    standardised = graph.add("Div", centred, graph.constant(model.scale[None]))
    return _predictions(graph, _affine(graph, standardised, model.weight, model.bias), task)


def _forest(graph: Graph, model: ForestModel, blocks: BlockValues, task: Task) -> Value:
    n_trees = float(len(model.roots))
    total = summed_leaves(graph, model, blocks.matrix(graph, model.names), task.n_outputs)
    if not isinstance(task, Classification):
        return graph.add("Div", total, graph.constant(n_trees))
    # As `Classification.smoothed`.
    voted = graph.add("Add", total, graph.constant(1.0 / task.n_outputs))
    return graph.add("Div", voted, graph.constant(n_trees + 1.0))


def _boosted(graph: Graph, model: BoostedModel, blocks: BlockValues, task: Task) -> Value:
    features = blocks.matrix(graph, model.trees.names)
    added = summed_leaves(graph, model.trees, features, len(model.start))
    return _predictions(graph, graph.add("Add", added, graph.constant(model.start[None])), task)


def _affine(graph: Graph, features: Value, weight: np.ndarray, bias: np.ndarray) -> Value:
    product = graph.add("MatMul", features, graph.constant(np.ascontiguousarray(weight.T)))
    return graph.add("Add", product, graph.constant(bias[None]))


def _predictions(graph: Graph, outputs: Value, task: Task) -> Value:
    if not isinstance(task, Classification):
        return outputs
    return graph.add("Softmax", outputs, axis=1)
