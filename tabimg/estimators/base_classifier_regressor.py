"""The methods of scikit-learn's classifiers and regressors: predict, score and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from tabimg.estimators.base_finetuned import FineTunedEstimator
from tabimg.estimators.targets import Classes, Numbers
from tabimg.inputs.containers import as_target
from tabimg.inputs.target_types import plain_target, refuse_missing_target
from tabimg.messages import bounded_errors


@dataclass(eq=False, repr=False, kw_only=True)
class FineTunedClassifier(ClassifierMixin, FineTunedEstimator):
    """A fine-tuned estimator that predicts classes."""

    _target_class: ClassVar[type[Classes]] = Classes

    class_weight: dict[Any, float] | str | None = None

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each row, by default from the table alone.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            Group columns are optional, and image columns unless ``predict_modality`` asks for them.

        Returns
        -------
        ndarray of shape (n_rows,), of the labels' dtype
        """
        # Probabilities first: this checks that the estimator is fitted.
        best = np.argmax(self._predictions(X), axis=1)
        return Classes.of(self).labels[best]

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
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on rows; parameters as in scikit-learn's classifiers."""
        with bounded_errors():
            return super().score(X, _target_to_score(y), sample_weight)


@dataclass(eq=False, repr=False, kw_only=True)
class FineTunedRegressor(RegressorMixin, FineTunedEstimator):
    """A fine-tuned estimator that predicts numbers."""

    _target_class: ClassVar[type[Numbers]] = Numbers

    loss: str = "mse"

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target of each row, by default from the table alone.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            Group columns are optional, and image columns unless ``predict_modality`` asks for them.

        Returns
        -------
        float64 array of shape (n_rows,), or (n_rows, n_outputs) if the target had two dimensions
        """
        standardised = self._predictions(X)
        return Numbers.of(self).decode(standardised)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 on rows; parameters as in scikit-learn's regressors."""
        with bounded_errors():
            return super().score(X, _target_to_score(y), sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _target_to_score(y: Any) -> np.ndarray:
    y = as_target(y)
    refuse_missing_target(y, "leave them out of the score, in X and y")
    return plain_target(y)
