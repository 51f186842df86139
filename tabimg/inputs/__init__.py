"""User input, checked and split up. Knows tables and photos, but no estimator."""

from __future__ import annotations

from tabimg.inputs.unlabeled import Unlabeled

__all__ = ["Unlabeled"]
