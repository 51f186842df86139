"""What classification and regression ask of fine-tuning: a row's loss, and a linear head."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import log_loss
from torch import Tensor
from torch.nn import functional as F

from tabimg.training.splits import Split, grouped_folds

REGRESSION_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
}
Head = tuple[np.ndarray, np.ndarray]
RIDGE_ALPHAS = np.logspace(-1, 5, 13)
LOGISTIC_CS = np.logspace(-4, 1, 6)
# Without a second row of each class there is nothing to choose C on.
DEFAULT_C = 0.1
MAX_SELECTION_ROWS = 5000
N_FOLDS = 3


class Task(Protocol):
    """A kind of target."""

    n_outputs: int

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Loss of each row, (B,)."""
        ...

    def fit_head(
        self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, groups: np.ndarray
    ) -> Head:
        """Fit a penalised linear head: weight (n_outputs, f) and bias (n_outputs,)."""
        ...

    def classes(self, target: np.ndarray) -> np.ndarray | None:
        """Give the labels to stratify by, or None."""
        ...


class Classification:
    """Cross-entropy over ``n_outputs`` classes; the target holds class numbers."""

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(outputs, target, reduction="none")

    def classes(self, target: np.ndarray) -> np.ndarray:
        return target

    def fit_head(
        self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, groups: np.ndarray
    ) -> Head:
        """Multinomial logistic regression; its C is chosen by grouped cross-validation."""
        if len(np.unique(target)) < 2:
            return self._constant_head(features.shape[1], target)
        C = self._choose_c(features, target, weight, groups)
        model = _fit_logistic(C, features, target, weight)
        return self._spread(model.coef_, model.intercept_, model.classes_)

    def _constant_head(self, n_features: int, target: np.ndarray) -> Head:
        bias = np.full(self.n_outputs, -10.0)
        bias[target[0]] = 10.0
        return np.zeros((self.n_outputs, n_features)), bias

    def _choose_c(
        self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, groups: np.ndarray
    ) -> float:
        folds = _selection_folds(target, groups)
        if not folds:
            return DEFAULT_C
        losses = np.zeros(len(LOGISTIC_CS))
        for train, valid in folds:
            for k, C in enumerate(LOGISTIC_CS):
                model = _fit_logistic(C, features[train], target[train], weight[train])
                losses[k] += log_loss(
                    target[valid],
                    model.predict_proba(features[valid]),
                    labels=model.classes_,
                    sample_weight=weight[valid],
                )
        return float(LOGISTIC_CS[np.argmin(losses)])

    def _spread(self, coef: np.ndarray, intercept: np.ndarray, classes: np.ndarray) -> Head:
        """Lay the model's classes out over all classes, as one logit each."""
        if len(classes) == 2 and len(coef) == 1:
            coef, intercept = np.vstack([-coef, coef]) / 2, np.r_[-intercept, intercept] / 2
        weight = np.zeros((self.n_outputs, coef.shape[1]))
        bias = np.full(self.n_outputs, intercept.min() - 10.0)
        weight[classes], bias[classes] = coef, intercept
        return weight, bias


class Regression:
    """A standardised target of ``n_outputs`` columns under one of three losses."""

    def __init__(self, n_outputs: int, loss: str) -> None:
        self.n_outputs = n_outputs
        self.loss = loss

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        return REGRESSION_LOSSES[self.loss](outputs, target, reduction="none").mean(dim=1)

    def classes(self, target: np.ndarray) -> None:
        return None

    def fit_head(
        self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, groups: np.ndarray
    ) -> Head:
        """Ridge regression; its alpha is chosen by leave-one-out or, with groups, by group."""
        n_groups = len(np.unique(groups))
        if n_groups < N_FOLDS:
            model = Ridge(alpha=1.0)
        elif n_groups == len(groups):
            model = RidgeCV(RIDGE_ALPHAS)
        else:
            model = RidgeCV(RIDGE_ALPHAS, cv=grouped_folds(groups, N_FOLDS, 0))
        model.fit(features.astype(np.float64), target, sample_weight=weight)
        return model.coef_.reshape(self.n_outputs, -1), np.reshape(model.intercept_, -1)


def _fit_logistic(
    C: float, features: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> LogisticRegression:
    model = LogisticRegression(C=C, max_iter=300, tol=1e-4)
    with warnings.catch_warnings():
        # A start for fine-tuning and a strongly penalised head need no last digit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # The estimator's own check has said so already.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        return model.fit(features, target, sample_weight=weight)


def _selection_folds(target: np.ndarray, groups: np.ndarray) -> list[Split]:
    """Folds to choose C on, over at most ``MAX_SELECTION_ROWS`` rows."""
    rows = np.arange(len(target))
    if len(rows) > MAX_SELECTION_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAX_SELECTION_ROWS, replace=False))
    folds = []
    for train, valid in grouped_folds(groups[rows], N_FOLDS, 0, target[rows]):
        train, valid = rows[train], rows[valid]
        # A class that this fold's training rows lack cannot be scored.
        valid = valid[np.isin(target[valid], target[train])]
        if len(valid) and len(np.unique(target[train])) > 1:
            folds.append((train, valid))
    return folds


def standardisation(features: np.ndarray, weight: np.ndarray) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of each feature; a constant one gets scale 1."""
    mean = np.average(features, axis=0, weights=weight)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight))
    scale = np.where(scale > 1e-6 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)
