"""`estimate_study_cost`: how long a study will take, from its plan and small fits."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from tabimg.estimators import Unlabeled
from tabimg.evaluation.cost.estimate import FITTING, PHOTOS, CostEstimate, estimate_cost
from tabimg.evaluation.cost.words import seconds_in_words
from tabimg.evaluation.foundation import FineTunedEstimator, own_warning_filters, single_thread
from tabimg.evaluation.study import PlannedCell, StudyMethod, StudyPlan, WorkUnit, plan_ablation

COUNTED = ("n_cells", "pretraining_seconds", "fit_seconds")


@dataclass(frozen=True)
class StudyCost:
    """What a study costs; made by `estimate_study_cost`. It prints as one sentence.

    Parameters
    ----------
    parts : DataFrame
        One row per method: method, n_cells, pretraining_seconds and fit_seconds, each of all its
        folds on one thread.
    n_jobs : int
        Processes.
    measured_seconds : float
        What the measurement took.
    """

    parts: pd.DataFrame
    n_jobs: int
    measured_seconds: float

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.parts["n_cells"].sum())

    @property
    def seconds(self) -> float:
        """Seconds until the study is finished."""
        return float(self.parts[["pretraining_seconds", "fit_seconds"]].sum().sum() / self.n_jobs)

    def __str__(self) -> str:
        processes = "" if self.n_jobs == 1 else f" in {self.n_jobs} processes"
        return f"The study has {self.n_cells} cells and takes about " + (
            f"{seconds_in_words(self.seconds)}{processes}."
        )


def estimate_study_cost(
    X: Any, y: Any, *, n_jobs: int | None = None, **parameters: Any
) -> StudyCost:
    """Estimate how long an `ablation_study` will take.

    Parameters
    ----------
    X, y
        As in `ablation_study`.
    n_jobs : int, default=None
        Processes that the study will run in.
    **parameters
        Further parameters of `ablation_study`, such as ``image_column`` or ``preset``, but
        ``results_dir`` and ``verbose``: finished cells are not taken into account.

    Returns
    -------
    StudyCost

    Raises
    ------
    TypeError, ValueError
        As `ablation_study`.

    Notes
    -----
    Each method is measured as by `estimate_cost`, on one thread, as a study runs it; the methods
    that change nothing but the weights of the losses are measured once. The study's plan says how
    often each is pre-trained and fitted, and with how many labels.

    Examples
    --------
    >>> from tabimg import MTCMTMRegressor, MultiModalPretrainer
    >>> from tabimg.datasets import make_membranes
    >>> from tabimg.evaluation import estimate_study_cost
    >>> data = make_membranes(n_samples=60, image_size=32, random_state=0)
    >>> cost = estimate_study_cost(
    ...     data.data,
    ...     data.target,
    ...     image_column="photo",
    ...     pretrainer=MultiModalPretrainer(image_size=32, max_epochs=1, embedding_dim=16),
    ...     estimator=MTCMTMRegressor(finetune="frozen"),
    ...     methods=["mt_cmtm"],
    ...     baselines=["linear"],
    ...     preset="quick",
    ... )
    >>> cost.n_cells
    12
    """
    began = time.perf_counter()
    plan = plan_ablation(X, y, **parameters)
    with single_thread(), threadpool_limits(1), own_warning_filters():
        parts = _measure(plan)
    found = effective_n_jobs(n_jobs)
    return StudyCost(parts, found, time.perf_counter() - began)


def _measure(plan: StudyPlan) -> pd.DataFrame:
    units = plan.units()
    estimates = {kind: _estimate(cell, plan) for kind, cell in _largest(units).items()}
    rows: dict[str, dict[str, Any]] = {}
    seen = False
    for unit in units:
        for position, cell in enumerate(unit.cells):
            n_labelled, n_train = len(cell.labelled), len(cell.fold.train)
            stages = estimates[_kind(cell.method)].stages(n_labelled, n_train)
            name = cell.method.name
            row = rows.setdefault(name, {"method": name, **dict.fromkeys(COUNTED, 0.0)})
            row["n_cells"] += 1
            row["fit_seconds"] += stages.pop(FITTING)
            if position > 0:  # the unit's pre-training serves all its cells
                continue
            photos = stages.pop(PHOTOS, 0.0)  # a locked encoder sees each once in a process
            row["pretraining_seconds"] += sum(stages.values()) + (0.0 if seen else photos)
            seen = seen or photos > 0
    return pd.DataFrame(list(rows.values())).astype({"n_cells": int})


def _largest(units: Sequence[WorkUnit]) -> dict[Hashable, PlannedCell]:
    """Return the cell with the most labels of each kind of method."""
    found: dict[Hashable, PlannedCell] = {}
    for cell in (cell for unit in units for cell in unit.cells):
        kind = _kind(cell.method)
        if kind not in found or len(cell.labelled) > len(found[kind].labelled):
            found[kind] = cell
    return found


def _kind(method: StudyMethod) -> Hashable:
    """Name what a method costs: those of one kind are measured once."""
    if not isinstance(method.estimator, FineTunedEstimator):
        return method.name
    pretrainer = method.pretrainer
    return (type(method.estimator), pretrainer and (type(pretrainer), pretrainer.max_epochs))


def _estimate(cell: PlannedCell, plan: StudyPlan) -> CostEstimate:
    data, labelled = plan.data, cell.labelled
    estimator, unlabeled, table = clone(cell.method.estimator), None, data.table
    if isinstance(estimator, FineTunedEstimator):
        table = data.pairs
        estimator.set_params(
            image_column=data.image_columns,
            group_column=data.group_column,
            pretrainer=cell.method.pretrainer,
        )
        others = np.setdiff1d(cell.fold.train, labelled)
        if cell.method.pretrainer is not None and len(others):
            unlabeled = Unlabeled(table.iloc[others])
    return estimate_cost(
        estimator, table.iloc[labelled], data.target[labelled], unlabeled=unlabeled
    )
