"""scikit-learn's whole check battery over the public estimators."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)

pytestmark = pytest.mark.usefixtures("few_folds")

STOCHASTIC = (
    "batches are drawn at random, so that a repeated row and a row of twice the weight meet other "
    "rows in other orders"
)

# Check name -> reason, for each estimator; the goal is nothing but stochastic training.
EXPECTED_FAILURES: dict[str, dict[str, str]] = {
    name: {"check_sample_weight_equivalence_on_dense_data": STOCHASTIC}
    for name in (
        *("MultiModalPretrainer", "MTCMTMClassifier", "MTCMTMRegressor"),
        *("CITabPretrainer", "CITabClassifier", "CITabRegressor"),
    )
}

SMALL: dict[str, Any] = {"embedding_dim": 8, "tabular_encoder": "mlp", "max_epochs": 2}
TINY: dict[str, Any] = {"dim": 8, "n_heads": 2, "n_layers": 1, "n_experts": 2, "max_epochs": 2}
CHEAP: list[BaseEstimator] = [
    MultiModalPretrainer(embedding_dim=8, max_epochs=2, projection_dim=8),
    MultiModalPretrainer(**SMALL, passthrough=True, validation_fraction=None),
    MTCMTMClassifier(**SMALL, finetune="full"),
    MTCMTMClassifier(
        pretrainer=MultiModalPretrainer(**SMALL), finetune="frozen", max_epochs=2, n_members=2
    ),
    MTCMTMRegressor(**SMALL, predict_modality="auto"),
    CITabPretrainer(**TINY),
    CITabClassifier(**TINY, finetune="full"),
    CITabRegressor(pretrainer=CITabPretrainer(**TINY), finetune="frozen", max_epochs=2),
]
DEFAULT: list[BaseEstimator] = [
    MultiModalPretrainer(),
    MTCMTMClassifier(),
    MTCMTMRegressor(),
    MTCMTMClassifier(pretrainer=MultiModalPretrainer()),
    MTCMTMRegressor(pretrainer=MultiModalPretrainer()),
    CITabPretrainer(),
    CITabClassifier(),
    CITabRegressor(),
    CITabClassifier(pretrainer=CITabPretrainer()),
    CITabRegressor(pretrainer=CITabPretrainer()),
]


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    return EXPECTED_FAILURES[type(estimator).__name__]


@parametrize_with_checks(CHEAP, expected_failed_checks=expected_failures)
def test_estimator_with_cheap_parameters_passes_check(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(DEFAULT, expected_failed_checks=expected_failures)
def test_estimator_with_default_parameters_passes_check(estimator: Any, check: Any) -> None:
    check(estimator)
