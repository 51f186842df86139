"""What differs between classification and regression: losses, predictions, simple models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from tabimg.training.runtime import own_warning_filters

REGRESSION_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
}
# Weight (n_outputs, n_features) and bias (n_outputs,).
Head = tuple[np.ndarray, np.ndarray]
# Smaller probabilities count as zero.
MIN_PROBABILITY = 1e-7
# Soft labels keep the classes with at least this share.
MIN_SHARE = 0.02


class Task(Protocol):
    """A kind of target.

    Attributes
    ----------
    n_outputs : int
        Number of classes, or of target columns.
    penalties : ndarray
        The penalties that linear models choose from, the strongest first.
    forests : mapping of str to class
        The scikit-learn forests for this target.
    """

    n_outputs: int
    penalties: np.ndarray
    forests: Mapping[str, type]

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Loss of each row under a network's outputs, (B,)."""
        ...

    def predictions(self, outputs: Tensor) -> Tensor:
        """Turn a network's outputs into class probabilities or numbers, (B, n_outputs)."""
        ...

    def losses(self, predictions: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Loss of each row under predictions, float64 (n_rows,)."""
        ...

    def mixing_slope(self, parts: np.ndarray, mixed: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Derivative of each row's loss with respect to the weight of each mixed part.

        Parameters
        ----------
        parts : array of shape (n_members, n_rows, n_outputs)
        mixed : array of shape (n_rows, n_outputs)
        target : array of n_rows rows

        Returns
        -------
        array of shape (n_members, n_rows)
        """
        ...

    def classes(self, target: np.ndarray) -> np.ndarray | None:
        """Return the labels to stratify by, or None."""
        ...

    def linear_path(
        self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, n_penalties: int
    ) -> list[Head]:
        """Fit a linear model with each of the first penalties."""
        ...

    def soft(self, target: np.ndarray) -> np.ndarray:
        """Return a target as certain predictions, float64 (n_rows, n_outputs)."""
        ...

    def soft_head(self, features: np.ndarray, soft: np.ndarray, weight: np.ndarray) -> Head:
        """Fit a linear model to the predictions of another model."""
        ...

    def hardened(
        self, soft: np.ndarray, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Turn soft targets into targets: numbers of rows, their targets and their weights."""
        ...

    def tree_values(self, tree: Any, classes: Any) -> np.ndarray:
        """Predictions at the nodes of a fitted tree, float64 (n_nodes, n_outputs)."""
        ...

    def smoothed(self, predictions: np.ndarray, n_trees: int) -> np.ndarray:
        """Reduce the overconfidence of a forest's votes."""
        ...


class Classification:
    """Cross-entropy over ``n_outputs`` classes; the target holds class numbers."""

    # Inverse strengths, as scikit-learn's C.
    penalties = np.logspace(-4, 1, 6)
    forests: Mapping[str, type] = {
        "random_forest": RandomForestClassifier,
        "extra_trees": ExtraTreesClassifier,
    }

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(outputs, target, reduction="none")

    def predictions(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1)

    def losses(self, predictions: np.ndarray, target: np.ndarray) -> np.ndarray:
        return -np.log(np.maximum(_picked(predictions, target), MIN_PROBABILITY))

    def mixing_slope(self, parts: np.ndarray, mixed: np.ndarray, target: np.ndarray) -> np.ndarray:
        picked = np.stack([_picked(part, target) for part in parts])
        return -picked / np.maximum(_picked(mixed, target), MIN_PROBABILITY)

    def classes(self, target: np.ndarray) -> np.ndarray:
        return target

    def linear_path(
        self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, n_penalties: int
    ) -> list[Head]:
        """Multinomial logistic regression, each fit warm-started from the previous one."""
        if len(np.unique(target)) < 2:
            return [self._constant_head(features.shape[1], target)] * n_penalties
        model = LogisticRegression(max_iter=300, tol=1e-4, warm_start=True)
        path = []
        for C in self.penalties[:n_penalties]:
            _fit_quietly(model.set_params(C=C), features, target, weight)
            path.append(self._spread(model.coef_, model.intercept_, model.classes_))
        return path

    def soft(self, target: np.ndarray) -> np.ndarray:
        return np.eye(self.n_outputs)[target]

    def soft_head(self, features: np.ndarray, soft: np.ndarray, weight: np.ndarray) -> Head:
        """Logistic regression on hard labels."""
        rows, labels, weight = self.hardened(soft, weight)
        if len(np.unique(labels)) < 2:
            return self._constant_head(features.shape[1], labels)
        model = LogisticRegression(C=1.0, max_iter=100, tol=1e-3)
        _fit_quietly(model, features[rows], labels, weight)
        return self._spread(model.coef_, model.intercept_, model.classes_)

    def hardened(
        self, soft: np.ndarray, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count a row once per class, weighted by the class's share."""
        rows, labels = np.nonzero(soft >= MIN_SHARE)
        return rows, labels, weight[rows] * soft[rows, labels]

    def tree_values(self, tree: Any, classes: Any) -> np.ndarray:
        counts = tree.value[:, 0, :]
        values = np.zeros((len(counts), self.n_outputs))
        values[:, classes] = counts / counts.sum(axis=1, keepdims=True)
        return values

    def smoothed(self, predictions: np.ndarray, n_trees: int) -> np.ndarray:
        """Add one vote, split evenly over the classes."""
        return (predictions * n_trees + 1.0 / self.n_outputs) / (n_trees + 1.0)

    def _constant_head(self, n_features: int, target: np.ndarray) -> Head:
        bias = np.full(self.n_outputs, -10.0)
        bias[target[0]] = 10.0
        return np.zeros((self.n_outputs, n_features)), bias

    def _spread(self, coef: np.ndarray, intercept: np.ndarray, classes: np.ndarray) -> Head:
        """Extend the model's classes to all classes, with one logit each."""
        if len(classes) == 2 and len(coef) == 1:
            coef, intercept = np.vstack([-coef, coef]) / 2, np.r_[-intercept, intercept] / 2
        weight = np.zeros((self.n_outputs, coef.shape[1]))
        bias = np.full(self.n_outputs, intercept.min() - 10.0)
        weight[classes], bias[classes] = coef, intercept
        return weight, bias


class Regression:
    """A standardised target of ``n_outputs`` columns under one of three losses."""

    # Strengths, as scikit-learn's alpha.
    penalties = np.logspace(5, -1, 13)
    forests: Mapping[str, type] = {
        "random_forest": RandomForestRegressor,
        "extra_trees": ExtraTreesRegressor,
    }

    def __init__(self, n_outputs: int, loss: str) -> None:
        self.n_outputs = n_outputs
        self.loss = loss

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        return REGRESSION_LOSSES[self.loss](outputs, target, reduction="none").mean(dim=1)

    def predictions(self, outputs: Tensor) -> Tensor:
        return outputs

    def losses(self, predictions: np.ndarray, target: np.ndarray) -> np.ndarray:
        outputs, truth = torch.from_numpy(predictions), torch.from_numpy(target)
        return self.row_losses(outputs, truth.double()).numpy()

    def mixing_slope(self, parts: np.ndarray, mixed: np.ndarray, target: np.ndarray) -> np.ndarray:
        outputs = torch.tensor(mixed, requires_grad=True)
        self.row_losses(outputs, torch.from_numpy(target).double()).sum().backward()
        assert outputs.grad is not None
        return np.einsum("mno,no->mn", parts, outputs.grad.numpy())

    def classes(self, target: np.ndarray) -> None:
        return None

    def linear_path(
        self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, n_penalties: int
    ) -> list[Head]:
        """Ridge regression."""
        return _ridge_path(features, target, weight, self.penalties[:n_penalties])

    def soft(self, target: np.ndarray) -> np.ndarray:
        return target.astype(np.float64)

    def soft_head(self, features: np.ndarray, soft: np.ndarray, weight: np.ndarray) -> Head:
        """Ridge regression, penalised by one row in ten."""
        return _ridge_path(features, soft, weight, np.array([0.1 * len(soft)]))[0]

    def hardened(
        self, soft: np.ndarray, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Leave numbers as they are."""
        return np.arange(len(soft)), soft, weight

    def tree_values(self, tree: Any, classes: Any) -> np.ndarray:
        return tree.value[:, :, 0]

    def smoothed(self, predictions: np.ndarray, n_trees: int) -> np.ndarray:
        return predictions


def _ridge_path(
    features: np.ndarray, target: np.ndarray, weight: np.ndarray, alphas: np.ndarray
) -> list[Head]:
    """Fit ridge regressions, with one decomposition for all penalties.

    Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd edition, equation
    3.47, with weighted rows. scikit-learn would repeat the decomposition for each penalty.
    """
    centre, level = np.average(features, 0, weight), np.average(target, 0, weight)
    root = np.sqrt(weight.astype(np.float64))[:, None]
    left, values, axes = np.linalg.svd(root * (features - centre), full_matrices=False)
    shares = left.T @ (root * (target - level))
    coefs = [((values / (values**2 + alpha))[:, None] * shares).T @ axes for alpha in alphas]
    return [(coef, level - coef @ centre) for coef in coefs]


def _picked(predictions: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return each row's probability of its own class."""
    return predictions[np.arange(len(target)), target]


def _fit_quietly(
    model: LogisticRegression, features: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> None:
    with own_warning_filters():
        # A start for fine-tuning, or a strongly penalised model, need not be exact.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # The estimator's own check has already warned of it.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        model.fit(features, target, sample_weight=weight)
