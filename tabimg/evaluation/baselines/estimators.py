"""Baselines for raw tables, tuned inside the rows they are fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_is_fitted
from threadpoolctl import threadpool_limits

from tabimg.evaluation.baselines.bagged_models import EXTRA_MODELS
from tabimg.evaluation.baselines.problem import FittedModel, Problem, inner_folds
from tabimg.evaluation.baselines.tuned_models import CORE_MODELS
from tabimg.evaluation.foundation import (
    as_target,
    check_choice,
    check_fit_rows,
    check_positive_int,
    draw_seed,
    own_warning_filters,
    reject_missing_target,
)
from tabimg.evaluation.metrics import check_task
from tabimg.messages import shorten

CORE_BASELINES = tuple(CORE_MODELS)
EXTRA_BASELINES = tuple(EXTRA_MODELS)
MANY_CLASSES = "The number of unique classes is greater than 50%"


def make_baseline(
    name: str, task: str, random_state: Any = 0, n_threads: int = 1
) -> BaselineClassifier | BaselineRegressor:
    """Make an unfitted baseline by name.

    Parameters
    ----------
    name : str
        One of `CORE_BASELINES`, "linear" (logistic or ridge regression), "random_forest" and
        "boosting" (scikit-learn's histogram gradient boosting), or, with the extra ``benchmarks``
        installed, of `EXTRA_BASELINES`, "realmlp", "tabm" and "catboost".
    task : {"classification", "regression"}
    random_state : int, RandomState or None, default=0
        Seeds the inner folds and the model.
    n_threads : int, default=1
        Maximum number of threads in `fit` and `predict`.

    Returns
    -------
    BaselineClassifier or BaselineRegressor

    Raises
    ------
    ValueError
        For an unknown name or task.

    Notes
    -----
    All are tuned on the same inner folds (at most five) of the rows they are fitted on, so their
    ``validation_loss_`` can be compared.

    - "linear" chooses one of seven penalties; it sees the columns as the networks' heads do.
    - "random_forest" (200 trees) chooses the minimum rows per leaf, 1 or 3, and the number of
      columns tried per split: the square root of all columns, or 0.7 of them, at most 30.
    - "boosting" chooses the minimum rows per leaf, 5 or 20, and the number of rounds. Like CatBoost
      it grows one tree per class and round, which is slow with a hundred classes.
    - "realmlp" is RealMLP-TD and "catboost" CatBoost-TD, with the tuned defaults of Holzmüller et
      al. ("Better by default", NeurIPS 2024), "tabm" is TabM-D (Gorishniy et al., ICLR 2025), all
      from the pytabkit package, neither reduced nor tuned. Each member is fitted without one inner
      fold, which is used for early stopping, and three members are averaged; only one for TabM with
      more than 500 rows, since it is itself an ensemble and a fit takes minutes.
      ``validation_loss_`` is the loss on these held-out folds: fewer rows than for the others. The
      library needs complete numbers: missing ones become the median, with an indicator.

    Examples
    --------
    >>> from tabimg.evaluation.baselines import make_baseline
    >>> table = [[1.0, "red"], [2.0, "red"], [None, "blue"], [8.0, "blue"], [7.0, "blue"]]
    >>> baseline = make_baseline("linear", "classification").fit(table, list("aabbb"))
    >>> baseline.predict([[1.5, "red"]]).tolist()
    ['a']
    """
    check_task(task)
    check_choice("name", name, (*CORE_BASELINES, *EXTRA_BASELINES))
    face = BaselineClassifier if task == "classification" else BaselineRegressor
    return face(name=name, random_state=random_state, n_threads=n_threads)


class _Baseline(BaseEstimator):
    """What both classes share: draw the folds, fit, predict."""

    def __init__(self, name: str = "linear", random_state: Any = 0, n_threads: int = 1) -> None:
        self.name = name
        self.random_state = random_state
        self.n_threads = n_threads

    def _fit(self, X: Any, target: np.ndarray, n_classes: int, groups: Any) -> None:
        check_choice("name", self.name, (*CORE_BASELINES, *EXTRA_BASELINES))
        check_positive_int("n_threads", self.n_threads)
        check_fit_rows(self, _num_samples(X))
        check_consistent_length(X, target)
        seed = draw_seed(self.random_state)
        folds = inner_folds(target, groups, seed, n_classes)
        problem = Problem(X, target, n_classes, folds, seed, self.n_threads)
        with threadpool_limits(self.n_threads), own_warning_filters():
            # The task is known; few rows per class are the caller's choice.
            warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
            self.fitted_ = _model_fitter(self.name)(problem)
        self.settings_ = self.fitted_.settings
        self.validation_loss_ = self.fitted_.validation_loss

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        with threadpool_limits(self.n_threads):
            return self.fitted_.predict(X)


class BaselineClassifier(ClassifierMixin, _Baseline):
    """A baseline that predicts classes from a raw table.

    Parameters
    ----------
    name : str, default="linear"
        One of `CORE_BASELINES` or `EXTRA_BASELINES`.
    random_state : int, RandomState or None, default=0
        Seeds the inner folds and the model.
    n_threads : int, default=1
        Threads that fit and predict use at most.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    validation_loss_ : float
        Mean log loss of the rows held out by the inner folds; NaN if none could be. The folds
        depend only on rows, groups and seed, so losses of different baselines can be compared.
    settings_ : dict
        The settings chosen on the inner folds.
    """

    def fit(self, X: Any, y: Any, groups: Any = None) -> BaselineClassifier:
        """Choose settings on inner folds and fit all rows.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            Numbers, strings, categories, dates, missing cells; no image or group column.
        y : array of shape (n_rows,)
            Labels.
        groups : sequence of length n_rows, optional
            Rows of one group stay together in the inner folds.

        Returns
        -------
        BaselineClassifier
            The baseline itself.
        """
        y = as_target(y)
        reject_missing_target(y)
        labels = column_or_1d(y)
        with own_warning_filters():
            warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
            check_classification_targets(labels)
        self.classes_, target = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y needs at least 2 classes, got 1 class: {shorten(self.classes_[0])}"
            )
        self._fit(X, target, len(self.classes_), groups)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities; float64 (n_rows, n_classes), in the order of `classes_`."""
        return self._outputs(X)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each row; array (n_rows,) of the labels' dtype."""
        # Probabilities first: this checks that the baseline is fitted.
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]


class BaselineRegressor(RegressorMixin, _Baseline):
    """A baseline that predicts numbers from a raw table.

    Parameters
    ----------
    name : str, default="linear"
        One of `CORE_BASELINES` or `EXTRA_BASELINES`.
    random_state : int, RandomState or None, default=0
        Seeds the inner folds and the model.
    n_threads : int, default=1
        Threads that fit and predict use at most.

    Attributes
    ----------
    validation_loss_ : float
        Mean squared error of the rows held out by the inner folds; NaN if none could be. The folds
        depend only on rows, groups and seed, so losses of different baselines can be compared.
    settings_ : dict
        The settings chosen on the inner folds.
    """

    def fit(self, X: Any, y: Any, groups: Any = None) -> BaselineRegressor:
        """Choose settings on inner folds and fit all rows.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            Numbers, strings, categories, dates, missing cells; no image or group column.
        y : array of shape (n_rows,)
            Finite numbers.
        groups : sequence of length n_rows, optional
            Rows of one group stay together in the inner folds.

        Returns
        -------
        BaselineRegressor
            The baseline itself.
        """
        y = as_target(y)
        reject_missing_target(y)
        target = column_or_1d(y, dtype=np.float64)
        if not np.isfinite(target).all():
            raise ValueError(f"y is infinite, first in row {np.flatnonzero(np.isinf(target))[0]}")
        self._fit(X, target, 0, groups)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the number of each row; float64 array (n_rows,)."""
        return np.asarray(self._outputs(X), dtype=np.float64)


def _model_fitter(name: str) -> Callable[[Problem], FittedModel]:
    """Return the function that fits a baseline."""
    return (CORE_MODELS[name] if name in CORE_MODELS else EXTRA_MODELS[name]).fit
