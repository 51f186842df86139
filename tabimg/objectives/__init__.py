"""Losses, one per file."""

from __future__ import annotations

from tabimg.objectives.contrastive import InfoNCE, positives_from_ids
from tabimg.objectives.gathering import ALONE, Gathering, LostProcessError
from tabimg.objectives.masked_cells import MaskedCellLoss
from tabimg.objectives.matching import MatchingLoss, draw_hard_negatives

__all__ = [
    "ALONE",
    "Gathering",
    "InfoNCE",
    "LostProcessError",
    "MaskedCellLoss",
    "MatchingLoss",
    "draw_hard_negatives",
    "positives_from_ids",
]
