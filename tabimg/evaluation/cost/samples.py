"""The rows that a cost is measured on: labelled and unlabelled ones in the proportion given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from tabimg.estimators import Unlabeled
from tabimg.evaluation.foundation import as_container, as_target, is_frame
from tabimg.messages import shorten

# Enough that a fit takes longer than its overhead, few enough for seconds.
MOST_ROWS = 192
MOST_LABELLED = 96
# Inner folds and their classes need some rows.
FEWEST_LABELLED = 24


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of a fit in a random order, of which the first ones are taken.

    Parameters
    ----------
    X : DataFrame or array
        Labelled rows.
    y : array or None
        None if nothing is predicted.
    further : DataFrame, array or None
        Unlabelled rows.
    """

    X: Any
    y: Any
    further: Any

    @classmethod
    def of(cls, X: Any, y: Any, unlabeled: Unlabeled | None, seed: int) -> Sample:
        """Shuffle the rows of a fit."""
        if isinstance(X, Mapping) or (unlabeled and isinstance(unlabeled.frame, Mapping)):
            raise TypeError("estimate_cost takes one frame: give the rows of one cohort")
        X, y = as_container(X), as_target(y)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(X))
        further = None if unlabeled is None else unlabeled.frame
        if further is not None:
            further = _safe_indexing(further, rng.permutation(len(further)))
        shuffled = None if y is None else _safe_indexing(y, order)
        return cls(_safe_indexing(X, order), shuffled, further)

    @property
    def n_labelled(self) -> int:
        """Number of labelled rows."""
        return len(self.X)

    @property
    def n_rows(self) -> int:
        """Number of all rows."""
        return len(self.X) + (0 if self.further is None else len(self.further))

    def sizes(self) -> tuple[int, int]:
        """Return two numbers of labelled rows to measure at, the first at most the second."""
        in_proportion = round(MOST_ROWS * self.n_labelled / self.n_rows)
        most = min(self.n_labelled, MOST_LABELLED, max(in_proportion, FEWEST_LABELLED))
        return max(most // 2, min(most, FEWEST_LABELLED)), most

    def first(self, n_labelled: int) -> Sample:
        """Take the first labelled rows, and unlabelled ones in proportion."""
        rows = np.arange(n_labelled)
        further = self.further
        if further is not None:
            share = round(len(further) * n_labelled / self.n_labelled)
            n_further = min(len(further), max(share, 1), MOST_ROWS)
            further = _safe_indexing(further, np.arange(n_further))
        y = None if self.y is None else _safe_indexing(self.y, rows)
        return Sample(_safe_indexing(self.X, rows), y, further)

    def fit(self, estimator: Any) -> Any:
        """Fit an estimator on the rows."""
        if self.further is None:
            return estimator.fit(self.X, self.y)
        return estimator.fit(self.X, self.y, unlabeled=Unlabeled(self.further))

    def require_frame(self, estimator: Any) -> None:
        """Raise a TypeError where columns are declared by name and the rows have none."""
        if not is_frame(self.X):
            raise TypeError(
                f"{type(estimator).__name__} declares columns, and X is not a DataFrame but "
                f"{shorten(type(self.X).__name__)}"
            )
