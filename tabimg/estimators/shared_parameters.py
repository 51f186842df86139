"""Parameters that several estimators take, each declared once.

Estimators are dataclasses whose fields are their parameters: every estimator takes the parameters
that its bases and the groups below declare, with their defaults unless it sets its own. The
constructor only sets the fields, as scikit-learn requires.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_scalar

from tabimg.headers import resolve_header_encoder
from tabimg.image import MAX_PIXELS
from tabimg.inputs.parameter_checks import (
    check_choice,
    check_flag,
    check_folder,
    check_non_negative,
    check_positive,
    check_positive_int,
)
from tabimg.nn.cell_tokens import TokenForm
from tabimg.nn.molin import Expert
from tabimg.training.architectures import TABULAR_ENCODERS, check_encoder
from tabimg.training.checkpoint_folder import active_folder
from tabimg.training.citab_architectures import EXPERTS, VALUE_FORMS
from tabimg.training.optimise import RunOptions
from tabimg.training.runtime import resolve_device
from tabimg.training.splits import check_validation_fraction
from tabimg.training.user_callbacks import check_callbacks

MIN_BATCH_SIZE = 4


@dataclass(eq=False, repr=False, kw_only=True)
class ColumnParameters:
    """What the columns of a frame are."""

    image_column: Hashable | Sequence[Hashable] | None = None
    group_column: Hashable | None = None
    categorical_features: Any = None


@dataclass(eq=False, repr=False, kw_only=True)
class TrainingParameters:
    """How networks are trained."""

    max_epochs: int | str
    batch_size: int
    lr: float
    weight_decay: float
    validation_fraction: float | None
    callbacks: list[Any] | None = None
    device: str = "auto"
    precision: str = "auto"
    checkpoint_dir: str | Path | None = None
    time_limit: float | None = None
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0


@dataclass(eq=False, repr=False, kw_only=True)
class PhotoParameters:
    """How photos are read and embedded."""

    image_root: Any = None
    image_loader: Callable[[str], Any] | None = None
    image_size: int | str = "auto"
    image_encoder: str | Callable[[], torch.nn.Module] = "efficientnet_lite0"
    image_weights: str | Path | None = None
    image_training: str = "auto"
    augmentation: Any = "default"
    on_bad_image: str = "raise"
    max_image_pixels: int = MAX_PIXELS
    keep_image_encoder: bool = True
    n_jobs: int | None = None
    cache_dir: str | Path | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class FixedColumnsParameters:
    """The table encoder of MT-CMTM."""

    tabular_encoder: str | Callable[[], torch.nn.Module] = "resnet1d_cbam"
    embedding_dim: int = 256


@dataclass(eq=False, repr=False, kw_only=True)
class AnyColumnsParameters:
    """The table encoder of CITab."""

    cohort_column: Hashable | None = None
    header_encoder: Any = "ngrams"
    column_descriptions: Mapping[Hashable, str] | None = None
    dim: int = 96
    n_heads: int = 8
    n_layers: int = 3
    n_experts: int = 5
    expansion: float = 1.75
    expert: Expert = "mlp"
    value_form: TokenForm = "scale"


def run_options(parameters: TrainingParameters, seed: int, max_epochs: Any = None) -> RunOptions:
    """Check and collect the training parameters that all estimators share.

    ``max_epochs`` replaces the parameter, which may be "auto".

    Raises
    ------
    TypeError, ValueError
        Naming the parameter.
    """
    max_epochs = parameters.max_epochs if max_epochs is None else max_epochs
    check_positive_int("max_epochs", max_epochs)
    check_positive_int("batch_size", parameters.batch_size, low=MIN_BATCH_SIZE)
    check_positive("lr", parameters.lr)
    check_non_negative("weight_decay", parameters.weight_decay)
    if parameters.validation_fraction is not None:
        check_scalar(parameters.validation_fraction, "validation_fraction", Real)
    check_validation_fraction(parameters.validation_fraction)
    if parameters.time_limit is not None:
        check_positive("time_limit", parameters.time_limit)
    check_folder("checkpoint_dir", parameters.checkpoint_dir)
    check_flag("warm_start", parameters.warm_start)
    check_positive_int("verbose", parameters.verbose, low=0)
    return RunOptions(
        max_epochs=int(max_epochs),
        batch_size=int(parameters.batch_size),
        lr=float(parameters.lr),
        weight_decay=float(parameters.weight_decay),
        validation_fraction=parameters.validation_fraction,
        device=resolve_device(parameters.device),
        seed=seed,
        callbacks=check_callbacks(parameters.callbacks),
        checkpoints=active_folder(),
        time_limit=parameters.time_limit,
        verbose=parameters.verbose,
    )


def check_fixed_columns(parameters: FixedColumnsParameters) -> None:
    """Check the parameters of the table encoder of MT-CMTM."""
    check_encoder("tabular_encoder", parameters.tabular_encoder, TABULAR_ENCODERS)
    check_positive_int("embedding_dim", parameters.embedding_dim)


def check_any_columns(parameters: AnyColumnsParameters) -> None:
    """Check the parameters of the table encoder of CITab."""
    for name in ("dim", "n_heads", "n_layers", "n_experts"):
        check_positive_int(name, getattr(parameters, name))
    check_positive("expansion", parameters.expansion)
    if parameters.dim % parameters.n_heads:
        raise ValueError(
            f"n_heads must divide dim, got n_heads={parameters.n_heads} and dim={parameters.dim}"
        )
    check_choice("expert", parameters.expert, EXPERTS)
    check_choice("value_form", parameters.value_form, VALUE_FORMS)
    resolve_header_encoder(parameters.header_encoder)
