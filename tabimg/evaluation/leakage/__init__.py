"""Rows and photos that a split could separate: duplicates on request, near ones as a warning."""

from __future__ import annotations

from tabimg.evaluation.leakage.near_equal import (
    LOOKS,
    MOST_PHOTOS,
    near_equal_photos,
    warn_of_doubles,
    warn_of_related_rows,
)
from tabimg.evaluation.leakage.report import LeakageReport, image_groups, leakage_report

__all__ = [
    "LOOKS",
    "MOST_PHOTOS",
    "LeakageReport",
    "image_groups",
    "leakage_report",
    "near_equal_photos",
    "warn_of_doubles",
    "warn_of_related_rows",
]
