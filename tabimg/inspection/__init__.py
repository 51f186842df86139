"""Pictures of what an estimator learned: scikit-learn's displays; drawing needs matplotlib."""

from __future__ import annotations

from tabimg.inspection.blend import BlendDisplay
from tabimg.inspection.curves import TrainingCurvesDisplay
from tabimg.inspection.embedding_map import EmbeddingMapDisplay
from tabimg.inspection.experts import ExpertUseDisplay, header_neighbours
from tabimg.inspection.importance import (
    ImportanceDifferenceDisplay,
    PermutationImportanceDisplay,
)
from tabimg.inspection.report import write_report
from tabimg.inspection.retrieval import RetrievalDisplay

__all__ = [
    "BlendDisplay",
    "EmbeddingMapDisplay",
    "ExpertUseDisplay",
    "ImportanceDifferenceDisplay",
    "PermutationImportanceDisplay",
    "RetrievalDisplay",
    "TrainingCurvesDisplay",
    "header_neighbours",
    "write_report",
]
