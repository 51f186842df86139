"""Users' own estimators as members of a blend: on the columns, with photos' traces, as students."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.cross_fitting import CrossFitted, SimpleCandidate, held_out_by
from tabimg.training.distillation import Student
from tabimg.training.splits import Split
from tabimg.training.tasks import Classification, Task

# What a class has at least, of those that the estimator has not seen.
MIN_PROBABILITY = 1e-6


@dataclass(frozen=True, eq=False)
class UserModel:
    """A fitted estimator of a user.

    Parameters
    ----------
    estimator : estimator
    names : tuple of str
        The blocks that it sees, side by side.
    """

    estimator: Any
    names: tuple[str, ...]

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        """Predict class probabilities or standardised targets; see `Model`."""
        features = blocks.matrix(self.names)
        if not isinstance(task, Classification):
            numbers = np.asarray(self.estimator.predict(features), dtype=np.float64)
            return numbers.reshape(len(blocks), task.n_outputs)
        given = np.asarray(self.estimator.predict_proba(features), dtype=np.float64)
        probabilities = np.full((len(blocks), task.n_outputs), MIN_PROBABILITY)
        probabilities[:, np.asarray(self.estimator.classes_, dtype=np.int64)] += given
        return probabilities / probabilities.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class UserCandidate(SimpleCandidate):
    """An estimator of a user on some blocks.

    Parameters
    ----------
    estimator : estimator
        Unfitted; it is cloned.
    seed : int
        For an estimator whose ``random_state`` is None.
    names : tuple of str
    """

    estimator: Any
    seed: int
    names: tuple[str, ...] = (COLUMNS,)

    def fit_folds(self, rows: LabelledRows, folds: Sequence[Split], task: Task) -> CrossFitted:
        """See `SimpleCandidate`; what there is to choose, the estimator chooses."""
        models = [self._fit(task, rows.take(train)) for train, _ in folds]
        held_out = held_out_by(models, rows.blocks, folds, task)
        return CrossFitted(held_out, models, partial(self._fit, task))

    def _fit(self, task: Task, rows: LabelledRows) -> UserModel:
        features = rows.blocks.matrix(self.names)
        fitted = fit_user(self.estimator, features, rows.target, rows.weight, self.seed)
        return UserModel(fitted, self.names)


@dataclass(frozen=True)
class UserStudent(Student):
    """An estimator of a user, taught by photos as other students are."""

    estimator: Any
    seed: int

    def _learn(self, blocks: Blocks, soft: np.ndarray, weight: np.ndarray, task: Task) -> Any:
        rows, target, weight = task.hardened(soft, weight)
        features = blocks[COLUMNS][rows]
        return UserModel(fit_user(self.estimator, features, target, weight, self.seed), (COLUMNS,))


def fit_user(
    estimator: Any, features: np.ndarray, target: np.ndarray, weight: np.ndarray, seed: int
) -> Any:
    """Fit a clone of a user's estimator.

    One that takes no ``sample_weight`` is fitted on rows drawn in proportion to their weights.
    """
    fresh = clone(estimator)
    if fresh.get_params().get("random_state", 0) is None:
        fresh.set_params(random_state=seed % 2**31)
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if has_fit_parameter(fresh, "sample_weight"):
        return fresh.fit(features, target, sample_weight=weight)
    if np.ptp(weight) > 0:
        drawn = _drawn_by_weight(weight, seed)
        features, target = features[drawn], target[drawn]
    return fresh.fit(features, target)


def _drawn_by_weight(weight: np.ndarray, seed: int) -> np.ndarray:
    """Draw as many rows as there are, each as often as its share of the weights says, up to one."""
    shares = np.cumsum(weight) / weight.sum()
    places = (np.arange(len(weight)) + np.random.default_rng([seed, 104]).random()) / len(weight)
    return np.minimum(np.searchsorted(shares, places), len(weight) - 1)
