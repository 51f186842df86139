"""Penalised linear models, with penalties chosen by folds: heads of networks, members of blends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tabimg.nn.rowwise import rowwise_linear
from tabimg.serialization import register
from tabimg.serialization.checks import check_items, check_stored
from tabimg.training.blocks import BLOCKS, Blocks, LabelledRows
from tabimg.training.inference import apply_in_blocks
from tabimg.training.splits import Split
from tabimg.training.tasks import Head, Task


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear model on standardised blocks.

    Parameters
    ----------
    names : tuple of str
        The blocks that it sees, side by side.
    mean, scale : float64 array of shape (n_features,)
    weight : float64 array of shape (n_outputs, n_features)
    bias : float64 array of shape (n_outputs,)
    """

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        """Predict on the CPU, in float64; see `Model`."""
        weight = torch.from_numpy(self.weight)
        bias = torch.from_numpy(self.bias)

        def apply(features: torch.Tensor) -> torch.Tensor:
            return task.predictions(rowwise_linear(features, weight, bias))

        features = (blocks.matrix(self.names).astype(np.float64) - self.mean) / self.scale
        return apply_in_blocks(apply, (features,), torch.device("cpu"))


def check_linear(model: LinearModel) -> None:
    """Raise a ValueError for arrays that are not a linear model on blocks."""
    check_items("names", model.names, tuple, str)
    if not model.names or not set(model.names) <= set(BLOCKS):
        raise ValueError(f"unknown blocks: {model.names}")
    check_stored("mean", model.mean, "float64", (None,))
    n_features = len(model.mean)
    check_stored("scale", model.scale, "float64", (n_features,))
    check_stored("weight", model.weight, "float64", (None, n_features))
    check_stored("bias", model.bias, "float64", (len(model.weight),))
    if (model.scale <= 0).any():
        raise ValueError("a scale is not positive")


register(LinearModel, check=check_linear)


def standardisation(features: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each feature; a constant one gets scale 1."""
    mean = np.average(features, axis=0, weights=weight)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight))
    scale = np.where(scale > 1e-6 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    return mean, scale


def choose_penalty(
    features: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    folds: Sequence[Split],
    task: Task,
) -> tuple[np.ndarray, int]:
    """Choose the penalty of a linear model by folds.

    Parameters
    ----------
    features : float64 array of shape (n_rows, n_features)
        Standardised.
    target, weight : arrays of n_rows rows
    folds : sequence of (train, valid)
        May be empty: the task's middle penalty is then used.
    task : Task

    Returns
    -------
    held_out : float64 array of shape (n_rows, n_outputs)
        Predictions for each row by the model with the chosen penalty that did not see it; NaN for
        rows that no fold holds out.
    number : int
        Index of the chosen penalty among the task's.
    """
    n_penalties = len(task.penalties)
    predictions = np.full((n_penalties, len(target), task.n_outputs), np.nan)
    losses = np.zeros(n_penalties)
    for train, valid in folds:
        path = task.linear_path(features[train], target[train], weight[train], n_penalties)
        for k, (coefficients, bias) in enumerate(path):
            outputs = torch.from_numpy(features[valid] @ coefficients.T + bias)
            predictions[k, valid] = task.predictions(outputs).numpy()
            losses[k] += weight[valid] @ task.losses(predictions[k, valid], target[valid])
    chosen = int(np.argmin(losses)) if folds else n_penalties // 2
    return predictions[chosen], chosen


def fit_head(
    features: np.ndarray, target: np.ndarray, weight: np.ndarray, penalty: int, task: Task
) -> Head:
    """Fit a linear model with the task's penalty of this index."""
    return task.linear_path(features, target, weight, penalty + 1)[-1]


@dataclass(frozen=True)
class LinearCandidate:
    """A penalised linear model on some blocks.

    Parameters
    ----------
    names : tuple of str
    """

    names: tuple[str, ...]

    def cross_fit(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[np.ndarray, list[LinearModel]]:
        """See `tabimg.training.blending.Candidate`."""
        features = rows.blocks.matrix(self.names).astype(np.float64)
        mean, scale = standardisation(features, rows.weight)
        standardised = (features - mean) / scale
        held_out, penalty = choose_penalty(standardised, rows.target, rows.weight, folds, task)
        head = fit_head(standardised, rows.target, rows.weight, penalty, task)
        return held_out, [LinearModel(self.names, mean, scale, *head)]
