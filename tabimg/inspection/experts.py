"""CITab's inside: how its mixtures use their experts, and what it takes column headers for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tabimg.headers import header_texts, nearest_headers
from tabimg.headers.nearest_columns import described, known_columns
from tabimg.inputs.frames import column_names
from tabimg.inspection.drawing import axes_or_new, colour
from tabimg.inspection.fitted import pretrainer_of, rows_of


class ExpertUseDisplay:
    """The share of each expert in each block of a CITab encoder (P-MoLin).

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    shares : float array of shape (n_blocks, n_experts)
        Mean gates; a row sums to 1.
    relative_entropy : float array of shape (n_blocks,)
        Of a token's gates, from 0 (one expert a token) to 1 (all equal).

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn into; set by `plot`, as is ``figure_``.
    figure_ : matplotlib Figure
    """

    def __init__(self, shares: np.ndarray, relative_entropy: np.ndarray) -> None:
        self.shares = shares
        self.relative_entropy = relative_entropy

    @classmethod
    def from_estimator(cls, estimator: Any) -> ExpertUseDisplay:
        """Read ``gate_statistics_`` of a fitted `CITabPretrainer`, or of what was built on it.

        Parameters
        ----------
        estimator : fitted estimator of tabimg

        Returns
        -------
        ExpertUseDisplay

        Raises
        ------
        ValueError
            If its networks have no mixtures of experts.
        TypeError, sklearn.exceptions.NotFittedError
        """
        found = getattr(pretrainer_of(estimator), "gate_statistics_", None)
        if not found:
            raise ValueError("there are no experts to look at: this network has no mixtures")
        shares = np.array([block["share"] for block in found])
        return cls(shares, np.array([block["relative_entropy"] for block in found]))

    def plot(self, ax: Any = None) -> ExpertUseDisplay:
        """Draw a stacked bar a block; one that is nearly of one colour has collapsed.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        ExpertUseDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        places = np.arange(len(self.shares))
        starts = np.zeros(len(self.shares))
        for expert, share in enumerate(self.shares.T):
            ax.barh(places, share, left=starts, color=colour(expert), label=f"expert {expert + 1}")
            starts = starts + share
        names = [
            f"block {number + 1}\nentropy {entropy:.2f}"
            for number, entropy in enumerate(self.relative_entropy)
        ]
        ax.set_yticks(places, names)
        ax.invert_yaxis()
        ax.set(xlabel="Mean gate", title="Use of experts", xlim=(0.0, 1.0))
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def header_neighbours(estimator: Any, X: Any, n_neighbours: int = 3) -> pd.DataFrame:
    """Find which headers of pre-training those of a table are nearest to, in a CITab encoder.

    Parameters
    ----------
    estimator : fitted `CITabPretrainer`, or classifier or regressor built on one
        It is not changed.
    X : DataFrame
        Any table; image, group and cohort columns are left out.
    n_neighbours : int, default=3

    Returns
    -------
    DataFrame
        With the columns ``column``, ``neighbour`` (as `tabimg.headers.header_texts` writes it) and
        ``cosine`` in [-1, 1], the nearest of each column first.

    Raises
    ------
    ValueError
        If the encoder does not read headers, or ``n_neighbours`` is less than 1.
    TypeError, sklearn.exceptions.NotFittedError
    """
    pretrainer = pretrainer_of(estimator)
    vectors = getattr(pretrainer, "vectors_", None)
    if vectors is None:
        raise ValueError(f"a {type(pretrainer).__name__} does not read the headers of columns")
    descriptions = pretrainer.column_descriptions
    names = column_names(rows_of(estimator, X).table)
    texts = header_texts(names, described(names, descriptions))
    known = [column.text for column in known_columns(pretrainer.codec_.codecs, descriptions)]
    # A copy learns the new texts: looking must not change the estimator.
    found = nearest_headers(texts, known, vectors.copy(), n_neighbours)
    rows = [
        (name, neighbour, cosine)
        for name, text in zip(names, texts, strict=True)
        for neighbour, cosine in found[text]
    ]
    return pd.DataFrame(rows, columns=["column", "neighbour", "cosine"])
