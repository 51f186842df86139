"""`estimate_cost`: seconds, memory and disk of a fit, measured on a sample of its rows."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from tabimg.estimators import Unlabeled
from tabimg.evaluation.cost.growth import Growth
from tabimg.evaluation.cost.probes import (
    PretrainingCost,
    bytes_on_disk,
    measure_any,
    measure_finetuning,
    measure_pretraining,
)
from tabimg.evaluation.cost.samples import Sample
from tabimg.evaluation.cost.words import bytes_in_words, seconds_in_words
from tabimg.evaluation.foundation import FineTunedEstimator, PhotoPretrainer, check_positive_int

PRETRAINING, PHOTOS, FITTING = "pre-training", "photos", "fitting"
# Arrays as wide as the encoded table that exist at the same time, and bytes of a number.
COPIES, FLOAT = 8, 4
# Encoded columns of an estimator that does not say how many it has.
OTHER_WIDTH = 100
# A locked encoder's features of a photo, whole and its middle mirrored.
VIEWS = 2


@dataclass(frozen=True)
class CostEstimate:
    """What a fit costs; made by `estimate_cost`. It prints as one paragraph.

    Parameters
    ----------
    n_labelled, n_rows : int
        Labelled rows, and all rows, of the fit that was asked for.
    fitting : Growth
        Seconds by labelled rows, without pre-training.
    pretraining : PretrainingCost or None
        None if there is none to do.
    bytes_per_row : float
        Memory.
    peak_memory : int or None
        Bytes of this process so far; None where the system does not say.
    disk : int or None
        Bytes of the saved estimator; None if `tabimg.save` does not take it.
    measured_rows : int
        Rows of the sample.
    measured_seconds : float
        What the measurement took.
    """

    n_labelled: int
    n_rows: int
    fitting: Growth
    pretraining: PretrainingCost | None
    bytes_per_row: float
    peak_memory: int | None
    disk: int | None
    measured_rows: int
    measured_seconds: float

    def stages(self, n_labelled: int | None = None, n_rows: int | None = None) -> dict[str, float]:
        """Return the seconds of each stage.

        Parameters
        ----------
        n_labelled : int, default=None
            Rows with a target; None is the number that was measured for.
        n_rows : int, default=None
            All rows; None keeps the proportion to the labelled ones.

        Returns
        -------
        dict of str to float
            "photos" (seeing each photo for the first time), "pre-training" and "fitting"; the first
            two only if the fit pre-trains.
        """
        n_labelled = self.n_labelled if n_labelled is None else n_labelled
        if n_rows is None:
            n_rows = round(self.n_rows * n_labelled / self.n_labelled)
        found = {}
        if self.pretraining is not None:
            found[PHOTOS] = self.pretraining.photos.at(n_rows)
            found[PRETRAINING] = self.pretraining.training(n_rows)
        found[FITTING] = self.fitting.at(n_labelled)
        return found

    @property
    def seconds(self) -> float:
        """Seconds of the fit that was asked for."""
        return sum(self.stages().values())

    @property
    def memory(self) -> int | None:
        """Bytes of memory at its peak, including what the process takes already."""
        if self.peak_memory is None:
            return None
        return self.peak_memory + round(self.bytes_per_row * (self.n_rows - self.measured_rows))

    def search(
        self, n_candidates: int, n_splits: int = 5, refit: bool = True, n_jobs: int | None = None
    ) -> float:
        """Return the seconds of a search, such as `sklearn.model_selection.GridSearchCV`.

        Parameters
        ----------
        n_candidates : int
            Points of the grid, or ``n_iter`` of a random search.
        n_splits : int, default=5
            Folds of the cross-validation, at least 2.
        refit : bool, default=True
            Whether the best candidate is fitted again on all rows.
        n_jobs : int, default=None
            Fits that run at the same time; None is 1, -1 all processors.

        Returns
        -------
        float
            Photos are counted once: a locked image encoder sees each once in a process.

        Raises
        ------
        TypeError, ValueError
            If a number is out of range.
        """
        check_positive_int("n_candidates", n_candidates)
        check_positive_int("n_splits", n_splits, low=2)
        kept = (n_splits - 1) / n_splits
        stages = self.stages(round(self.n_labelled * kept), round(self.n_rows * kept))
        photos = stages.pop(PHOTOS, 0.0)
        seconds = n_candidates * n_splits * sum(stages.values()) / effective_n_jobs(n_jobs)
        return photos + seconds + (self.seconds - photos if refit else 0.0)

    def __str__(self) -> str:
        parts = [f"{name} {seconds_in_words(value)}" for name, value in self.stages().items()]
        told = f"A fit takes about {seconds_in_words(self.seconds)} ({', '.join(parts)})"
        if self.memory is not None:
            told += f" and {bytes_in_words(self.memory)} of memory"
        if self.disk is not None:
            told += f"; saved, {bytes_in_words(self.disk)}"
        return (
            f"{told}. Measured on {self.measured_rows} of {self.n_rows} rows, in "
            f"{seconds_in_words(self.measured_seconds)}."
        )


def estimate_cost(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    unlabeled: Unlabeled | None = None,
    random_state: int = 0,
) -> CostEstimate:
    """Estimate what a fit will cost, by small fits on a sample of its rows.

    Parameters
    ----------
    estimator : estimator
        Unfitted: a pretrainer, classifier or regressor of tabimg, or any other estimator that takes
        ``X``. It is cloned and stays as it is.
    X : DataFrame, or array of shape (n_rows, n_columns)
        The rows of the fit, with the photo column.
    y : array of shape (n_rows,), default=None
        The target; None for a pretrainer.
    unlabeled : Unlabeled, default=None
        Further rows of the fit.
    random_state : int, default=0
        Draws the sample.

    Returns
    -------
    CostEstimate

    Raises
    ------
    TypeError, ValueError
        As the fit would, and for cohorts, which have several frames.

    Notes
    -----
    At most 192 rows are fitted, 96 of them labelled, and what is found is extrapolated: photos and
    epochs of pre-training in proportion to the rows, everything else by a line through fits on two
    sizes. A ``time_limit`` counts in pre-training only. Measured on a busy machine, the estimate
    holds for a busy machine. The measurement takes seconds; with an image encoder that is trained
    as a whole, up to a minute.

    Examples
    --------
    >>> from tabimg import MTCMTMRegressor
    >>> from tabimg.datasets import make_membranes
    >>> from tabimg.evaluation import estimate_cost
    >>> data = make_membranes(n_samples=60, image_size=32, random_state=0)
    >>> regressor = MTCMTMRegressor(image_column="photo", finetune="full", max_epochs=1)
    >>> cost = estimate_cost(regressor, data.data, data.target)
    >>> cost.n_rows, sorted(cost.stages())
    (60, ['fitting'])
    >>> cost.search(n_candidates=6, n_splits=3) > cost.seconds
    True
    """
    began = time.perf_counter()
    sample = Sample.of(X, y, unlabeled, random_state)
    small, large = map(sample.first, sample.sizes())
    pretraining, fitting = None, Growth()
    if isinstance(estimator, PhotoPretrainer):
        pretraining, fitted = measure_pretraining(estimator, large)
    elif isinstance(estimator, FineTunedEstimator):
        pretrainer = estimator.pretrainer
        if isinstance(pretrainer, PhotoPretrainer):
            pretraining, pretrainer = measure_pretraining(_named(pretrainer, estimator), large)
        elif isinstance(pretrainer, FrozenEstimator):
            pretrainer = pretrainer.estimator
        fitting, fitted = measure_finetuning(estimator, pretrainer, small, large)
    else:
        fitting, fitted = measure_any(estimator, small, large)
    is_ours = isinstance(estimator, (PhotoPretrainer, FineTunedEstimator))
    return CostEstimate(
        n_labelled=sample.n_labelled,
        n_rows=sample.n_rows,
        fitting=fitting,
        pretraining=pretraining,
        bytes_per_row=_bytes_per_row(fitted),
        peak_memory=_peak_memory(),
        disk=bytes_on_disk(fitted) if is_ours else None,
        measured_rows=large.n_rows,
        measured_seconds=time.perf_counter() - began,
    )


def _named(pretrainer: PhotoPretrainer, estimator: FineTunedEstimator) -> PhotoPretrainer:
    """Copy a pretrainer with the columns that a fit of the estimator declares for it."""
    declared = clone(pretrainer)
    for name in ("group_column", "categorical_features"):
        if getattr(declared, name) is None:
            declared.set_params(**{name: getattr(estimator, name)})
    return declared


def _bytes_per_row(fitted: Any) -> float:
    """Memory that grows with the rows: encoded columns, and what was seen in photos."""
    is_pretrainer = isinstance(fitted, PhotoPretrainer)
    pretrainer: Any = fitted if is_pretrainer else getattr(fitted, "pretrainer_", None)
    codec: Any = getattr(fitted, "codec_", None)
    width = len(codec.matrix_names()) if hasattr(codec, "matrix_names") else OTHER_WIDTH
    columns = FLOAT * width * COPIES
    image = None if pretrainer is None else pretrainer.network_.architecture.image
    if image is None:
        return columns
    if image.vector_width is not None:
        return columns + FLOAT * image.vector_width
    if image.training == "locked":
        encoder = pretrainer.network_.build().image_encoder
        return columns + FLOAT * VIEWS * encoder.grid**2 * encoder.width
    return columns + 3 * float(np.square(1.15 * image.image_size))


def _peak_memory() -> int | None:
    """Bytes that this process has taken at its peak; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
