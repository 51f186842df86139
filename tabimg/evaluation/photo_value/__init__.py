"""Are photos likely to pay? Estimated beforehand, without pre-training."""

from __future__ import annotations

from tabimg.evaluation.photo_value.estimate import photo_value
from tabimg.evaluation.photo_value.verdict import PhotoValue

__all__ = [
    "PhotoValue",
    "photo_value",
]
