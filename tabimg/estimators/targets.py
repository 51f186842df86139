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
from tabimg.training.tasks import REGRESSION_LOSSES, Classification, Regression


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

    def _check_target(self, y: Any) -> np.ndarray:
        labels = column_or_1d(
            check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=self), warn=True
        )
        check_classification_targets(labels)
        return labels

    def _row_weights(self, target: np.ndarray) -> np.ndarray:
        return compute_sample_weight(self.class_weight, target)

    def _learn_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        self.classes_ = np.unique(target)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes, got 1 class: {self.classes_[0]!r}"
            )

    def _encode_target(self, target: np.ndarray) -> np.ndarray:
        unknown = np.setdiff1d(target, self.classes_)
        if len(unknown):
            raise ValueError(
                f"warm_start knows the classes {self.classes_}; y also holds {unknown}"
            )
        return np.searchsorted(self.classes_, target).astype(np.int64)

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("loss", self.loss, list(REGRESSION_LOSSES))

    def _check_target(self, y: Any) -> np.ndarray:
        if np.asarray(y).dtype.kind in "mMUS":
            classifier = type(self).__name__.replace("Regressor", "Classifier")
            raise ValueError(
                f"y holds {np.asarray(y).dtype}, not numbers: convert it, or predict classes with "
                f"{classifier}"
            )
        values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
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
        return ((outputs - self._target_mean) / self._target_scale).astype(np.float32)

    def _make_task(self) -> Regression:
        return Regression(len(self._target_mean), self.loss)
