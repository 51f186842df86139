"""What every baseline is fitted on, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing, check_consistent_length

from tabimg.evaluation.foundation import Split, dealt_folds, related_rows
from tabimg.evaluation.metrics import spread_probabilities

Settings = dict[str, Any]
N_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Problem:
    """What a baseline is fitted on.

    Parameters
    ----------
    table : DataFrame or array of shape (n_rows, n_columns)
        As given by the caller.
    target : int64 or float64 array of shape (n_rows,)
        Class numbers from 0, or numbers.
    n_classes : int
        0 for regression.
    folds : list of (train, valid)
    seed, n_threads : int
    """

    table: Any
    target: np.ndarray
    n_classes: int
    folds: list[Split]
    seed: int
    n_threads: int

    def rows(self, numbers: np.ndarray) -> Any:
        """Take rows of the table."""
        return _safe_indexing(self.table, numbers)

    def losses(self, outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return each row's log loss or squared error; float64 array."""
        if not self.n_classes:
            return (outputs - self.target[rows]) ** 2
        likelihood = outputs[np.arange(len(rows)), self.target[rows]]
        return -np.log(np.maximum(likelihood, np.finfo(np.float64).eps))


class FittedModel(Protocol):
    """A fitted baseline: the chosen settings, and their loss on held-out rows."""

    @property
    def settings(self) -> Settings:
        """The settings chosen on the inner folds."""
        ...

    @property
    def validation_loss(self) -> float:
        """Mean loss of the held-out rows; NaN if none could be held out."""
        ...

    def predict(self, table: Any) -> np.ndarray:
        """Return probabilities (n_rows, n_classes), or numbers (n_rows,)."""
        ...


def inner_folds(target: np.ndarray, groups: Any, seed: int, n_classes: int) -> list[Split]:
    """Return the folds on which baselines are tuned and compared; see `dealt_folds`.

    ``groups`` may hold any values. A row with a missing group, or any row if ``groups`` is None, is
    its own group.
    """
    if groups is None:
        group = np.arange(len(target))
    else:
        check_consistent_length(target, groups)
        group = related_rows(pd.factorize(np.asarray(groups, dtype=object))[0])
    return dealt_folds(target, group, N_FOLDS, seed, n_classes)


def predict_all_classes(model: Any, matrix: Any, n_classes: int) -> np.ndarray:
    """Predict with a scikit-learn model that may know only some of the classes.

    Parameters
    ----------
    model : fitted estimator
    matrix : array or DataFrame
        In the model's input format.
    n_classes : int
        0 for regression.

    Returns
    -------
    float64 array of shape (n_rows, n_classes), or (n_rows,) for regression
    """
    if not n_classes:
        return np.asarray(model.predict(matrix), dtype=np.float64)
    return over_all_classes(model, model.predict_proba(matrix), n_classes)


def over_all_classes(model: Any, outputs: np.ndarray, n_classes: int) -> np.ndarray:
    """Extend a model's probabilities to all classes; numbers stay unchanged."""
    if not n_classes:
        return outputs
    return spread_probabilities(outputs, model.classes_, np.arange(n_classes))
