"""Targets, classes or numbers: checked, learned, and encoded for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from tabimg.inputs.containers import as_target
from tabimg.inputs.hints import warn_of_target_among_columns
from tabimg.inputs.parameter_checks import check_choice
from tabimg.inputs.target_types import (
    NUMBERS,
    first_row,
    plain_target,
    refuse_complex_target,
    refuse_infinite_target,
    refuse_large_labels,
    refuse_mixed_objects,
    refuse_objects,
    reject_missing_target,
    reject_paths_as_target,
)
from tabimg.messages import bounded_errors, listing, shorten, warn
from tabimg.serialization.checks import check_stored, check_type
from tabimg.training.tasks import REGRESSION_LOSSES, Classification, Regression, Task

# Squares of larger numbers overflow float64: spread and scores could not be computed.
LARGEST_TARGET = 1e150
# In units of the spread; squares of larger ones overflow float32.
LARGEST_DEVIATION = 1e15


class Target(Protocol):
    """A target, learned from training rows.

    Each estimator has one: its class is a class attribute of the estimator, and what it learned are
    attributes of the estimator, named as in `learned`.
    """

    @classmethod
    def check_parameters(cls, estimator: Any) -> None:
        """Check the parameters that only estimators for this kind of target have."""
        ...

    @classmethod
    def check(cls, estimator: Any, y: Any) -> np.ndarray:
        """Check type and shape of what the user gave."""
        ...

    @classmethod
    def row_weights(cls, estimator: Any, values: np.ndarray) -> np.ndarray:
        """Weight of each row due to its target, (n_rows,)."""
        ...

    @classmethod
    def learn(cls, estimator: Any, values: np.ndarray, weight: np.ndarray) -> Target:
        """Learn from the checked target of training rows."""
        ...

    @classmethod
    def of(cls, estimator: Any) -> Target:
        """Return the target of a fitted estimator."""
        ...

    def learned(self) -> dict[str, Any]:
        """Name what was learned as attributes of the estimator."""
        ...

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Encode a checked target for training."""
        ...

    @property
    def task(self) -> Task:
        """The task of predicting it."""
        ...

    def check_loaded(self) -> None:
        """Raise an error for state, read from a file, that no fit could have produced."""
        ...


@dataclass(frozen=True, eq=False)
class Classes:
    """See `Target`.

    Parameters
    ----------
    labels : array of shape (n_classes,)
        Sorted.
    """

    labels: np.ndarray

    @classmethod
    def check_parameters(cls, estimator: Any) -> None:
        """Leave ``class_weight`` to scikit-learn, which checks it against the labels."""

    @classmethod
    def check(cls, estimator: Any, y: Any) -> np.ndarray:
        """Check that the target holds labels, (n_rows,)."""
        labels = plain_target(y)
        refuse_complex_target(labels)
        refuse_infinite_target(labels)
        refuse_large_labels(labels)
        refuse_mixed_objects(labels, str, "turn the labels into text or whole numbers")
        labels = column_or_1d(
            check_array(labels, ensure_2d=False, dtype=None, input_name="y", estimator=estimator),
            warn=True,
        )
        check_classification_targets(labels)
        return labels

    @classmethod
    def row_weights(cls, estimator: Any, values: np.ndarray) -> np.ndarray:
        """Weight rows by ``class_weight``."""
        with bounded_errors():
            return compute_sample_weight(estimator.class_weight, values)

    @classmethod
    def learn(cls, estimator: Any, values: np.ndarray, weight: np.ndarray) -> Classes:
        """Learn the labels, of which there must be at least two."""
        labels = np.unique(values)
        if len(labels) < 2:
            raise ValueError(
                f"{type(estimator).__name__} needs at least 2 classes, got 1 class: "
                f"{shorten(labels[0])}"
            )
        return cls(labels)

    @classmethod
    def of(cls, estimator: Any) -> Classes:
        """Return the target of a fitted estimator."""
        return cls(estimator.classes_)

    def learned(self) -> dict[str, Any]:
        """Name what was learned as attributes of the estimator."""
        return {"classes_": self.labels}

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Number the classes, int64 (n_rows,)."""
        unknown = np.setdiff1d(values, self.labels)
        if len(unknown):
            raise ValueError(
                f"warm_start knows the classes {listing(self.labels)}; y also holds "
                f"{listing(unknown)}"
            )
        return np.searchsorted(self.labels, values).astype(np.int64)

    @property
    def task(self) -> Classification:
        """The task of predicting it."""
        return Classification(len(self.labels))

    def check_loaded(self) -> None:
        """Raise an error for invalid labels."""
        check_type("classes_", self.labels, np.ndarray)
        labels = self.labels.tolist()
        if self.labels.ndim != 1 or len(set(labels)) < max(2, len(labels)):
            raise ValueError("classes_ are not distinct labels")
        if any(label != label for label in labels):
            raise ValueError("a class is NaN")


@dataclass(frozen=True, eq=False)
class Numbers:
    """One or more numbers for each row, standardised for training; see `Target`.

    Parameters
    ----------
    mean, scale : float64 array of shape (n_outputs,)
    is_2d : bool
        Whether the target was given as one or several columns.
    loss : str
        A key of `tabimg.training.tasks.REGRESSION_LOSSES`.
    """

    mean: np.ndarray
    scale: np.ndarray
    is_2d: bool
    loss: str

    @classmethod
    def check_parameters(cls, estimator: Any) -> None:
        """Check ``loss``."""
        check_choice("loss", estimator.loss, list(REGRESSION_LOSSES))

    @classmethod
    def check(cls, estimator: Any, y: Any) -> np.ndarray:
        """Check that the target holds numbers, float64 (n_rows,) or (n_rows, n_outputs)."""
        target = plain_target(y)
        classifier = type(estimator).__name__.replace("Regressor", "Classifier")
        remedy = f"convert it, or predict classes with {classifier}"
        if target.dtype.kind in "mMUS":
            raise ValueError(
                f"y holds {target.dtype}, such as {shorten(target.flat[0])} in row 0, not numbers: "
                f"{remedy}"
            )
        refuse_complex_target(target)
        refuse_objects(target, NUMBERS, f"they are not numbers; {remedy}")
        if target.dtype == bool:
            warn(
                f"y holds bools, which are taken as the numbers 0 and 1: to predict classes, use "
                f"{classifier}"
            )
        refuse_infinite_target(target)
        values = check_array(
            target, ensure_2d=False, dtype=np.float64, input_name="y", estimator=estimator
        )
        _refuse_large(values)
        if values.ndim == 2 and values.shape[1] == 1:
            return column_or_1d(values, warn=True)
        return values

    @classmethod
    def row_weights(cls, estimator: Any, values: np.ndarray) -> np.ndarray:
        """Weight all rows equally."""
        return np.ones(len(values))

    @classmethod
    def learn(cls, estimator: Any, values: np.ndarray, weight: np.ndarray) -> Numbers:
        """Learn weighted mean and spread."""
        outputs = values.reshape(len(values), -1)
        mean = np.average(outputs, axis=0, weights=weight)
        variance = np.average((outputs - mean) ** 2, axis=0, weights=weight)
        # A constant target, up to rounding, is predicted by its mean.
        negligible = np.sqrt(variance) <= 1e-12 * np.abs(mean)
        scale = np.where(negligible, 1.0, np.sqrt(variance))
        return cls(mean, scale, values.ndim == 2, estimator.loss)

    @classmethod
    def of(cls, estimator: Any) -> Numbers:
        """Return the target of a fitted estimator."""
        return cls(
            estimator._target_mean,
            estimator._target_scale,
            estimator._target_is_2d,
            estimator.loss,
        )

    def learned(self) -> dict[str, Any]:
        """Name what was learned as attributes of the estimator."""
        return {
            "_target_mean": self.mean,
            "_target_scale": self.scale,
            "_target_is_2d": self.is_2d,
        }

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Standardise, float32 (n_rows, n_outputs)."""
        outputs = values.reshape(len(values), -1)
        if outputs.shape[1] != len(self.mean):
            raise ValueError(f"warm_start knows {len(self.mean)} outputs; y has {outputs.shape[1]}")
        standardised = (outputs - self.mean) / self.scale
        far = ~(np.abs(standardised) <= LARGEST_DEVIATION)
        if far.any():
            row = first_row(far)
            raise ValueError(
                f"y, row {row}: {listing(outputs[row])} is more than {LARGEST_DEVIATION:g} times "
                "the weighted spread of y from its mean: correct it, or give it weight 0"
            )
        return standardised.astype(np.float32)

    def decode(self, standardised: np.ndarray) -> np.ndarray:
        """Undo the standardisation; of the shape that the target had."""
        values = standardised * self.scale + self.mean
        return values if self.is_2d else values[:, 0]

    @property
    def task(self) -> Regression:
        """The task of predicting it."""
        return Regression(len(self.mean), self.loss)

    def check_loaded(self) -> None:
        """Raise an error for an invalid scaling."""
        check_choice("loss", self.loss, list(REGRESSION_LOSSES))
        check_type("_target_is_2d", self.is_2d, bool)
        check_stored("_target_mean", self.mean, "float64", (None,))
        n_outputs = len(self.mean)
        check_stored("_target_scale", self.scale, "float64", (n_outputs,))
        if n_outputs == 0 or (n_outputs > 1 and not self.is_2d):
            raise ValueError("the target has the wrong number of outputs")
        with np.errstate(over="ignore"):
            farthest = np.abs(self.mean) + LARGEST_DEVIATION * self.scale
        if (self.scale <= 0).any() or not np.isfinite(farthest).all():
            raise ValueError("the target's scaling is not valid")


def target_given(estimator: Any, X: Any, y: Any, unlabeled: Any) -> Any:
    """Read ``y`` as given to `fit`, and refuse what can never be a target.

    Raises
    ------
    ValueError, TypeError
        If it is None, has missing values or looks like file paths.

    Warns
    -----
    UserWarning
        If a column has its name.
    """
    y = as_target(y)
    warn_of_target_among_columns(y, X, unlabeled)
    reject_paths_as_target(y)
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    reject_missing_target(y)
    return y


def _refuse_large(values: np.ndarray) -> None:
    large = np.abs(values) > LARGEST_TARGET
    if large.any():
        row = first_row(large)
        raise ValueError(
            f"y, row {row}: {np.abs(values[row]).max():.3g} is beyond {LARGEST_TARGET:g}, the "
            "largest target: rescale y, for instance to another unit or by its logarithm"
        )
