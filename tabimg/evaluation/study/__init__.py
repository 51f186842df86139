"""The papers' comparisons: planned, computed in parts that are stored, and summarised."""

from __future__ import annotations

from tabimg.evaluation.study.engine import CellError
from tabimg.evaluation.study.methods import StudyMethod
from tabimg.evaluation.study.plan import PlannedCell, WorkUnit
from tabimg.evaluation.study.planned import StudyPlan, plan_ablation
from tabimg.evaluation.study.pooled_worth import pooled_labels_worth
from tabimg.evaluation.study.protocols import (
    SENSITIVITY_GRID,
    ablation_study,
    label_curve,
    sensitivity,
)
from tabimg.evaluation.study.results import StudyResult
from tabimg.evaluation.study.share import photo_share

__all__ = [
    "SENSITIVITY_GRID",
    "CellError",
    "PlannedCell",
    "StudyMethod",
    "StudyPlan",
    "StudyResult",
    "WorkUnit",
    "ablation_study",
    "label_curve",
    "photo_share",
    "plan_ablation",
    "pooled_labels_worth",
    "sensitivity",
]
