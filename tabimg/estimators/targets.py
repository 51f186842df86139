"""What is predicted, classes or numbers: checked, learned, turned into what networks train on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from tabimg.estimators.parameters import check_choice
from tabimg.inputs.containers import as_target
from tabimg.inputs.target_types import (
    NUMBERS,
    first_row,
    plain_target,
    refuse_complex_target,
    refuse_infinite_target,
    refuse_large_labels,
    refuse_missing_target,
    refuse_mixed_objects,
    refuse_objects,
)
from tabimg.messages import bounded_errors, listing, shorten, warn
from tabimg.serialization.checks import check_stored, check_type
from tabimg.training.tasks import REGRESSION_LOSSES, Classification, Regression

# Squares of larger numbers leave float64: spread and scores could not be computed.
LARGEST_TARGET = 1e150
# In units of the spread; squares of larger ones leave float32.
LARGEST_DEVIATION = 1e15


class ClassTarget(ClassifierMixin):
    """Classes; goes in front of a `FineTunedEstimator` with a parameter ``class_weight``."""

    class_weight: Any
    classes_: np.ndarray
    _predictions: Callable[[Any], np.ndarray]

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each row from the table alone.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            Image and group columns may be there or not.

        Returns
        -------
        ndarray of shape (n_rows,), of the labels' dtype
        """
        # The probabilities come first: they check that the estimator is fitted.
        best = np.argmax(self._predictions(X), axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities; float64 (n_rows, n_classes), in the order of `classes_`."""
        return self._predictions(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Predict scores of the classes.

        Returns
        -------
        float64 array of shape (n_rows, n_classes)
            Log-probabilities; with two classes the log-odds of the second, of shape (n_rows,).
        """
        scores = np.log(np.maximum(self._predictions(X), np.finfo(np.float64).tiny))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Give the accuracy on rows; parameters as scikit-learn's classifiers have them."""
        with bounded_errors():
            return super().score(X, _target_to_score(y), sample_weight)

    def _check_target(self, y: Any) -> np.ndarray:
        labels = plain_target(y)
        refuse_complex_target(labels)
        refuse_infinite_target(labels)
        refuse_large_labels(labels)
        refuse_mixed_objects(labels, str, "turn the labels into text or whole numbers")
        labels = column_or_1d(
            check_array(labels, ensure_2d=False, dtype=None, input_name="y", estimator=self),
            warn=True,
        )
        check_classification_targets(labels)
        return labels

    def _row_weights(self, target: np.ndarray) -> np.ndarray:
        with bounded_errors():
            return compute_sample_weight(self.class_weight, target)

    def _learn_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        self.classes_ = np.unique(target)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes, got 1 class: "
                f"{shorten(self.classes_[0])}"
            )

    def _encode_target(self, target: np.ndarray) -> np.ndarray:
        unknown = np.setdiff1d(target, self.classes_)
        if len(unknown):
            raise ValueError(
                f"warm_start knows the classes {listing(self.classes_)}; y also holds "
                f"{listing(unknown)}"
            )
        return np.searchsorted(self.classes_, target).astype(np.int64)

    def _check_loaded_target(self) -> None:
        check_type("classes_", self.classes_, np.ndarray)
        labels = self.classes_.tolist()
        if self.classes_.ndim != 1 or len(set(labels)) < max(2, len(labels)):
            raise ValueError("classes_ are no distinct labels")
        if any(label != label for label in labels):
            raise ValueError("a class is NaN")

    def _make_task(self) -> Classification:
        return Classification(len(self.classes_))


class NumberTarget(RegressorMixin):
    """Numbers; goes in front of a `FineTunedEstimator` with a parameter ``loss``."""

    loss: str
    _predictions: Callable[[Any], np.ndarray]

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target of each row from the table alone.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            Image and group columns may be there or not.

        Returns
        -------
        float64 array of shape (n_rows,), or (n_rows, n_outputs) if the target had two dimensions
        """
        standardised = self._predictions(X)
        prediction = standardised * self._target_scale + self._target_mean
        return prediction if self._target_is_2d else prediction[:, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Give R2 on rows; parameters as scikit-learn's regressors have them."""
        with bounded_errors():
            return super().score(X, _target_to_score(y), sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("loss", self.loss, list(REGRESSION_LOSSES))

    def _check_target(self, y: Any) -> np.ndarray:
        target = plain_target(y)
        classifier = type(self).__name__.replace("Regressor", "Classifier")
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
                f"y holds bools, which are taken for the numbers 0 and 1: for classes there is "
                f"{classifier}"
            )
        refuse_infinite_target(target)
        values = check_array(
            target, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self
        )
        _refuse_large(values)
        if values.ndim == 2 and values.shape[1] == 1:
            return column_or_1d(values, warn=True)
        return values

    def _learn_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        self._target_is_2d = target.ndim == 2
        outputs = target.reshape(len(target), -1)
        self._target_mean = np.average(outputs, axis=0, weights=weight)
        variance = np.average((outputs - self._target_mean) ** 2, axis=0, weights=weight)
        # A constant target, up to rounding, is predicted by its mean.
        negligible = np.sqrt(variance) <= 1e-12 * np.abs(self._target_mean)
        self._target_scale = np.where(negligible, 1.0, np.sqrt(variance))

    def _encode_target(self, target: np.ndarray) -> np.ndarray:
        outputs = target.reshape(len(target), -1)
        if outputs.shape[1] != len(self._target_mean):
            raise ValueError(
                f"warm_start knows {len(self._target_mean)} outputs; y has {outputs.shape[1]}"
            )
        standardised = (outputs - self._target_mean) / self._target_scale
        far = ~(np.abs(standardised) <= LARGEST_DEVIATION)
        if far.any():
            row = first_row(far)
            raise ValueError(
                f"y, row {row}: {listing(outputs[row])} is more than {LARGEST_DEVIATION:g} times "
                "the weighted spread of y from its mean: correct it, or give it weight 0"
            )
        return standardised.astype(np.float32)

    def _check_loaded_target(self) -> None:
        check_choice("loss", self.loss, list(REGRESSION_LOSSES))
        check_type("_target_is_2d", self._target_is_2d, bool)
        check_stored("_target_mean", self._target_mean, "float64", (None,))
        n_outputs = len(self._target_mean)
        check_stored("_target_scale", self._target_scale, "float64", (n_outputs,))
        if n_outputs == 0 or (n_outputs > 1 and not self._target_is_2d):
            raise ValueError("the target has another number of outputs")
        with np.errstate(over="ignore"):
            farthest = np.abs(self._target_mean) + LARGEST_DEVIATION * self._target_scale
        if (self._target_scale <= 0).any() or not np.isfinite(farthest).all():
            raise ValueError("the target is scaled as none can be")

    def _make_task(self) -> Regression:
        return Regression(len(self._target_mean), self.loss)


def _target_to_score(y: Any) -> np.ndarray:
    y = as_target(y)
    refuse_missing_target(y, "leave them out of the score, in X and y")
    return plain_target(y)


def _refuse_large(values: np.ndarray) -> None:
    large = np.abs(values) > LARGEST_TARGET
    if large.any():
        row = first_row(large)
        raise ValueError(
            f"y, row {row}: {np.abs(values[row]).max():.3g} is beyond {LARGEST_TARGET:g}, the "
            "largest target: rescale y, for instance to another unit or by its logarithm"
        )
