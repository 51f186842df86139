"""What is saved about a table's columns, and how it is checked when read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tabimg.headers import MiniLMEncoder, NgramEncoder, SentenceEncoder, TextVectors
from tabimg.headers.nearest_columns import Descriptions, texts_of
from tabimg.image import Augmentation, ParquetPhotos, check_parquet_photos
from tabimg.serialization import (
    CustomObjectError,
    is_own_code,
    qualified_name,
    register,
    register_adapter,
)
from tabimg.serialization.checks import check_items, check_stored, check_type, check_whole
from tabimg.table import CohortCodec, TableCodec
from tabimg.table.categories import BOOLEAN_CATEGORIES
from tabimg.table.cohort_codec import require_distinct
from tabimg.table.columns import ColumnKind

# Within these, scaled cells stay well inside float32's range.
_SMALLEST_STD = 1e-12
_LARGEST_WIDTH = 2**24


def codec_from_state(state: Any) -> TableCodec:
    """Rebuild a codec; raises an error for a state that no table could have produced."""
    check_type("a codec", state, dict)
    check_names("names", state["names"])
    check_items("kinds", state["kinds"], list, str)
    kinds = [ColumnKind(kind) for kind in state["kinds"]]
    if len(kinds) != len(state["names"]):
        raise ValueError("names and kinds of columns differ in number")
    n_numeric = sum(kind.is_continuous for kind in kinds)
    discrete = [kind for kind in kinds if kind.is_discrete]
    if n_numeric + len(discrete) == 0:
        raise ValueError("a codec without columns")
    _check_scaling(state, n_numeric)
    check_stored(
        "categorical_has_missing", state["categorical_has_missing"], "bool", (len(discrete),)
    )
    check_items("categories", state["categories"], list, list)
    for kind, keys in zip(discrete, state["categories"], strict=True):
        check_items("categories", keys, list, str)
        is_boolean = kind is ColumnKind.BOOLEAN
        if len(set(keys)) < len(keys) or (is_boolean and tuple(keys) != BOOLEAN_CATEGORIES):
            raise ValueError("the categories of a column are not valid")
    return TableCodec.from_state(state)


def _check_scaling(state: dict[str, Any], n_numeric: int) -> None:
    check_stored("numeric_has_missing", state["numeric_has_missing"], "bool", (n_numeric,))
    for name in ("medians", "scales", "clip_means", "clip_stds"):
        check_stored(name, state[name], "float64", (n_numeric,))
    stds = state["clip_stds"]
    is_scaling = (state["scales"] > 0) & ((stds == 0) | (stds >= _SMALLEST_STD)) & (stds < 1e3)
    if not is_scaling.all() or (np.abs(state["clip_means"]) > 1e3).any():
        raise ValueError("a column's scaling is not valid")


def vectors_from_state(state: Any) -> TextVectors:
    """Rebuild text vectors; raises an error for a state that no texts could have produced."""
    check_type("text vectors", state, dict)
    encoder, texts, vectors = state["encoder"], state["texts"], state["vectors"]
    check_items("texts", texts, list, str)
    check_stored("vectors", vectors, "float32", (len(texts), None))
    if texts and vectors.shape[1] == 0:
        raise ValueError("vectors of width 0")
    # It is called with new texts: tabimg's own code that builds networks must not be.
    if not callable(encoder) or is_own_code(encoder):
        raise ValueError("the header encoder is not valid")
    if isinstance(encoder, NgramEncoder) and texts and encoder.n_features != vectors.shape[1]:
        raise ValueError("the header encoder makes vectors of another width")
    return TextVectors.from_state(state)


def check_names(name: str, names: Any) -> None:
    """Raise a ValueError unless a list or tuple holds names of columns or cohorts."""
    check_items(name, names, type(names) if isinstance(names, (list, tuple)) else list, str, int)


def check_features(estimator: Any, codec: TableCodec) -> None:
    """Check that an estimator and its codec agree about the columns."""
    n_columns = len(codec.schema.names)
    check_whole("n_features_in_", estimator.n_features_in_, n_columns, n_columns)
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        check_stored("feature_names_in_", names, "object", (n_columns,), finite=False)
        if sorted(names.tolist()) != sorted(map(str, codec.schema.names)):
            raise ValueError("feature_names_in_ are not those of the codec")


def check_texts(vectors: Any, codec: TableCodec, descriptions: Descriptions) -> None:
    """Check that a custom encoder need not be called for the texts of a codec's columns."""
    check_type("vectors_", vectors, TextVectors)
    texts = {
        *texts_of(codec, descriptions).values(),
        *(k for keys in codec.categories for k in keys),
    }
    if not isinstance(vectors.encoder, NgramEncoder) and not texts <= set(vectors.texts):
        raise ValueError("the vectors of some headers or categories are missing")


def _check_cohorts(codec: CohortCodec) -> None:
    check_items("codecs", codec.codecs, tuple, TableCodec)
    check_names("names", codec.names)
    names: Sequence[Any] = codec.names
    if not names or len(set(names)) < len(names) or len(names) != len(codec.codecs):
        raise ValueError("cohorts and codecs do not belong together")
    for each in codec.codecs:
        require_distinct(each.schema.names)


def _check_ngrams(encoder: NgramEncoder) -> None:
    encoder.__post_init__()
    check_whole("n_features", encoder.n_features, 1, _LARGEST_WIDTH)


def _check_sentence_encoder(encoder: SentenceEncoder) -> None:
    """Refuse a folder that a file points to: its content was not saved and is not trusted."""
    encoder.__post_init__()
    model = encoder.model
    if isinstance(model, Path) or os.path.isabs(model) or os.path.isdir(model):
        name = qualified_name(SentenceEncoder)
        raise CustomObjectError(
            f"the saved estimator encodes headers by a model in the folder {str(model)!r}, which "
            f"is read only if you allow it: load(directory, custom={{{name!r}: "
            "SentenceEncoder(folder)})"
        )


register_adapter(TableCodec, TableCodec.to_state, codec_from_state)
register_adapter(TextVectors, TextVectors.to_state, vectors_from_state)
register(CohortCodec, check=_check_cohorts)
register(NgramEncoder, check=_check_ngrams)
register(MiniLMEncoder, check=MiniLMEncoder.__post_init__)
register(SentenceEncoder, check=_check_sentence_encoder)
register(Augmentation, check=Augmentation.__post_init__)
register(ParquetPhotos, check=check_parquet_photos)
