"""What else would have been used: models of raw tables, lightly tuned, under one face."""

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
