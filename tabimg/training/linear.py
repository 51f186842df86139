"""Penalised linear models, with penalties chosen by folds: heads of networks, members of blends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from tabimg.nn.rowwise import rowwise_linear
from tabimg.serialization import register
from tabimg.serialization.checks import check_stored
from tabimg.training.blocks import Blocks, LabelledRows, check_blocks
from tabimg.training.cross_fitting import CrossFitted, SimpleCandidate
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
    check_blocks(model.names)
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


@dataclass(frozen=True, eq=False)
class ChosenPenalty:
    """The penalty of a linear model, chosen by folds.

    Parameters
    ----------
    number : int
        Among the task's penalties.
    held_out : float64 array of shape (n_rows, n_outputs)
        Predictions for each row by the model with this penalty that did not see it; NaN for rows
        that no fold holds out.
    heads : list of Head
        The model of each fold.
    """

    number: int
    held_out: np.ndarray
    heads: list[Head]


def choose_penalty(
    features: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    folds: Sequence[Split],
    task: Task,
) -> ChosenPenalty:
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
    ChosenPenalty
    """
    n_penalties = len(task.penalties)
    predictions = np.full((n_penalties, len(target), task.n_outputs), np.nan)
    losses, paths = np.zeros(n_penalties), []
    for train, valid in folds:
        path = task.linear_path(features[train], target[train], weight[train], n_penalties)
        paths.append(path)
        for k, (coefficients, bias) in enumerate(path):
            outputs = torch.from_numpy(features[valid] @ coefficients.T + bias)
            predictions[k, valid] = task.predictions(outputs).numpy()
            losses[k] += weight[valid] @ task.losses(predictions[k, valid], target[valid])
    chosen = int(np.argmin(losses)) if folds else n_penalties // 2
    return ChosenPenalty(chosen, predictions[chosen], [path[chosen] for path in paths])


def fit_head(
    features: np.ndarray, target: np.ndarray, weight: np.ndarray, penalty: int, task: Task
) -> Head:
    """Fit a linear model with the task's penalty of this index."""
    return task.linear_path(features, target, weight, penalty + 1)[-1]


@dataclass(frozen=True)
class LinearCandidate(SimpleCandidate):
    """A penalised linear model on some blocks.

    Parameters
    ----------
    names : tuple of str
    reference : Blocks, optional
        Rows whose mean and spread standardise the blocks; None are those that are fitted.
    """

    names: tuple[str, ...]
    reference: Blocks | None = None

    def fit_folds(self, rows: LabelledRows, folds: Sequence[Split], task: Task) -> CrossFitted:
        """Choose the penalty; see `SimpleCandidate`."""
        features = rows.blocks.matrix(self.names).astype(np.float64)
        if self.reference is None:
            mean, scale = standardisation(features, rows.weight)
        else:
            others = self.reference.matrix(self.names).astype(np.float64)
            mean, scale = standardisation(others, np.ones(len(others)))
        standardised = (features - mean) / scale
        chosen = choose_penalty(standardised, rows.target, rows.weight, folds, task)
        models = [LinearModel(self.names, mean, scale, *head) for head in chosen.heads]
        fit = partial(self._fit, mean, scale, chosen.number, task)
        return CrossFitted(chosen.held_out, models, fit)

    def _fit(
        self, mean: np.ndarray, scale: np.ndarray, penalty: int, task: Task, rows: LabelledRows
    ) -> LinearModel:
        features = (rows.blocks.matrix(self.names).astype(np.float64) - mean) / scale
        head = fit_head(features, rows.target, rows.weight, penalty, task)
        return LinearModel(self.names, mean, scale, *head)
