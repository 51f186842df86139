"""The embeddings of rows as a map, coloured by the target."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import _safe_indexing, check_consistent_length

from tabimg.inputs.containers import as_container, as_target
from tabimg.inputs.target_types import plain_target
from tabimg.inspection.drawing import COLOURS, axes_or_new, colour
from tabimg.inspection.fitted import embedding_of, rows_of, some_rows

# More colours cannot be told apart.
MOST_CLASSES = 6
# Whole numbers of fewer values than this are drawn as classes.
FEW_VALUES = 10


class EmbeddingMapDisplay:
    """The two largest principal components of embeddings.

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    places : float array of shape (n_rows, 2)
        Principal components of the embeddings.
    explained : float array of shape (2,)
        Share of the variance that each of them holds.
    target : array of shape (n_rows,), or None
        What points are coloured by.
    rows : int array of shape (n_rows,)
        Positions of these rows in what was given.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn into; set by `plot`, as is ``figure_``.
    figure_ : matplotlib Figure

    Notes
    -----
    Distances in a plane are not those of the whole space: two groups that lie apart here are
    apart, but two that overlap may not be.
    """

    def __init__(
        self,
        places: np.ndarray,
        explained: np.ndarray,
        target: np.ndarray | None,
        rows: np.ndarray,
    ) -> None:
        self.places = places
        self.explained = explained
        self.target = target
        self.rows = rows

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, max_rows: int = 2000, random_state: Any = 0
    ) -> EmbeddingMapDisplay:
        """Embed rows from the table alone, and find the principal components.

        Parameters
        ----------
        estimator : fitted estimator of tabimg
            Of a classifier or regressor the pre-trained encoder is taken.
        X : DataFrame or array of at least 3 rows
        y : array of shape (n_rows,), default=None
            Colours the points.
        max_rows : int, default=2000
            Of more rows so many are drawn at random.
        random_state : int or None, default=0

        Returns
        -------
        EmbeddingMapDisplay

        Raises
        ------
        ValueError
            For fewer than 3 rows, a target of another length, or an estimator that was trained from
            scratch.
        TypeError, sklearn.exceptions.NotFittedError
        """
        given = rows_of(estimator, X)
        target = None if y is None else plain_target(as_target(y))
        if target is not None:
            check_consistent_length(given.places, target)
            if target.ndim > 1:
                raise ValueError("a map is coloured by one target: give one column of y")
        if len(given) < 3:
            raise ValueError(f"a map needs at least 3 rows, got {len(given)}")
        rows = some_rows(len(given), max_rows, random_state)
        embedding = embedding_of(estimator, _safe_indexing(as_container(X), rows)).astype(
            np.float64
        )
        pca = PCA(2, svd_solver="full")
        places = pca.fit_transform(embedding)
        chosen = None if target is None else target[rows]
        return cls(places, pca.explained_variance_ratio_, chosen, rows)

    def plot(self, ax: Any = None) -> EmbeddingMapDisplay:
        """Draw a point for each row: classes in the legend's colours, numbers by a colour bar.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        EmbeddingMapDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        if self.target is None:
            ax.scatter(*self.places.T, s=12, color=COLOURS[0])
        elif _are_classes(self.target):
            self._draw_classes(ax)
        else:
            numbers = self.target.astype(np.float64)
            # A few extreme values would leave one colour for all others.
            low, high = np.nanquantile(numbers, [0.02, 0.98])
            drawn = ax.scatter(*self.places.T, s=12, c=numbers, cmap="viridis", vmin=low, vmax=high)
            ax.figure.colorbar(drawn, ax=ax, label="Target")
        first, second = 100 * self.explained
        ax.set(
            xlabel=f"First principal component ({first:.0f} % of the variance)",
            ylabel=f"Second ({second:.0f} %)",
            title="Embeddings of rows",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_classes(self, ax: Any) -> None:
        assert self.target is not None
        names, counts = np.unique(self.target.astype(str), return_counts=True)
        shown = names[np.argsort(-counts, kind="stable")][:MOST_CLASSES].tolist()
        for number, name in enumerate(shown):
            own = self.places[self.target.astype(str) == name]
            ax.scatter(*own.T, s=12, color=colour(number), label=name)
        others = self.places[~np.isin(self.target.astype(str), shown)]
        if len(others):
            left = len(names) - len(shown)
            ax.scatter(*others.T, s=12, color=COLOURS[-1], label=f"{left} other classes")
        ax.legend()


def _are_classes(target: np.ndarray) -> bool:
    if target.dtype.kind not in "iuf":
        return True
    values = np.unique(target)
    return target.dtype.kind in "iu" and len(values) < FEW_VALUES
