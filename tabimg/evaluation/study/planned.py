"""An ablation study before it is run: its data, methods and protocol."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.base import is_classifier

from tabimg.estimators import MultiModalPretrainer
from tabimg.evaluation.baselines import CORE_BASELINES
from tabimg.evaluation.data import StudyData, read_data
from tabimg.evaluation.fingerprints import describe
from tabimg.evaluation.metrics import check_metric
from tabimg.evaluation.study.methods import (
    Prototypes,
    StudyMethod,
    baseline_methods,
    own_methods,
)
from tabimg.evaluation.study.plan import Protocol, WorkUnit, plan_units
from tabimg.evaluation.study.presets import ABLATION, fill_in


@dataclass(frozen=True, eq=False)
class StudyPlan:
    """What a study compares, on which rows."""

    data: StudyData
    methods: Sequence[StudyMethod]
    protocol: Protocol
    metric: str
    settings: dict[str, Any]

    def units(self) -> list[WorkUnit]:
        """List everything that will be computed."""
        return plan_units(self.data, self.methods, self.protocol)


def plan_ablation(
    X: Any,
    y: Any,
    *,
    image_column: Hashable | Sequence[Hashable],
    image_root: str | Path | None = None,
    group_column: Hashable | None = None,
    task: str = "auto",
    metric: str | None = None,
    pretrainer: MultiModalPretrainer | None = None,
    estimator: Any = None,
    baselines: Sequence[str] = CORE_BASELINES,
    extra_methods: Mapping[str, tuple[Any, ...]] | None = None,
    preset: str = "full",
    methods: Sequence[str] | None = None,
    label_fractions: Sequence[float] | None = None,
    n_folds: int | None = None,
    n_repeats: int = 1,
    folds: Sequence[int] | None = None,
    n_draws: int | Mapping[float, int] | None = None,
    random_state: int = 0,
) -> StudyPlan:
    """Check the arguments of `ablation_study`, and plan it."""
    chosen = fill_in(
        ABLATION,
        preset,
        {
            "methods": methods,
            "label_fractions": label_fractions,
            "n_folds": n_folds,
            "folds": folds,
            "n_draws": n_draws,
        },
    )
    data = read_data(X, y, image_column, group_column, task_of(task, estimator))
    prototypes = Prototypes.of(pretrainer, estimator, data, image_root)
    compared = [
        *prototypes.built_in(chosen.pop("methods")),
        *baseline_methods(baselines, data.task),
        *own_methods(extra_methods or {}, data, image_root),
    ]
    protocol = Protocol(n_repeats=n_repeats, random_state=random_state, **chosen)
    settings = settings_of(data, prototypes, protocol)
    return StudyPlan(data, compared, protocol, check_metric(metric, data.task), settings)


def task_of(task: str, estimator: Any) -> str:
    """Return the task, by the estimator if nothing else is said."""
    if task != "auto" or estimator is None:
        return task
    return "classification" if is_classifier(estimator) else "regression"


def settings_of(data: StudyData, prototypes: Prototypes, protocol: Protocol) -> dict[str, Any]:
    """The exact configuration, in plain values."""
    return {
        "task": data.task,
        "n_rows": len(data),
        "n_columns": data.table.shape[1],
        "image_columns": [str(name) for name in data.image_columns],
        "group_column": None if data.group_column is None else str(data.group_column),
        **describe(vars(protocol)),
        "pretrainer": describe(prototypes.pretrainer),
        "estimator": describe(prototypes.estimator),
    }
