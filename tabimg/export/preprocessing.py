"""From the columns of a table, the inputs of a graph, to the numbers that models see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tabimg.export.graph import DOUBLE, FLOAT, INT64, ML, STRING, Graph, Value
from tabimg.serving.contract import OUTPUTS, Feature
from tabimg.table import ColumnKind, TableCodec
from tabimg.table.categories import FIRST_CATEGORY, MISSING, UNKNOWN
from tabimg.table.scaling import CLIP

# As in `RobustScaling`: keeps the square of a scaled value finite.
LARGEST = 1e150

# Further texts of each categorical column that are read as one of its categories.
Spellings = Mapping[str | int, Mapping[str, str]]


@dataclass(frozen=True)
class EncodedValues:
    """An encoded table in a graph.

    Parameters
    ----------
    numeric : Value
        float32 (n_rows, p), NaN where missing.
    codes : Value
        int64 (n_rows, q).
    columns : Value
        float32 (n_rows, m), as `TableCodec.to_matrix`.
    """

    numeric: Value
    codes: Value
    columns: Value


def features_of(codec: TableCodec, names: Sequence[str | int]) -> tuple[Feature, ...]:
    """Describe the columns in an order of their names, with the name of each one's input.

    The input has the column's name unless that is no name, or is the graph's own.
    """
    kinds = dict(zip(codec.schema.names, codec.schema.kinds, strict=True))
    features, taken = [], set(OUTPUTS)
    for position, name in enumerate(names):
        kind = kinds[name]
        given = str(name)
        if not given or given in taken or given.startswith(Graph.reserved):
            given = f"column {position}"
        taken.add(given)
        features.append(Feature(name, kind.value, None if kind is ColumnKind.EMPTY else given))
    return tuple(features)


def missing_text(codec: TableCodec) -> str:
    """Choose the text of a missing cell: the empty one unless a category is that."""
    known = {key for keys in codec.categories for key in keys}
    text = ""
    while text in known:
        text += "<missing>"
    return text


def encode(
    graph: Graph,
    codec: TableCodec,
    features: Sequence[Feature],
    missing: str,
    spellings: Spellings,
) -> EncodedValues:
    """Add inputs and their encoding, the same arithmetic as `TableCodec.encode` in float64."""
    by_name = {feature.name: feature for feature in features}
    inputs = {
        feature.name: graph.input(feature.input, STRING if _is_text(feature) else DOUBLE)
        for feature in features
        if feature.input is not None
    }
    codes = [
        _category_codes(graph, inputs[name], keys, missing, spellings.get(name, {}))
        if _is_text(by_name[name])
        else _boolean_codes(graph, inputs[name])
        for name, keys in zip(codec.categorical_names, codec.categories, strict=True)
    ]
    if not codec.numeric_names:
        together = graph.side_by_side(codes)
        numeric = graph.no_columns(together, FLOAT)
    else:
        numbers = graph.side_by_side([inputs[name] for name in codec.numeric_names])
        numeric = _scaled(graph, codec, numbers)
        together = graph.side_by_side(codes) if codes else graph.no_columns(numeric, INT64)
    return EncodedValues(numeric, together, _matrix(graph, codec, numeric, together))


def _is_text(feature: Feature) -> bool:
    return feature.kind == ColumnKind.CATEGORICAL.value


def _scaled(graph: Graph, codec: TableCodec, numbers: Value) -> Value:
    """As `RobustScaling.transform`, operation by operation."""
    state = codec.to_state()
    medians, scales, means, stds = (
        np.asarray(state[name], dtype=np.float64)
        for name in ("medians", "scales", "clip_means", "clip_stds")
    )
    gains = np.divide(1.0, stds, out=np.zeros_like(stds), where=stds > 0)
    missing = graph.add("IsNaN", numbers)
    # A NaN need not survive a clip.
    observed = graph.add("Where", missing, graph.constant(medians[None]), numbers)
    z = graph.add("Sub", observed, graph.constant(medians[None]))
    z = graph.add("Div", z, graph.constant(scales[None]))
    z = graph.add("Clip", z, graph.constant(-LARGEST), graph.constant(LARGEST))
    root = graph.add("Div", z, graph.constant(CLIP))
    root = graph.add("Add", graph.add("Mul", root, root), graph.constant(1.0))
    clipped = graph.add("Div", z, graph.add("Sqrt", root))
    centred = graph.add("Sub", clipped, graph.constant(means[None]))
    encoded = graph.cast(graph.add("Mul", centred, graph.constant(gains[None])), FLOAT)
    return graph.add("Where", missing, graph.constant(np.float32(np.nan)), encoded)


def _category_codes(
    graph: Graph, cells: Value, keys: Sequence[str], missing: str, read_as: Mapping[str, str]
) -> Value:
    """Look texts up: 0 = unknown, 1 = missing, 2 and up = the categories."""
    codes = {key: code for code, key in enumerate(keys, start=FIRST_CATEGORY)}
    codes |= {text: codes[key] for text, key in read_as.items()}
    codes[missing] = MISSING
    return graph.add(
        "LabelEncoder",
        cells,
        domain=ML,
        keys_strings=list(codes),
        values_int64s=list(codes.values()),
        default_int64=UNKNOWN,
    )


def _boolean_codes(graph: Graph, cells: Value) -> Value:
    """Code numbers: 0 is the first category, 1 the second; others are unknown."""
    code = graph.constant(np.int64(UNKNOWN))
    for offset, number in enumerate((0.0, 1.0)):
        is_it = graph.add("Equal", cells, graph.constant(number))
        code = graph.add("Where", is_it, graph.constant(np.int64(FIRST_CATEGORY + offset)), code)
    is_missing = graph.add("IsNaN", cells)
    return graph.add("Where", is_missing, graph.constant(np.int64(MISSING)), code)


def _matrix(graph: Graph, codec: TableCodec, numeric: Value, codes: Value) -> Value:
    """As `tabimg.table.dense.dense_matrix`."""
    parts = []
    if codec.numeric_names:
        missing = graph.add("IsNaN", numeric)
        parts.append(graph.add("Where", missing, graph.constant(np.float32(0.0)), numeric))
        flagged = np.flatnonzero(codec.numeric_has_missing)
        if len(flagged):
            chosen = graph.add("Gather", missing, graph.constant(flagged), axis=1)
            parts.append(graph.cast(chosen, FLOAT))
    places, wanted = [], []
    for place, (size, has_missing) in enumerate(
        zip(codec.cardinalities, codec.categorical_has_missing, strict=True)
    ):
        own = [*range(FIRST_CATEGORY, size), *([MISSING] if has_missing else [])]
        places += [place] * len(own)
        wanted += own
    if wanted:
        spread = graph.add("Gather", codes, graph.constant(np.array(places)), axis=1)
        is_it = graph.add("Equal", spread, graph.constant(np.array([wanted])))
        parts.append(graph.cast(is_it, FLOAT))
    return graph.side_by_side(parts)
