"""Metrics that score predictions, with the same rules for every method."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    recall_score,
    roc_auc_score,
)

from tabimg.messages import shorten

TASKS = ("classification", "regression")


@dataclass(frozen=True)
class Metric:
    """A score of predictions.

    Parameters
    ----------
    name : str
        As in the columns of a study's scores.
    task : {"classification", "regression"}
    greater_is_better : bool
    label : str
        For axes and headings.
    """

    name: str
    task: str
    greater_is_better: bool
    label: str

    @property
    def gain_unit(self) -> str:
        """The name of one hundredth of a gain."""
        return "points" if self.greater_is_better else "%"

    def gain(self, score: Any, reference: Any) -> Any:
        """Return how much better a score is than a reference; scalars or arrays.

        For scores the difference, for losses the reduction as a share of the reference's loss.
        Positive is better for both.
        """
        if self.greater_is_better:
            return score - reference
        return (reference - score) / reference


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "classification", True, "Accuracy"),
        Metric("balanced_accuracy", "classification", True, "Balanced accuracy"),
        Metric("auc", "classification", True, "Macro one-vs-rest AUC"),
        Metric("log_loss", "classification", False, "Log loss"),
        Metric("r2", "regression", True, "R²"),
        Metric("relative_mse", "regression", False, "MSE / variance of the test rows"),
        Metric("mae", "regression", False, "Mean absolute error"),
    )
}


DEFAULT_METRICS = {"classification": "accuracy", "regression": "relative_mse"}


def metric_names(task: str) -> list[str]:
    """Return the names of a task's metrics, in the order of `METRICS`."""
    check_task(task)
    return [metric.name for metric in METRICS.values() if metric.task == task]


def check_task(task: Any) -> None:
    """Raise a ValueError unless the task is one of `TASKS`."""
    if task not in TASKS:
        raise ValueError(f"task must be one of {TASKS}, got {shorten(task)}")


def check_metric(metric: str | None, task: str) -> str:
    """Return the name of a task's metric; None is the default.

    Raises
    ------
    ValueError
        For an unknown metric, or one for the other task.
    """
    if metric is None:
        return DEFAULT_METRICS[task]
    names = metric_names(task)
    if isinstance(metric, str) and metric in names:
        return metric
    near = difflib.get_close_matches(str(metric)[:80].lower(), names, n=1)
    hint = f", did you mean {shorten(near[0])}?" if near else ""
    if isinstance(metric, str) and metric in METRICS:
        hint = f", which is for {METRICS[metric].task}: if the task is wrong, set task="
    raise ValueError(f"metric must be one of {names} in {task}, got {shorten(metric)}{hint}")


def score_predictions(
    task: str,
    y_true: Any,
    prediction: Any,
    probabilities: np.ndarray | None = None,
    classes: Sequence[Any] | np.ndarray | None = None,
) -> dict[str, float]:
    """Score predictions by every metric of their task.

    Parameters
    ----------
    task : {"classification", "regression"}
    y_true : array of shape (n_rows,)
        Labels, or numbers.
    prediction : array of shape (n_rows,)
        Predicted labels, or numbers.
    probabilities : array of shape (n_rows, n_classes)
        Predicted probabilities; for classification only, and needed there.
    classes : sequence of length n_classes
        The labels that the columns of ``probabilities`` stand for.

    Returns
    -------
    dict of str to float
        One value per metric, in the order of `METRICS`.

    Raises
    ------
    ValueError
        For an unknown task, no rows, lengths that differ, numbers that are not finite, or
        probabilities that are missing.

    Notes
    -----
    Small test folds and few labels may lack classes. A class that the model does not know has
    probability 0: its rows are wrong, the log loss uses sklearn's floor for them, and the class
    counts in the AUC as 0.5, since it is not ranked at all. Balanced accuracy and AUC are means
    over the classes in the test rows. The AUC of test rows of a single class is NaN.

    ``relative_mse`` is the sum of squared errors over the sum of squares about the mean of the
    test rows; predicting that mean scores 1, and R² is one minus it. Both are NaN if the test rows
    do not vary.

    Examples
    --------
    >>> from tabimg.evaluation.metrics import score_predictions
    >>> scores = score_predictions("regression", [1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    >>> scores["r2"], scores["relative_mse"]
    (0.5, 0.5)
    """
    check_task(task)
    truth, predicted = np.asarray(y_true), np.asarray(prediction)
    if truth.ndim != 1 or truth.shape != predicted.shape or len(truth) == 0:
        raise ValueError(
            "y_true and prediction must be one-dimensional, of equal length and not empty; got "
            f"shapes {truth.shape} and {predicted.shape}"
        )
    if task == "regression":
        return _regression_scores(truth, predicted)
    if probabilities is None or classes is None:
        raise ValueError("classification also needs probabilities and classes: give both")
    return _classification_scores(truth, predicted, np.asarray(probabilities), np.asarray(classes))


def spread_probabilities(
    probabilities: np.ndarray, classes: np.ndarray, all_classes: np.ndarray
) -> np.ndarray:
    """Extend probabilities to more classes; those that the model does not know get 0.

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
    classes : array of shape (n_classes,)
    all_classes : array of shape (n_all,)
        Sorted; holds every entry of ``classes``.

    Returns
    -------
    float64 array of shape (n_rows, n_all)
        Rows sum to 1.
    """
    spread = np.zeros((len(probabilities), len(all_classes)))
    spread[:, np.searchsorted(all_classes, classes)] = probabilities
    return spread / spread.sum(axis=1, keepdims=True)


def _classification_scores(
    truth: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, classes: np.ndarray
) -> dict[str, float]:
    expected = (len(truth), len(classes))
    if probabilities.shape != expected:
        raise ValueError(
            f"probabilities must have the shape {expected}: one row per prediction and one column "
            f"per class; got {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])
        raise ValueError(f"probabilities are not finite, first in row {row}")
    present = np.unique(truth)
    known = np.union1d(classes, present)
    spread = spread_probabilities(probabilities, classes, known)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(
            recall_score(truth, predicted, labels=present, average="macro", zero_division=0.0)
        ),
        "auc": _macro_auc(truth, spread, known, present),
        "log_loss": float(log_loss(truth, spread, labels=known)) if len(known) > 1 else 0.0,
    }


def _macro_auc(
    truth: np.ndarray, spread: np.ndarray, known: np.ndarray, present: np.ndarray
) -> float:
    """Mean of the one-vs-rest AUCs of the classes that are present."""
    if len(present) < 2:
        return float("nan")
    columns = np.searchsorted(known, present)
    areas = [
        roc_auc_score(truth == label, spread[:, column])
        for label, column in zip(present, columns, strict=True)
    ]
    return float(np.mean(areas))


def _regression_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    if not np.isfinite(predicted).all():
        row = int(np.flatnonzero(~np.isfinite(predicted))[0])
        raise ValueError(f"predictions are not finite, first in row {row}")
    varies = np.ptp(truth) > 0
    r2 = float(r2_score(truth, predicted)) if varies else float("nan")
    return {
        "r2": r2,
        "relative_mse": 1.0 - r2,
        "mae": float(mean_absolute_error(truth, predicted)),
    }
