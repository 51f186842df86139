"""The alternatives to tabimg: models on raw tables, lightly tuned, with one interface."""

from __future__ import annotations

from tabimg.evaluation.baselines.estimators import (
    CORE_BASELINES,
    EXTRA_BASELINES,
    BaselineClassifier,
    BaselineRegressor,
    make_baseline,
)

__all__ = [
    "CORE_BASELINES",
    "EXTRA_BASELINES",
    "BaselineClassifier",
    "BaselineRegressor",
    "make_baseline",
]
