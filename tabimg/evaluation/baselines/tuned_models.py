"""The core baselines: families of scikit-learn models, with settings chosen on inner folds."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import ParameterGrid

from tabimg.evaluation.baselines.problem import (
    Problem,
    Settings,
    over_all_classes,
    predict_all_classes,
)
from tabimg.evaluation.foundation import Classification, own_warning_filters
from tabimg.table import TableCodec

STRENGTHS = [1.0, 0.001, 0.01, 0.1, 10.0, 100.0, 1000.0]
N_TREES = 200
# A split of a tree tries 0.7 of the columns, but at most this many.
WIDE_COLUMNS = 30
STAGES = (10, 20, 40, 70, 100, 200, 300)
# Histogram boosting has no more bins; a column with more categories is read as ordered codes.
MAX_CODES = 255


class DenseView:
    """The encoded columns, as the networks' heads see them: scaled numbers and one-hot codes."""

    def __init__(self, table: Any) -> None:
        self.codec = TableCodec().fit(table)
        self.width = len(self.codec.matrix_names())
        self.categorical: list[int] = []

    def __call__(self, table: Any) -> np.ndarray:
        return self.codec.to_matrix(self.codec.encode(table))


class OrdinalView:
    """Numbers with NaN for missing cells, then category codes."""

    def __init__(self, table: Any) -> None:
        self.codec = TableCodec().fit(table)
        first = len(self.codec.numeric_names)
        self.width = first + len(self.codec.categorical_names)
        sizes = enumerate(self.codec.cardinalities, start=first)
        self.categorical = [column for column, size in sizes if size <= MAX_CODES]

    def __call__(self, table: Any) -> np.ndarray:
        encoded = self.codec.encode(table)
        return np.hstack([encoded.numeric, encoded.codes.astype(np.float32)])


View = DenseView | OrdinalView


class SmoothedForest(RandomForestClassifier):
    """A forest with one more tree, which votes for all classes equally.

    Without it a class that no tree votes for has probability 0, and a single such row dominates the
    log loss.
    """

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the mean vote, including the even one; (n_rows, n_classes)."""
        votes = super().predict_proba(X)
        return Classification(votes.shape[1]).smoothed(votes, len(self.estimators_))


def make_linear(problem: Problem, view: View, strength: float) -> Any:
    if problem.n_classes:
        return LogisticRegression(C=1.0 / strength, max_iter=1000)
    return Ridge(alpha=strength)


def make_forest(problem: Problem, view: View, wide: bool, **settings: Any) -> Any:
    forest = SmoothedForest if problem.n_classes else RandomForestRegressor
    share = min(0.7, WIDE_COLUMNS / view.width) if wide else "sqrt"
    return forest(
        N_TREES,
        max_features=share,
        random_state=problem.seed,
        n_jobs=problem.n_threads,
        **settings,
    )


def make_boosting(problem: Problem, view: View, **settings: Any) -> Any:
    boosting = (
        HistGradientBoostingClassifier if problem.n_classes else HistGradientBoostingRegressor
    )
    # A round of classification grows a tree for every class.
    settings.setdefault("max_iter", 100 if problem.n_classes else 300)
    return boosting(
        early_stopping=False,
        categorical_features=view.categorical or None,
        random_state=problem.seed,
        **settings,
    )


def final_outputs(model: Any, matrix: np.ndarray) -> Iterator[tuple[Settings, np.ndarray]]:
    """Yield the model's predictions, without changes of its settings."""
    yield {}, model.predict_proba(matrix) if hasattr(model, "classes_") else model.predict(matrix)


def staged_outputs(model: Any, matrix: np.ndarray) -> Iterator[tuple[Settings, np.ndarray]]:
    """Yield the predictions after fewer rounds of boosting: one fit tries every length."""
    classifies = hasattr(model, "classes_")
    stages = model.staged_predict_proba(matrix) if classifies else model.staged_predict(matrix)
    for n_rounds, outputs in enumerate(stages, start=1):
        if n_rounds in STAGES:
            yield {"max_iter": n_rounds}, outputs


@dataclass(frozen=True)
class Family:
    """Models of one kind.

    Parameters
    ----------
    make : callable
        ``make(problem, view, **settings)`` returns an unfitted estimator.
    view : type of View
        How the model reads tables.
    grid : list of dict
        Settings to try. The first one is used if nothing can be held out.
    outputs : callable
        ``outputs(model, matrix)`` yields changes of the settings, each with the predictions of the
        model thus changed.
    """

    make: Callable[..., Any]
    view: Callable[[Any], View]
    grid: list[Settings]
    outputs: Callable[[Any, np.ndarray], Iterator[tuple[Settings, np.ndarray]]] = final_outputs

    def fit(self, problem: Problem) -> TunedModel:
        """Choose settings on the inner folds and fit them on all rows."""
        losses = self._validation_losses(problem)
        settings, loss = min(losses, key=lambda pair: pair[1]) if losses else (self.grid[0], np.nan)
        view = self.view(problem.table)
        model = self._fit_one(problem, view, settings, view(problem.table), problem.target)
        return TunedModel(model, view, problem.n_classes, settings, float(loss))

    def _validation_losses(self, problem: Problem) -> list[tuple[Settings, float]]:
        """Mean loss of the held-out rows for each of the settings."""
        losses: dict[tuple, list[np.ndarray]] = defaultdict(list)
        for train, valid in problem.folds:
            view = _quiet_view(self.view, problem.rows(train))
            seen, unseen = view(problem.rows(train)), view(problem.rows(valid))
            for settings in self.grid:
                model = self._fit_one(problem, view, settings, seen, problem.target[train])
                for changes, outputs in self.outputs(model, unseen):
                    outputs = over_all_classes(model, outputs, problem.n_classes)
                    key = tuple({**settings, **changes}.items())
                    losses[key].append(problem.losses(outputs, valid))
        return [(dict(key), np.concatenate(parts).mean()) for key, parts in losses.items()]

    def _fit_one(
        self, problem: Problem, view: View, settings: Settings, matrix: np.ndarray, y: np.ndarray
    ) -> Any:
        model = self.make(problem, view, **settings)
        with own_warning_filters():
            # A weakly penalised logistic regression is tried even if it does not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(matrix, y)


@dataclass(frozen=True)
class TunedModel:
    """A family's model with the settings chosen on inner folds."""

    model: Any
    view: View
    n_classes: int
    settings: Settings
    validation_loss: float

    def predict(self, table: Any) -> np.ndarray:
        """Return probabilities (n_rows, n_classes), or numbers (n_rows,)."""
        return predict_all_classes(self.model, self.view(table), self.n_classes)


def _quiet_view(view: Callable[[Any], View], table: Any) -> View:
    with own_warning_filters():
        # Warnings about the columns are given when all rows are read.
        warnings.simplefilter("ignore", UserWarning)
        return view(table)


def _grid(**values: list[Any]) -> list[Settings]:
    return list(ParameterGrid(values))


CORE_MODELS = {
    "linear": Family(make_linear, DenseView, _grid(strength=STRENGTHS)),
    "random_forest": Family(
        make_forest, DenseView, _grid(min_samples_leaf=[1, 3], wide=[False, True])
    ),
    "boosting": Family(make_boosting, OrdinalView, _grid(min_samples_leaf=[5, 20]), staged_outputs),
}
