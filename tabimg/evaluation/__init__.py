"""The papers' protocols for anyone's data, with baselines, statistics and leakage checks."""

from __future__ import annotations

from tabimg.evaluation.baselines import make_baseline
from tabimg.evaluation.check import DataCheck, check_data
from tabimg.evaluation.cost import (
    CostEstimate,
    StudyCost,
    estimate_cost,
    estimate_study_cost,
)
from tabimg.evaluation.leakage import LeakageReport, image_groups, leakage_report
from tabimg.evaluation.moved import keep_old_places
from tabimg.evaluation.photo_value import PhotoValue, photo_value
from tabimg.evaluation.statistics import pooled_difference
from tabimg.evaluation.study import (
    CellError,
    StudyResult,
    ablation_study,
    label_curve,
    photo_share,
    pooled_labels_worth,
    sensitivity,
)

__all__ = [
    "CellError",
    "CostEstimate",
    "DataCheck",
    "LeakageReport",
    "PhotoValue",
    "StudyCost",
    "StudyResult",
    "ablation_study",
    "check_data",
    "estimate_cost",
    "estimate_study_cost",
    "image_groups",
    "label_curve",
    "leakage_report",
    "make_baseline",
    "photo_share",
    "photo_value",
    "pooled_difference",
    "pooled_labels_worth",
    "sensitivity",
]

keep_old_places()
