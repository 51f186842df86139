"""scikit-learn's view of the package: parameters, validation, fit, transform and predict."""

from __future__ import annotations

from tabimg.estimators.citab_classifier import CITabClassifier
from tabimg.estimators.citab_pretrainer import CITabPretrainer
from tabimg.estimators.citab_regressor import CITabRegressor
from tabimg.estimators.classifier import MTCMTMClassifier
from tabimg.estimators.inputs import Unlabeled
from tabimg.estimators.pretrainer import MultiModalPretrainer
from tabimg.estimators.regressor import MTCMTMRegressor

__all__ = [
    "CITabClassifier",
    "CITabPretrainer",
    "CITabRegressor",
    "MTCMTMClassifier",
    "MTCMTMRegressor",
    "MultiModalPretrainer",
    "Unlabeled",
]
