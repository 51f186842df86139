"""The data of a study: rows and their target, folds and label budgets, photos as numbers."""

from __future__ import annotations

from tabimg.evaluation.data.encoded_photos import encoded_photos
from tabimg.evaluation.data.folds import (
    Budget,
    Fold,
    draw_seeds,
    labelled_rows,
    outer_folds,
    place_of,
    plan_budgets,
)
from tabimg.evaluation.data.study_data import (
    StudyData,
    describe_pairs,
    read_data,
    require_photo_files,
)
from tabimg.evaluation.data.study_target import read_target
from tabimg.evaluation.data.thumbnails import components, photo_numbers

__all__ = [
    "Budget",
    "Fold",
    "StudyData",
    "components",
    "describe_pairs",
    "draw_seeds",
    "encoded_photos",
    "labelled_rows",
    "outer_folds",
    "photo_numbers",
    "place_of",
    "plan_budgets",
    "read_data",
    "read_target",
    "require_photo_files",
]
