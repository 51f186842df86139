"""The papers' protocols for anyone's data, with baselines, statistics and leakage checks."""

from __future__ import annotations

from tabimg.evaluation.baselines import make_baseline
from tabimg.evaluation.engine import CellError
from tabimg.evaluation.leakage import LeakageReport, image_groups, leakage_report
from tabimg.evaluation.photo_value import photo_value
from tabimg.evaluation.photo_verdict import PhotoValue
from tabimg.evaluation.results import StudyResult
from tabimg.evaluation.statistics import pooled_difference
from tabimg.evaluation.study import ablation_study, label_curve, sensitivity

__all__ = [
    "CellError",
    "LeakageReport",
    "PhotoValue",
    "StudyResult",
    "ablation_study",
    "image_groups",
    "label_curve",
    "leakage_report",
    "make_baseline",
    "photo_value",
    "pooled_difference",
    "sensitivity",
]
