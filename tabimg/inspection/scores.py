"""Scores on held-out rows, with intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
)

N_RESAMPLES = 200

Score = Callable[[np.ndarray], float]


def held_out_scores(
    models: Mapping[str, Any], table: Any, y: np.ndarray, random_state: Any
) -> pd.DataFrame:
    """Score fitted models on the same rows.

    Parameters
    ----------
    models : mapping of name to fitted estimator
    table : DataFrame or array of n_rows rows
    y : array of shape (n_rows,) or (n_rows, n_outputs)
    random_state : int or None

    Returns
    -------
    DataFrame
        With the columns ``model``, ``metric``, ``value``, ``low`` and ``high``: a 95 % percentile
        bootstrap over rows, with the same draws for all models. It holds what chance of these
        rows does, and not that of the training.
    """
    rng = np.random.default_rng(random_state)
    draws = rng.integers(0, len(y), size=(N_RESAMPLES, len(y)))
    found = []
    for name, model in models.items():
        for metric, score in _metrics(model, table, y).items():
            with warnings.catch_warnings():
                # A draw may lack a class; what is left of the metric is what was drawn.
                warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
                values = [score(draw) for draw in draws]
            interval = np.nanquantile(values, [0.025, 0.975])
            found.append((name, metric, score(np.arange(len(y))), *map(float, interval)))
    return pd.DataFrame(found, columns=["model", "metric", "value", "low", "high"])


def _metrics(model: Any, table: Any, y: np.ndarray) -> dict[str, Score]:
    """Predict once, and return the metrics as functions of the rows that count."""
    predicted = np.asarray(model.predict(table))
    if not is_classifier(model):
        return {
            "R²": lambda rows: float(r2_score(y[rows], predicted[rows])),
            "mean absolute error": lambda rows: float(
                mean_absolute_error(y[rows], predicted[rows])
            ),
        }
    metrics: dict[str, Score] = {
        "accuracy": lambda rows: float(accuracy_score(y[rows], predicted[rows])),
        "balanced accuracy": lambda rows: float(balanced_accuracy_score(y[rows], predicted[rows])),
    }
    if hasattr(model, "predict_proba") and np.isin(y, model.classes_).all():
        spread = np.asarray(model.predict_proba(table), dtype=np.float64)
        metrics["log loss"] = lambda rows: float(
            log_loss(y[rows], spread[rows], labels=model.classes_)
        )
    return metrics
