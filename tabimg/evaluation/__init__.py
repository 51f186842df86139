"""The papers' protocols for anyone's data, with baselines, statistics and leakage checks."""

from __future__ import annotations

from tabimg.evaluation.baselines import make_baseline
from tabimg.evaluation.leakage import LeakageReport, image_groups, leakage_report

__all__ = [
    "LeakageReport",
    "image_groups",
    "leakage_report",
    "make_baseline",
]
