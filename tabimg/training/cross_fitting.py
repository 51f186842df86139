"""Candidates that are fitted on folds, then on all rows: linear models, forests, boosting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tabimg.training.blocks import Blocks, LabelledRows
from tabimg.training.splits import Split
from tabimg.training.tasks import Task


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """A candidate whose settings were chosen by folds.

    Parameters
    ----------
    held_out : float64 array of shape (n_rows, n_outputs)
        Predictions of each row by a model that has not seen it; NaN for rows that no fold holds
        out.
    models : list of Model
        One per fold, fitted on its training rows.
    fit : callable
        Fits labelled rows with the settings that were chosen.
    """

    held_out: np.ndarray
    models: list[Any]
    fit: Callable[[LabelledRows], Any]


class SimpleCandidate(ABC):
    """A candidate that is one model, fitted in moments."""

    @abstractmethod
    def fit_folds(self, rows: LabelledRows, folds: Sequence[Split], task: Task) -> CrossFitted:
        """Choose settings by folds; without any, the middle ones are used."""

    def cross_fit(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[np.ndarray, list[Any]]:
        """See `tabimg.training.blending.Candidate`."""
        fitted = self.fit_folds(rows, folds, task)
        return fitted.held_out, [fitted.fit(rows)]


def held_out_by(
    models: Sequence[Any], blocks: Blocks, folds: Sequence[Split], task: Task
) -> np.ndarray:
    """Predict each row by the model of the fold that held it out; NaN for other rows."""
    held_out = np.full((len(blocks), task.n_outputs), np.nan)
    for model, (_, valid) in zip(models, folds, strict=True):
        held_out[valid] = model.predict(blocks.take(valid), task, torch.device("cpu"))
    return held_out
