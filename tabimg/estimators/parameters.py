"""Checks of parameters, made in ``fit``: scikit-learn forbids them in ``__init__``."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from tabimg.training.run import RunOptions
from tabimg.training.runtime import resolve_device
from tabimg.training.splits import check_validation_fraction

MIN_BATCH_SIZE = 4


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise a ValueError unless a parameter is one of its choices."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} must be one of {tuple(choices)}, got {value!r}")


def check_positive_int(name: str, value: Any, low: int = 1) -> None:
    """Raise unless a parameter is an integer of at least ``low``."""
    check_scalar(value, name, Integral, min_val=low)


def check_positive(name: str, value: Any) -> None:
    """Raise unless a parameter is a number above zero."""
    check_scalar(value, name, Real, min_val=0, include_boundaries="neither")


def check_non_negative(name: str, value: Any) -> None:
    """Raise unless a parameter is a number of at least zero."""
    check_scalar(value, name, Real, min_val=0)


def draw_seed(random_state: Any) -> int:
    """Draw one run's seed from a ``random_state`` parameter."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def run_options(estimator: Any, seed: int) -> RunOptions:
    """Check and collect the training parameters that all estimators share.

    Raises
    ------
    TypeError, ValueError
        Naming the parameter.
    """
    check_positive_int("max_epochs", estimator.max_epochs)
    check_positive_int("batch_size", estimator.batch_size, low=MIN_BATCH_SIZE)
    check_positive("lr", estimator.lr)
    check_non_negative("weight_decay", estimator.weight_decay)
    check_validation_fraction(estimator.validation_fraction)
    if estimator.time_limit is not None:
        check_positive("time_limit", estimator.time_limit)
    directory = estimator.checkpoint_dir
    return RunOptions(
        max_epochs=int(estimator.max_epochs),
        batch_size=int(estimator.batch_size),
        lr=float(estimator.lr),
        weight_decay=float(estimator.weight_decay),
        validation_fraction=estimator.validation_fraction,
        device=resolve_device(estimator.device),
        seed=seed,
        callbacks=tuple(estimator.callbacks or ()),
        checkpoint_dir=None if directory is None else Path(directory),
        time_limit=estimator.time_limit,
        verbose=estimator.verbose,
    )
