"""Estimators that were read from a file: checked to be able to predict.

Parts check themselves as they are read; here it is checked that they belong together. Finally,
made-up rows are embedded or predicted as in use, so that no error shows only later.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tabimg.inputs.frames import as_column_list
from tabimg.serialization import is_own_code
from tabimg.serialization.checks import check_items, check_type, check_whole
from tabimg.table import EncodedTable, TableCodec
from tabimg.table.categories import MISSING
from tabimg.training.architectures import MAX_IMAGE_SIZE, TableArchitecture
from tabimg.training.blending import Member
from tabimg.training.blocks import COLUMNS
from tabimg.training.boosting import BoostedModel
from tabimg.training.fitted_module import FittedModule
from tabimg.training.forest import ForestModel
from tabimg.training.linear import LinearModel
from tabimg.training.networks import NetworkModel

# Limit of ``n_jobs``.
_MAX_JOBS = 1024
_TRIAL_ROWS = 64
_TRIAL_SPAN = 8.0


def check_loaded(estimator: Any) -> None:
    """Raise an error for an estimator that neither `fit` nor `__init__` could have produced."""
    _complete(estimator)
    check_parameters(estimator)
    if any(name.endswith("_") for name in vars(estimator)):
        estimator._check_loaded()


def _complete(estimator: Any) -> None:
    """Set parameters that are newer than the save to their defaults."""
    for name, parameter in inspect.signature(type(estimator).__init__).parameters.items():
        if name != "self" and name not in vars(estimator):
            setattr(estimator, name, parameter.default)


def check_parameters(estimator: Any) -> None:
    """Check the parameters that prediction uses."""
    for name in ("image_column", "group_column", "cohort_column"):
        for column in as_column_list(getattr(estimator, name, None)):
            check_type(name, column, Hashable)
    check_type("device", estimator.device, str)
    descriptions = getattr(estimator, "column_descriptions", None)
    check_type("column_descriptions", descriptions, Mapping, type(None))
    config = vars(estimator).get("_sklearn_output_config", {})
    if config and set(config.values()) - {"default", "pandas", "polars"}:
        raise ValueError(f"unknown output: {config}")


def check_photo_parameters(pretrainer: Any) -> None:
    """Check the parameters by which photos are read."""
    if pretrainer.image_size != "auto":
        check_whole("image_size", pretrainer.image_size, 1, MAX_IMAGE_SIZE)
    check_whole("max_image_pixels", pretrainer.max_image_pixels, 1, 2**62)
    check_type("n_jobs", pretrainer.n_jobs, int, type(None))
    if pretrainer.n_jobs is not None:
        check_whole("n_jobs", pretrainer.n_jobs, -_MAX_JOBS, _MAX_JOBS)
    check_type("on_bad_image", pretrainer.on_bad_image, str)
    loader = pretrainer.image_loader
    if loader is not None and (not callable(loader) or is_own_code(loader)):
        raise ValueError("image_loader is not a loader")
    roots = pretrainer.image_root
    for root in roots.values() if isinstance(roots, Mapping) else [roots]:
        check_type("image_root", root, str, Path, type(None))
    # Using an estimator must not write where a file says: whoever loads it may set this.
    pretrainer.cache_dir = None


def check_network(pretrainer: Any, architecture_class: type) -> None:
    """Check the type of a pretrainer's networks."""
    check_type("network_", getattr(pretrainer, "network_", None), FittedModule)
    check_type("architecture", pretrainer.network_.architecture, architecture_class)
    check_items("history_", pretrainer.history_, list, dict)


def check_members(
    members: Any, n_outputs: int, codec: TableCodec, widths: Mapping[str, int]
) -> None:
    """Check that members fit the widths of the blocks and the outputs of the target."""
    check_items("members", members, list, Member)
    if not np.isclose(sum(member.weight for member in members), 1.0):
        raise ValueError("the weights of the members do not sum to 1")
    for member in members:
        model = member.model
        check_type("model", model, BoostedModel, ForestModel, LinearModel, NetworkModel)
        if isinstance(model, ForestModel):
            fits = _forest_fits(model, widths, n_outputs)
        elif isinstance(model, BoostedModel):
            fits = len(model.start) == n_outputs and _forest_fits(model.trees, widths, n_outputs)
        elif isinstance(model, LinearModel):
            fits = model.weight.shape == (n_outputs, sum(widths[name] for name in model.names))
        else:
            fits = _network_fits(model, widths, n_outputs) and fits_codec(model.module, codec)
        if not fits:
            raise ValueError(f"the member {member.name[:40]!r} is for another table or target")


def fits_codec(module: FittedModule[Any, Any], codec: TableCodec) -> bool:
    """Check whether a table encoder, if it has fixed columns, is for these columns."""
    table = module.architecture.table
    return not isinstance(table, TableArchitecture) or (
        table.n_numeric == len(codec.numeric_names)
        and table.cardinalities == tuple(codec.cardinalities)
    )


def _forest_fits(model: ForestModel, widths: Mapping[str, int], n_outputs: int) -> bool:
    sees = int(model.feature.max()) < sum(widths[name] for name in model.names)
    return sees and (len(model.indices) == 0 or int(model.indices.max()) < n_outputs)


def _network_fits(model: NetworkModel, widths: Mapping[str, int], n_outputs: int) -> bool:
    architecture = model.module.architecture
    is_scaled = bool((model.module.arrays["scale"] > 0).all())
    return (
        architecture.n_columns in (0, widths[COLUMNS])
        and architecture.n_outputs == n_outputs
        and is_scaled
    )


# --- made-up rows --------------------------------------------------------------------------------


def made_up_rows(
    codec: TableCodec, n_rows: int = _TRIAL_ROWS, span: float = _TRIAL_SPAN
) -> EncodedTable:
    """Make rows of a codec's columns: an empty one, and others that include far outliers."""
    rng = np.random.default_rng(0)
    n_numeric, cardinalities = len(codec.numeric_names), codec.cardinalities
    numeric = rng.uniform(-span, span, (n_rows, n_numeric)).astype(np.float32)
    codes = rng.integers(0, cardinalities, (n_rows, len(cardinalities)))
    numeric[0], codes[0] = np.nan, MISSING
    codes[1] = np.array(cardinalities) - 1
    return EncodedTable(numeric, codes.astype(np.int64))


def on_cpu(estimator: Any) -> Any:
    """Return a copy that shares all parts and predicts on the CPU, which every machine has."""
    twin = copy.copy(estimator)
    twin.device = "cpu"
    if getattr(twin, "pretrainer_", None) is not None:
        twin.pretrainer_ = on_cpu(twin.pretrainer_)
    return twin


def check_prediction(prediction: np.ndarray) -> None:
    """Raise a ValueError for predictions, or embeddings, that are not finite."""
    if not np.isfinite(prediction).all():
        raise ValueError("the networks or models return NaN or infinity")
