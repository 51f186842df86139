"""Users' own estimators as members of a blend: on the columns, with photos' traces, as students."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.cross_fitting import CrossFitted, SimpleCandidate, held_out_by
from tabimg.training.distillation import Student
from tabimg.training.splits import Split
from tabimg.training.tasks import Task

# What a class has at least, of those that the estimator has not seen.
MIN_PROBABILITY = 1e-6
# Of another library's message.
MAX_TOLD = 500


class MemberError(ValueError):
    """A user's estimator failed; the message names it, the cause is chained."""


@dataclass(frozen=True, eq=False)
class UserEstimator:
    """An unfitted estimator of a user.

    Parameters
    ----------
    name : str
    estimator : estimator
        It is cloned.
    labels : ndarray of shape (n_classes,), or None
        What it is given in place of class numbers; None in regression.
    """

    name: str
    estimator: Any
    labels: np.ndarray | None

    def fit(self, features: np.ndarray, target: np.ndarray, weight: np.ndarray, seed: int) -> Any:
        """Fit a clone.

        One that takes no ``sample_weight`` is fitted on rows drawn in proportion to their weights.

        Raises
        ------
        MemberError
        """
        fresh = clone(self.estimator)
        unset = [key for key, value in fresh.get_params().items() if value is None]
        seeds = {key: seed % 2**31 for key in unset if key.split("__")[-1] == "random_state"}
        fresh.set_params(**seeds)
        if self.labels is not None:
            target = self.labels[target]
        elif target.shape[1] == 1:
            target = target[:, 0]
        try:
            if has_fit_parameter(fresh, "sample_weight"):
                fitted = fresh.fit(features, target, sample_weight=weight)
            else:
                drawn = _drawn_by_weight(weight, target, seed)
                fitted = fresh.fit(features[drawn], target[drawn])
        except Exception as error:
            raise self._failure("fit", error) from error
        return fresh if fitted is None else fitted

    def predict(self, fitted: Any, features: np.ndarray, task: Task) -> np.ndarray:
        """Predict class probabilities or standardised targets, float64 (n_rows, n_outputs).

        Raises
        ------
        MemberError
        """
        try:
            predicted = self._predicted(fitted, features, task)
        except Exception as error:
            raise self._failure("predict", error) from error
        if not np.isfinite(predicted).all():
            raise MemberError(f"the member {self.name!r} predicts NaN or infinity: leave it out")
        return predicted

    def _predicted(self, fitted: Any, features: np.ndarray, task: Task) -> np.ndarray:
        if self.labels is None:
            numbers = np.asarray(fitted.predict(features), dtype=np.float64)
            return numbers.reshape(len(features), task.n_outputs)
        given = np.asarray(fitted.predict_proba(features), dtype=np.float64)
        probabilities = np.full((len(features), task.n_outputs), MIN_PROBABILITY)
        probabilities[:, np.searchsorted(self.labels, fitted.classes_)] += given
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def _failure(self, stage: str, error: Exception) -> MemberError:
        told = f"{type(error).__name__}: {error}"[:MAX_TOLD]
        return MemberError(f"the member {self.name!r} failed in {stage}: {told}")


@dataclass(frozen=True, eq=False)
class UserModel:
    """A fitted estimator of a user.

    Parameters
    ----------
    own : UserEstimator
    fitted : estimator
    names : tuple of str
        The blocks that it sees, side by side.
    """

    own: UserEstimator
    fitted: Any
    names: tuple[str, ...]

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        """Predict class probabilities or standardised targets; see `Model`."""
        return self.own.predict(self.fitted, blocks.matrix(self.names), task)


@dataclass(frozen=True)
class UserCandidate(SimpleCandidate):
    """An estimator of a user on some blocks.

    Parameters
    ----------
    own : UserEstimator
    seed : int
        For what has a ``random_state`` of None.
    names : tuple of str
    """

    own: UserEstimator
    seed: int
    names: tuple[str, ...] = (COLUMNS,)

    def fit_folds(self, rows: LabelledRows, folds: Sequence[Split], task: Task) -> CrossFitted:
        """See `SimpleCandidate`; what there is to choose, the estimator chooses."""
        models = [self._fit(rows.take(train)) for train, _ in folds]
        held_out = held_out_by(models, rows.blocks, folds, task)
        return CrossFitted(held_out, models, self._fit)

    def _fit(self, rows: LabelledRows) -> UserModel:
        features = rows.blocks.matrix(self.names)
        fitted = self.own.fit(features, rows.target, rows.weight, self.seed)
        return UserModel(self.own, fitted, self.names)


@dataclass(frozen=True)
class UserStudent(Student):
    """An estimator of a user, taught by photos as other students are."""

    own: UserEstimator
    seed: int

    def _learn(self, blocks: Blocks, soft: np.ndarray, weight: np.ndarray, task: Task) -> Any:
        rows, target, weight = task.hardened(soft, weight)
        fitted = self.own.fit(blocks[COLUMNS][rows], target, weight, self.seed)
        return UserModel(self.own, fitted, (COLUMNS,))


def _drawn_by_weight(weight: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    """Draw rows, each as often as its share of the weights says, up to one; no class is lost."""
    everything = np.arange(len(weight))
    if np.ptp(weight) == 0:
        return everything
    shares = np.cumsum(weight) / weight.sum()
    places = (everything + np.random.default_rng([seed, 104]).random()) / len(weight)
    drawn = np.minimum(np.searchsorted(shares, places), len(weight) - 1)
    if target.ndim > 1 or target.dtype.kind == "f":
        return drawn
    lost = np.setdiff1d(target, target[drawn])
    heaviest = [max(np.flatnonzero(target == label), key=weight.__getitem__) for label in lost]
    return np.append(drawn, heaviest).astype(np.int64)
