"""Rows without a target, in a container that cross-validation does not split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tabimg.inputs.containers import as_container, as_image_cells

# What messages call the frame of `Unlabeled`.
UNLABELED = "unlabeled"
# What messages about columns call the two frames of a fit.
UNLABELED_NAMES = ("X", "the unlabeled rows")


class Unlabeled:
    """Extra rows, with photos, that have no target: for pre-training and distillation.

    Parameters
    ----------
    frame : DataFrame or array of shape (n_rows, n_columns), or mapping of cohort name to DataFrame
        With the columns of the labelled frame, including the image columns. Further columns, such
        as a target that is not to be used, are ignored. From another cohort, which CITab accepts,
        all columns are read: leave its target out.
    image_paths : sequence of length n_rows, optional
        The photos, if they are not a column of the frame.

    Notes
    -----
    It has neither a length nor a shape on purpose: scikit-learn would split it into folds whenever
    its length happened to equal that of ``X``.

    Examples
    --------
    >>> clf.fit(df, y, unlabeled=Unlabeled(more_pairs))  # doctest: +SKIP
    """

    def __init__(self, frame: Any, image_paths: Sequence[Any] | None = None) -> None:
        self.frame = as_container(frame, "the frame of unlabeled rows")
        self.image_paths = as_image_cells(self.frame, image_paths)

    def __repr__(self) -> str:
        return f"Unlabeled({type(self.frame).__name__} of shape {np.shape(self.frame)})"
