"""Estimators made from options, fitted with progress, resumable, and saved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sklearn.frozen import FrozenEstimator

from tabimg.cli.console import say
from tabimg.cli.data import Data
from tabimg.cli.models import About, load_model
from tabimg.cli.progress import Epochs
from tabimg.cli.run_file import NAME
from tabimg.estimators import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer
from tabimg.evaluation import estimate_cost

CHECKPOINTS, CACHE = "checkpoints", "photos"
# Of a time limit; the rest is for everything that has no limit, such as trees.
PRETRAINING_SHARE, FITTING_SHARE = 0.5, 0.25


def make_pretrainer(
    data: Data, seed: int, on_bad_image: str = "raise", n_jobs: int | None = None
) -> MultiModalPretrainer:
    """Make an unfitted pretrainer for the data's columns."""
    return MultiModalPretrainer(
        image_column=data.image_column,
        group_column=data.source.groups,
        on_bad_image=on_bad_image,
        n_jobs=n_jobs,
        random_state=seed,
    )


def make_estimator(data: Data, seed: int, pretrainer: Any = None) -> Any:
    """Make an unfitted classifier or regressor for the data's columns and target."""
    kind = MTCMTMClassifier if data.task == "classification" else MTCMTMRegressor
    return kind(
        pretrainer=pretrainer,
        image_column=data.image_column or None,
        group_column=data.source.groups,
        random_state=seed,
    )


def load_pretrained(path: Path) -> FrozenEstimator:
    """Load a pretrainer that `tabimg pretrain` saved, or that of a saved model.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none.
    """
    found, _ = load_model(path)
    found = getattr(found, "pretrainer_", found)
    if not isinstance(found, MultiModalPretrainer):
        raise ValueError(f"{path} holds no pretrainer: give the folder of `tabimg pretrain -o`")
    return FrozenEstimator(found)


def about(data: Data) -> About:
    """Describe what a model of the data predicts."""
    source = data.source
    return About(
        target=source.target,
        task=data.task,
        log_target=source.log_target,
        image_column=data.image_column,
        groups=source.groups,
        dates=list(source.dates or []),
    )


def with_limits(estimator: Any, time_limit: float | None, run: Path) -> Any:
    """Set what belongs to this run: limits of time, checkpoints, and the display of progress."""
    pretrainer = getattr(estimator, "pretrainer", None)
    is_new = isinstance(pretrainer, MultiModalPretrainer)
    if isinstance(estimator, MultiModalPretrainer):
        _set(estimator, "pre-training", time_limit, run)
        return estimator
    limits = [None if time_limit is None else share * time_limit for share in _shares(is_new)]
    if is_new:
        # Its checkpoints are within those of the estimator.
        _set(pretrainer, "pre-training", limits[0], None)
    _set(estimator, "fine-tuning", limits[1], run)
    return estimator


def _shares(pretrains: bool) -> tuple[float, float]:
    return (PRETRAINING_SHARE if pretrains else 0.0), (
        FITTING_SHARE if pretrains else PRETRAINING_SHARE + FITTING_SHARE
    )


def _set(estimator: Any, stage: str, time_limit: float | None, run: Path | None) -> None:
    estimator.set_params(
        callbacks=[Epochs(stage, time_limit)],
        checkpoint_dir=None if run is None else run / CHECKPOINTS,
        time_limit=time_limit,
    )


def fit(estimator: Any, data: Data) -> Any:
    """Fit on the rows with a target; photos of the others teach."""
    if isinstance(estimator, MultiModalPretrainer):
        return estimator.fit(data.frame)
    unlabeled = data.unlabeled if estimator.pretrainer is not None else None
    if unlabeled is None:
        return estimator.fit(data.X, data.y)
    return estimator.fit(data.X, data.y, unlabeled=unlabeled)


def say_cost(run: Path, estimator: Any, data: Data) -> None:
    """Say what a fit costs, unless it goes on where it was interrupted."""
    if any((run / CHECKPOINTS).glob("fit-*")):
        say("going on with the fit that was interrupted")
    elif isinstance(estimator, MultiModalPretrainer):
        say(str(estimate_cost(estimator, data.frame)))
    else:
        unlabeled = data.unlabeled if estimator.pretrainer is not None else None
        say(str(estimate_cost(estimator, data.X, data.y, unlabeled=unlabeled)))


def open_run(folder: Path) -> Path:
    """Make the folder of a run, or open one.

    Raises
    ------
    FileExistsError
        If it holds something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    if names and NAME not in names:
        raise FileExistsError(
            f"{folder} holds {names[0]!r} and no {NAME}: give a new folder with -o"
        )
    return folder
