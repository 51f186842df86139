"""Photos that a row retrieves, and rows that a photo retrieves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing

from tabimg.image import RowImages, read_image
from tabimg.image.refusal import MAX_PIXELS
from tabimg.inputs.containers import as_container
from tabimg.inputs.parameter_checks import check_positive_int
from tabimg.inspection.drawing import COLOURS, axes_or_new, colour
from tabimg.inspection.fitted import has_photos, pretrainer_of, some_rows
from tabimg.messages import import_hint

DIRECTIONS = ("row to photo", "photo to row")
DEPTHS = (1, 5, 10)
THUMBNAIL_SIZE = 96


class RetrievalDisplay:
    """How well rows find their photos, and photos their rows, in the shared space.

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    similarity : float array of shape (n_pairs, n_pairs)
        Cosine similarity of each row with each photo; a pair shares its place.
    rows : int array of shape (n_pairs,)
        Positions of the pairs in the rows that were given.
    images : RowImages of n_pairs rows, or None, default=None
        The photos, for thumbnails.
    image_loader : callable or None, default=None
        Opens them, as that of a pretrainer.

    Attributes
    ----------
    ranks : dict of str to float array of shape (n_pairs,)
        For "row to photo" and "photo to row": the rank of the partner among all candidates, from 1.
        Candidates that are equally similar share their mean rank, so that an encoder which maps
        everything to one point is no better than chance.
    ax_ : matplotlib Axes
        What was drawn into; set by `plot`, as is ``figure_``.
    figure_ : matplotlib Figure

    Notes
    -----
    Recall@k is the share of queries whose partner is among the k nearest candidates; chance is k
    divided by the number of candidates, so figures of sets of different size do not compare.
    Rows of the training data show what was learned by heart: give held-out ones.
    """

    def __init__(
        self,
        similarity: np.ndarray,
        rows: np.ndarray,
        images: RowImages | None = None,
        image_loader: Any = None,
    ) -> None:
        self.similarity = similarity
        self.rows = rows
        self.images = images
        self.image_loader = image_loader
        self.ranks = dict(zip(DIRECTIONS, (_ranks(similarity), _ranks(similarity.T)), strict=True))

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, max_pairs: int = 1000, random_state: Any = 0
    ) -> RetrievalDisplay:
        """Project rows and their first photos, and compare all with all.

        Parameters
        ----------
        estimator : fitted estimator of tabimg
            Of a classifier or regressor the pretrainer is taken, which must have seen photos and
            kept its image encoder.
        X : DataFrame
            With the image column. Rows without a photo are left out.
        max_pairs : int, default=1000
            Of more pairs so many are drawn at random.
        random_state : int or None, default=0

        Returns
        -------
        RetrievalDisplay

        Raises
        ------
        ValueError
            If fewer than two rows have a photo, or the estimator was trained from scratch.
        AttributeError
            If the image encoder was not kept, or no photos were used in fitting.
        tabimg.image.ImageReadError
            For a photo that cannot be read, unless ``on_bad_image`` allows it.
        TypeError, sklearn.exceptions.NotFittedError
        """
        check_positive_int("max_pairs", max_pairs, low=2)
        pretrainer, X = pretrainer_of(estimator), as_container(X)
        has_image = np.zeros(0, dtype=bool)
        if has_photos(pretrainer, X):
            has_image = pretrainer._images_of(X).has_image
        with_photo = np.flatnonzero(has_image)
        rows = with_photo[some_rows(len(with_photo), max_pairs, random_state)]
        if len(rows) < 2:
            raise ValueError(f"{len(rows)} rows have a photo, and retrieval needs at least 2")
        part = _safe_indexing(X, rows)
        photos = pretrainer.project_images(part)
        readable = ~np.isnan(photos[:, 0])
        if readable.sum() < 2:
            raise ValueError("fewer than 2 photos could be read")
        similarity = pretrainer.project(part)[readable] @ photos[readable].T
        images = pretrainer._images_of(part).take(np.flatnonzero(readable))
        return cls(similarity, rows[readable], images, pretrainer.image_loader)

    def summary(self, depths: Sequence[int] = DEPTHS) -> pd.DataFrame:
        """Return recall and median rank of both directions, beside those of chance.

        Parameters
        ----------
        depths : sequence of int, default=(1, 5, 10)
            The k of recall@k; those of at least the number of pairs are left out.

        Returns
        -------
        DataFrame
            Indexed by "row to photo", "photo to row" and "chance", with the columns ``recall@k``
            (in [0, 1]), ``median_rank`` and ``n_candidates``.
        """
        n_pairs = len(self.rows)
        kept = [depth for depth in depths if depth < n_pairs]
        found = {
            name: [*((ranks <= depth).mean() for depth in kept), np.median(ranks)]
            for name, ranks in self.ranks.items()
        }
        found["chance"] = [*(depth / n_pairs for depth in kept), (n_pairs + 1) / 2]
        columns = [*(f"recall@{depth}" for depth in kept), "median_rank"]
        table = pd.DataFrame.from_dict(found, orient="index", columns=columns)
        return table.assign(n_candidates=n_pairs)

    def photos_of_row(self, number: int, k: int = 5) -> np.ndarray:
        """Return which photos a row retrieves, nearest first.

        Parameters
        ----------
        number : int
            Of the pair, in [0, n_pairs).
        k : int, default=5

        Returns
        -------
        int array of shape (k,)
            Numbers of pairs; ``rows`` gives their positions.
        """
        return np.argsort(-self.similarity[number], kind="stable")[:k]

    def rows_of_photo(self, number: int, k: int = 5) -> np.ndarray:
        """Return which rows a photo retrieves, nearest first; as `photos_of_row`."""
        return np.argsort(-self.similarity[:, number], kind="stable")[:k]

    def thumbnail(self, number: int, size: int = THUMBNAIL_SIZE) -> np.ndarray:
        """Read the photo of a pair, squashed to a square.

        Parameters
        ----------
        number : int
            Of the pair, in [0, n_pairs).
        size : int, default=96
            In pixels.

        Returns
        -------
        uint8 array of shape (size, size, 3)

        Raises
        ------
        ValueError
            If the photos are embedding vectors, or were not given.
        """
        if self.images is None or self.images.vectors is not None:
            raise ValueError("there are no thumbnails: the image cells are embedding vectors")
        source = self.images.sources[int(self.images.first(np.array([number]))[0])]
        return read_image(source, size, self.image_loader, MAX_PIXELS)

    def plot(self, ax: Any = None) -> RetrievalDisplay:
        """Draw recall@k of both directions against k, with that of chance.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        RetrievalDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        n_pairs = len(self.rows)
        depths = np.arange(1, n_pairs + 1)
        for number, (name, ranks) in enumerate(self.ranks.items()):
            recall = np.searchsorted(np.sort(ranks), depths, side="right") / n_pairs
            label = f"{name}, median rank {np.median(ranks):g}"
            ax.step(depths, recall, where="post", color=colour(number), label=label)
        ax.plot(depths, depths / n_pairs, linestyle=":", color=COLOURS[-1], label="chance")
        ax.set_xscale("log")
        ax.set(xlabel="k", ylabel="Recall@k", title=f"Retrieval among {n_pairs} pairs")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def plot_photos(self, n_rows: int = 4, k: int = 5) -> RetrievalDisplay:
        """Draw the photos that some rows retrieve; the row's own photo comes first.

        Parameters
        ----------
        n_rows : int, default=4
            Evenly spread over the ranks, from the best to the worst.
        k : int, default=5
            Photos a row.

        Returns
        -------
        RetrievalDisplay
            ``ax_`` is an array of axes (n_rows, k + 1).

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the photos are embedding vectors.
        """
        with import_hint("Drawing needs matplotlib", "'tabimg[plot]'"):
            from matplotlib import pyplot
        chosen = self.examples(n_rows)
        figure, axes = pyplot.subplots(
            len(chosen), k + 1, squeeze=False, layout="constrained", figsize=(k + 1, len(chosen))
        )
        for line, number in zip(axes, chosen, strict=True):
            shown = [number, *self.photos_of_row(number, k)]
            for place, (ax, photo) in enumerate(zip(line, shown, strict=False)):
                ax.imshow(self.thumbnail(int(photo)))
                ax.set_title("its own" if place == 0 else f"{place}.", fontsize="small")
                if place and photo == number:
                    ax.set_title(f"{place}. (its own)", fontsize="small")
            for ax in line:
                ax.set_axis_off()
        self.ax_, self.figure_ = axes, figure
        return self

    def examples(self, n_rows: int) -> list[int]:
        """Choose pairs evenly spread over the ranks of the row's photo, from best to worst."""
        order = np.argsort(self.ranks[DIRECTIONS[0]], kind="stable")
        spread = np.linspace(0, len(order) - 1, min(n_rows, len(order))).round().astype(int)
        return order[spread].tolist()


def _ranks(similarity: np.ndarray) -> np.ndarray:
    """Rank of the diagonal within each row, from 1; equal candidates share their mean rank."""
    own = np.diag(similarity)[:, None]
    nearer = (similarity > own).sum(axis=1)
    equal = (similarity == own).sum(axis=1)
    return nearer + (equal + 1) / 2
