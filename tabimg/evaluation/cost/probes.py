"""Small fits that show what each stage of a large one costs."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from tabimg.evaluation.cost.growth import Growth
from tabimg.evaluation.cost.samples import Sample
from tabimg.evaluation.foundation import FineTunedEstimator, PhotoPretrainer, auto_epochs
from tabimg.serialization import write_directory

# Epochs of pre-training that are measured, and seconds that they are chosen for.
EPOCHS_RANGE = (1, 10)
PRETRAINING_SECONDS = 2.0
WARM_UP_ROWS = 8
# What a measurement must not do: keep files, print, stop early, continue an earlier fit.
QUIET = {
    "callbacks": None,
    "checkpoint_dir": None,
    "time_limit": None,
    "verbose": 0,
    "warm_start": False,
}


@dataclass(frozen=True)
class PretrainingCost:
    """Seconds of pre-training.

    Parameters
    ----------
    photos : Growth
        Seeing each photo for the first time.
    start : Growth
        Everything but the epochs.
    epoch : Growth
    max_epochs : int or "auto"
    time_limit : float or None
        Of the epochs.
    """

    photos: Growth
    start: Growth
    epoch: Growth
    max_epochs: int | str
    time_limit: float | None

    def training(self, n_rows: int) -> float:
        """Return the seconds without seeing photos."""
        n_epochs = auto_epochs(n_rows) if self.max_epochs == "auto" else int(self.max_epochs)
        trained = n_epochs * self.epoch.at(n_rows)
        return self.start.at(n_rows) + min(trained, self.time_limit or np.inf)


def measure_pretraining(pretrainer: PhotoPretrainer, sample: Sample) -> tuple[PretrainingCost, Any]:
    """Pre-train for a few epochs on a sample.

    Returns
    -------
    PretrainingCost
    PhotoPretrainer
        Fitted on the sample.
    """
    quiet = clone(pretrainer).set_params(**QUIET, max_epochs=1)
    sample = Sample(sample.X, None, sample.further)
    # The first call of a process loads kernels and weights.
    _seconds(quiet, _first_rows(sample))
    n_rows = sample.n_rows
    first, _ = _seconds(quiet, sample)
    again, _ = _seconds(quiet, sample)
    low, high = EPOCHS_RANGE
    more = int(np.clip(round(PRETRAINING_SECONDS / again), low, high))
    longer, fitted = _seconds(clone(quiet).set_params(max_epochs=1 + more), sample)
    epoch = max(longer - again, 0.0) / more
    cost = PretrainingCost(
        photos=Growth(0.0, max(first - again, 0.0) / n_rows),
        start=Growth(0.0, max(again - epoch, 0.0) / n_rows),
        epoch=Growth(0.0, epoch / n_rows),
        max_epochs=pretrainer.max_epochs,
        time_limit=pretrainer.time_limit,
    )
    return cost, fitted


def measure_finetuning(
    estimator: FineTunedEstimator, pretrainer: Any, small: Sample, large: Sample
) -> tuple[Growth, Any]:
    """Fine-tune on two samples, with all epochs: most networks stop early.

    Parameters
    ----------
    estimator : FineTunedEstimator
    pretrainer : fitted pretrainer or None
    small, large : Sample

    Returns
    -------
    Growth
        Seconds by labelled rows.
    estimator
        Fitted on the larger sample.
    """
    frozen = None if pretrainer is None else FrozenEstimator(pretrainer)
    if estimator.finetune != "auto":  # unlabelled rows are for pre-training, which is done
        small, large = (Sample(each.X, each.y, None) for each in (small, large))
    return measure_any(clone(estimator).set_params(**QUIET, pretrainer=frozen), small, large)


def measure_any(estimator: Any, small: Sample, large: Sample) -> tuple[Growth, Any]:
    """Fit any estimator on two samples; seconds by labelled rows."""
    of_small, _ = _seconds(estimator, small)
    of_large, fitted = _seconds(estimator, large)
    return Growth.through(small.n_labelled, of_small, large.n_labelled, of_large), fitted


def bytes_on_disk(estimator: Any) -> int:
    """Save a fitted estimator of tabimg for a moment, and count its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        write_directory(Path(folder) / "saved", estimator)
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def _seconds(estimator: Any, sample: Sample) -> tuple[float, Any]:
    with _silent():
        began = time.perf_counter()
        fitted = sample.fit(clone(estimator))
        return time.perf_counter() - began, fitted


@contextmanager
def _silent() -> Iterator[None]:
    """What is worth a warning will be said again by the fit itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_rows(sample: Sample) -> Sample:
    return Sample(sample.X, None, None).first(min(WARM_UP_ROWS, sample.n_labelled))
