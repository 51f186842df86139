"""What users hand in, checked and taken apart. Knows tables and photos; knows no estimator."""

from __future__ import annotations

from tabimg.inputs.unlabeled import Unlabeled

__all__ = ["Unlabeled"]
