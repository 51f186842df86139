"""Table encoders pre-trained with photos, as scikit-learn estimators."""

from __future__ import annotations

from tabimg.estimators import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
    Unlabeled,
)
from tabimg.persistence import load, save

__version__ = "0.1.0"

__all__ = [
    "CITabClassifier",
    "CITabPretrainer",
    "CITabRegressor",
    "MTCMTMClassifier",
    "MTCMTMRegressor",
    "MultiModalPretrainer",
    "Unlabeled",
    "__version__",
    "load",
    "save",
]
