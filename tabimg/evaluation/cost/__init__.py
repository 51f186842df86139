"""What a fit or a study will cost, measured on a sample before it is started."""

from __future__ import annotations

from tabimg.evaluation.cost.estimate import CostEstimate, estimate_cost
from tabimg.evaluation.cost.study_cost import StudyCost, estimate_study_cost

__all__ = ["CostEstimate", "StudyCost", "estimate_cost", "estimate_study_cost"]
