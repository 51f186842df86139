"""Losses, one a file."""

from __future__ import annotations

from tabimg.objectives.contrastive import InfoNCE, positives_from_ids
from tabimg.objectives.masked_cells import MaskedCellLoss

__all__ = ["InfoNCE", "MaskedCellLoss", "positives_from_ids"]
