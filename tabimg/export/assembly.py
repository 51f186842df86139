"""The graph of a fitted estimator, from raw columns to predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from tabimg import __version__
from tabimg.estimators.loaded import made_up_rows
from tabimg.estimators.targets import Classes, Numbers
from tabimg.export.graph import DOUBLE, INT64, STRING, Graph, Value
from tabimg.export.models import BlockValues, embed, impute, mix
from tabimg.export.networks import Encoders
from tabimg.export.preprocessing import encode, features_of, missing_text
from tabimg.export.spellings import spellings_of
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.frames import as_column_list
from tabimg.serving.contract import LABEL, PREDICTION, PROBABILITIES, Description
from tabimg.table.columns import plain_name
from tabimg.training.blocks import COLUMNS

_LABEL_TYPES = {"i": INT64, "u": INT64, "b": TensorProto.BOOL, "f": DOUBLE, "U": STRING}
_DECLARED = ("image_column", "group_column", "cohort_column")


def describe(estimator: Any) -> Description:
    """Collect what the file says about itself.

    Raises
    ------
    TypeError
        If the classes are neither texts nor numbers nor bools.
    """
    codec = estimator.codec_
    names = [plain_name(n) for n in getattr(estimator, "feature_names_in_", codec.schema.names)]
    declared = DeclaredColumns.of(estimator, estimator.pretrainer_)
    others = [plain_name(c) for name in _DECLARED for c in as_column_list(declared[name])]
    labels = getattr(estimator, "classes_", None)
    return Description(
        estimator=type(estimator).__name__,
        tabimg_version=__version__,
        features=features_of(codec, names),
        not_features=tuple(dict.fromkeys(others)),
        classes=None if labels is None else tuple(_plain_labels(labels).tolist()),
        classes_dtype=None if labels is None else str(labels.dtype),
        missing_text=missing_text(codec),
    )


def assemble(estimator: Any, description: Description) -> ModelProto:
    """Build the graph of a checked estimator, with its description as metadata."""
    graph, codec = Graph(), estimator.codec_
    spellings = spellings_of(estimator)
    features, missing = description.features, description.missing_text
    encoded = encode(graph, codec, features, missing, spellings)
    blocks = BlockValues(encoded, {COLUMNS: encoded.columns})
    encoders = Encoders(graph, made_up_rows(codec))
    imputer = getattr(estimator, "imputer_", None)
    if imputer is not None:
        blocks = impute(graph, imputer, blocks)
    if estimator._sees_embedding and estimator.pretrainer_ is not None:
        architecture = estimator._columns.architecture()
        blocks = embed(encoders, architecture, estimator.pretrainer_.network_.arrays, blocks)
    target = estimator._target
    mixed = mix(graph, encoders, estimator.members_, blocks, target.task)
    if isinstance(target, Classes):
        _add_classes(graph, target, mixed)
    else:
        _add_numbers(graph, target, mixed)
    return graph.model(description.to_metadata())


def _plain_labels(labels: np.ndarray) -> np.ndarray:
    """Return labels of a type that the file can hold."""
    if labels.dtype == object and all(isinstance(label, str) for label in labels):
        return labels.astype(str)
    if labels.dtype.kind not in _LABEL_TYPES:
        raise TypeError(
            f"classes of type {labels.dtype} cannot be exported: turn the labels into text or "
            "whole numbers before the fit"
        )
    return labels


def _add_classes(graph: Graph, target: Classes, mixed: Value) -> None:
    labels = _plain_labels(target.labels)
    elem_type = _LABEL_TYPES[labels.dtype.kind]
    plain = {STRING: object, INT64: np.int64, DOUBLE: np.float64}.get(elem_type, bool)
    best = graph.add("ArgMax", mixed, axis=1, keepdims=0)
    label = graph.add("Gather", graph.constant(labels.astype(plain)), best)
    graph.output(LABEL, elem_type, label, None)
    graph.output(PROBABILITIES, DOUBLE, mixed, len(labels))


def _add_numbers(graph: Graph, target: Numbers, mixed: Value) -> None:
    """As `Numbers.decode`."""
    scaled = graph.add("Mul", mixed, graph.constant(target.scale[None]))
    values = graph.add("Add", scaled, graph.constant(target.mean[None]))
    if target.is_2d:
        graph.output(PREDICTION, DOUBLE, values, len(target.mean))
    else:
        flat = graph.add("Squeeze", values, graph.constant(np.array([1])))
        graph.output(PREDICTION, DOUBLE, flat, None)
