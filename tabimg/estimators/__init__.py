"""scikit-learn's view of the package: parameters, validation, fit, transform and predict."""

from __future__ import annotations

from tabimg.estimators.citab_classifier import CITabClassifier
from tabimg.estimators.citab_pretrainer import CITabPretrainer
from tabimg.estimators.citab_regressor import CITabRegressor
from tabimg.estimators.metadata_requests import register_requests
from tabimg.estimators.mtcmtm_classifier import MTCMTMClassifier
from tabimg.estimators.mtcmtm_pretrainer import MultiModalPretrainer
from tabimg.estimators.mtcmtm_regressor import MTCMTMRegressor
from tabimg.inputs import Unlabeled

__all__ = [
    "CITabClassifier",
    "CITabPretrainer",
    "CITabRegressor",
    "MTCMTMClassifier",
    "MTCMTMRegressor",
    "MultiModalPretrainer",
    "Unlabeled",
]

register_requests()
