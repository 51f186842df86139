"""Table encoders pre-trained with photos, as scikit-learn estimators."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
