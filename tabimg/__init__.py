"""Table encoders pre-trained with photos, as scikit-learn estimators."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


# What is reached as an attribute, such as `tabimg.image.ImageReadError`.
_ROOMS = {
    "estimators",
    "export",
    "headers",
    "image",
    "inputs",
    "inspection",
    "nn",
    "objectives",
    "persistence",
    "serialization",
    "serving",
    "table",
    "training",
}


def __getattr__(name: str) -> Any:
    """Import torch, scikit-learn and what needs them on first use: `tabimg.serving` does not."""
    if name in _ROOMS:
        return importlib.import_module(f"tabimg.{name}")
    if name in ("load", "save"):
        return getattr(importlib.import_module("tabimg.persistence"), name)
    if name in __all__:
        return getattr(importlib.import_module("tabimg.estimators"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
