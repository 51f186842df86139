"""What columns are worth to predictions, and how photos changed that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance

from tabimg.inputs.frames import column_names
from tabimg.inspection.drawing import COLOURS, axes_or_new, draw_bars
from tabimg.inspection.fitted import require_finetuned, table_to_predict, without_images

MOST_COLUMNS = 15


class PermutationImportanceDisplay:
    """How much a score drops when a column is shuffled (Breiman, "Random Forests", 2001).

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    importances : float array of shape (n_columns, n_repeats)
        Drop of the score; may be negative.
    columns : sequence of str, length n_columns

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn into; set by `plot`, as is ``figure_``.
    figure_ : matplotlib Figure

    Notes
    -----
    Of two columns that say the same, both can seem to be worth nothing: the estimator reads the
    other one.
    """

    _title = "Permutation importance"
    _label = "Drop of the score"

    def __init__(self, importances: np.ndarray, columns: Sequence[str]) -> None:
        self.importances = importances
        self.columns = list(columns)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        scoring: Any = None,
        n_repeats: int = 5,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ) -> PermutationImportanceDisplay:
        """Shuffle one column after the other, and score the predictions.

        Parameters
        ----------
        estimator : fitted classifier or regressor of tabimg
        X : DataFrame or array of shape (n_rows, n_columns)
            Held-out rows: those of the fit show what was learned by heart. Photos are not shuffled
            unless predictions use them (``predict_modality``).
        y : array of shape (n_rows,)
        scoring : str, callable or None, default=None
            As in scikit-learn; None is R² or accuracy.
        n_repeats : int, default=5
            Times that each column is shuffled.
        n_jobs : int or None, default=None
        random_state : int, RandomState or None, default=0

        Returns
        -------
        PermutationImportanceDisplay

        Raises
        ------
        TypeError, ValueError, sklearn.exceptions.NotFittedError
            As `predict`, and as :func:`sklearn.inspection.permutation_importance`.
        """
        options = (scoring, n_repeats, n_jobs, random_state)
        return cls(*_importances(estimator, X, y, *options))

    def to_frame(self) -> pd.DataFrame:
        """Return mean and standard deviation over the repeats, the largest mean first."""
        means, spread = self.importances.mean(axis=1), self.importances.std(axis=1)
        table = pd.DataFrame({"column": self.columns, "mean": means, "std": spread})
        order = np.argsort(-self._size(means), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def plot(self, ax: Any = None, *, max_columns: int = MOST_COLUMNS) -> Any:
        """Draw the largest means as bars, with their standard deviations.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        max_columns : int, default=15

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        shown = self.to_frame().head(max_columns)
        colours = [COLOURS[0] if mean >= 0 else COLOURS[1] for mean in shown["mean"]]
        draw_bars(ax, list(shown["column"]), list(shown["mean"]), list(shown["std"]), colours)
        ax.set(xlabel=self._label, title=self._title)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _size(self, means: np.ndarray) -> np.ndarray:
        return means


class ImportanceDifferenceDisplay(PermutationImportanceDisplay):
    """What did photos teach? The importances with photos, less those without.

    It is best made by :meth:`from_estimators`. A column with a positive difference is used more by
    the estimator that saw photos. Parameters and attributes are those of
    `PermutationImportanceDisplay`.
    """

    _title = "What photos taught"
    _label = "Importance with photos less that without"

    @classmethod
    def from_estimators(
        cls,
        with_photos: Any,
        without_photos: Any,
        X: Any,
        y: Any,
        *,
        scoring: Any = None,
        n_repeats: int = 5,
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> ImportanceDifferenceDisplay:
        """Shuffle columns in the same way for two estimators, and subtract.

        Parameters
        ----------
        with_photos, without_photos : fitted classifiers or regressors of tabimg
            They should differ in nothing but the photos: the second one with ``pretrainer=None``,
            or with a pretrainer that was fitted without them.
        X, y, scoring, n_repeats, n_jobs
            As in `PermutationImportanceDisplay.from_estimator`.
        random_state : int, default=0
            Seeds both, so that a column is shuffled alike.

        Returns
        -------
        ImportanceDifferenceDisplay

        Raises
        ------
        TypeError, ValueError, sklearn.exceptions.NotFittedError
        """
        options = (scoring, n_repeats, n_jobs, int(random_state))
        taught, columns = _importances(with_photos, X, y, *options)
        # The second one need not know which columns hold photos.
        untaught, _ = _importances(without_photos, without_images(with_photos, X), y, *options)
        if taught.shape != untaught.shape:
            raise ValueError("the two estimators predict from different columns")
        return cls(taught - untaught, columns)

    def _size(self, means: np.ndarray) -> np.ndarray:
        return np.abs(means)


def _importances(
    estimator: Any, X: Any, y: Any, scoring: Any, n_repeats: int, n_jobs: Any, random_state: Any
) -> tuple[np.ndarray, list[str]]:
    table = table_to_predict(require_finetuned(estimator), X)
    found = permutation_importance(
        estimator,
        table,
        y,
        scoring=scoring,
        n_repeats=n_repeats,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    return found["importances"], [str(name) for name in column_names(table)]
