"""Saved models of the command line: an estimator, and beside it what its predictions are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from tabimg.cli.run_file import to_toml, write_text
from tabimg.persistence import load, save

MODEL, ABOUT = "model", "model.toml"


@dataclass(frozen=True)
class About:
    """What a table must know about a model to be predicted.

    Parameters
    ----------
    target : str or None
        None for a pretrainer.
    task : str
    log_target : bool
        Whether the estimator predicts log(1 + target).
    image_column : sequence of str
    groups : str or None
    dates : sequence of str
    """

    target: str | None = None
    task: str = ""
    log_target: bool = False
    image_column: Sequence[str] = ()
    groups: str | None = None
    dates: Sequence[str] = field(default=())


def save_model(estimator: Any, about: About, run: Path) -> None:
    """Save a fitted estimator in the folder of its run."""
    for part in (estimator, getattr(estimator, "pretrainer", None)):
        _without_circumstances(part)
    _without_circumstances(getattr(estimator, "pretrainer_", None))
    save(estimator, run / MODEL)
    write_text(run / ABOUT, to_toml(asdict(about)))


def _without_circumstances(estimator: Any) -> None:
    """Drop what belongs to the run, not to the model: its display and its folders."""
    if hasattr(estimator, "checkpoint_dir") and not isinstance(estimator, FrozenEstimator):
        estimator.set_params(callbacks=None, checkpoint_dir=None, verbose=0)


def load_model(path: Path) -> tuple[Any, About]:
    """Load a model from the folder of a run, or as saved by `tabimg.save`.

    Raises
    ------
    FileNotFoundError
        If there is none; says what was looked for.
    """
    saved = path / MODEL if (path / MODEL).is_dir() else path
    try:
        found = load(saved)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no model in {path}: give the folder that `tabimg fit -o` or `tabimg study "
            "-o` wrote"
        ) from None
    return found, _read_about(saved.parent / ABOUT, saved.name == MODEL)


def _read_about(path: Path, is_run: bool) -> About:
    if not (is_run and path.is_file()):
        return About()
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pragma: no cover
        import tomli as tomllib
    try:
        return About(**tomllib.loads(path.read_text("utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def predict(estimator: Any, about: About, table: Any) -> np.ndarray:
    """Predict on the scale of the table."""
    predicted = estimator.predict(table)
    return np.expm1(predicted) if about.log_target else predicted
