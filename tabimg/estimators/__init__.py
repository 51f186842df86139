"""scikit-learn's view of the package: parameters, validation, fit, transform and predict."""

from __future__ import annotations

from tabimg.estimators.classifier import MTCMTMClassifier
from tabimg.estimators.inputs import Unlabeled
from tabimg.estimators.pretrainer import MultiModalPretrainer
from tabimg.estimators.regressor import MTCMTMRegressor

__all__ = ["MTCMTMClassifier", "MTCMTMRegressor", "MultiModalPretrainer", "Unlabeled"]
