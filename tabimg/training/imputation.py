"""What the columns say about a photo: imputed photo features, as a block for other models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tabimg.serialization import register
from tabimg.serialization.checks import check_type
from tabimg.training.blocks import COLUMNS, IMPUTED, PHOTOS, Blocks
from tabimg.training.forest import ForestModel, fit_forest
from tabimg.training.splits import Split
from tabimg.training.tasks import Regression

# At most this many principal components of the photos; those that the columns predict are kept.
MAX_FEATURES = 16
# A component counts as predicted if its out-of-fold error is smaller than its variance by this.
MIN_SHARE = 0.01
# A leaf holds this share of the rows at least, which bounds the size of the forest, or a few.
LEAF_SHARE, LEAF_ROWS = 1 / 300, 3
TREES: dict[str, Any] = {"max_features": 0.5}
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class PhotoImputer:
    """Predicts features of a row's photo from its columns.

    Parameters
    ----------
    forest : ForestModel
    n_features : int
    """

    forest: ForestModel
    n_features: int

    def impute(self, blocks: Blocks) -> Blocks:
        """Return the same rows with the block of imputed features."""
        features = self.forest.predict(blocks, Regression(self.n_features, "mse"), CPU)
        return blocks.having(**{IMPUTED: features.astype(np.float32)})


def check_imputer(imputer: PhotoImputer) -> None:
    """Raise a ValueError for an imputer whose forest has other outputs than it says."""
    check_type("forest", imputer.forest, ForestModel)
    check_type("n_features", imputer.n_features, int)
    fits = not len(imputer.forest.indices) or imputer.forest.indices.max() < imputer.n_features
    if imputer.forest.names != (COLUMNS,) or not 0 < imputer.n_features <= MAX_FEATURES or not fits:
        raise ValueError("not an imputer of photo features")


register(PhotoImputer, check=check_imputer)


def fit_imputer(
    blocks: Blocks, folds: Sequence[Split], seed: int
) -> tuple[PhotoImputer, np.ndarray] | None:
    """Learn from rows with photos what their columns say about them.

    Parameters
    ----------
    blocks : Blocks of n_rows rows
        With the photos' principal components; NaN for rows without a photo.
    folds : sequence of (train, valid)
    seed : int

    Returns
    -------
    imputer : PhotoImputer
    imputed : float32 array of shape (n_rows, n_features)
        For each row by a model that has not seen its photo.

    None if the columns predict no component, or nothing can be held out.

    Notes
    -----
    Labels play no part. The expectation of the photo given the columns is all of it that a
    prediction from the table can use linearly.
    """
    seen = blocks.has_photo()
    targets = blocks[PHOTOS][:, :MAX_FEATURES]
    held_out = np.full(targets.shape, np.nan)
    for train, valid in folds:
        own = train[seen[train]]
        if len(own):
            forest = _fit(blocks.take(own), targets[own], seed)
            numbers = Regression(targets.shape[1], "mse")
            held_out[valid] = forest.predict(blocks.take(valid), numbers, CPU)
    known = np.flatnonzero(seen & ~np.isnan(held_out[:, 0]))
    if not len(known):
        return None
    errors = ((held_out[known] - targets[known]) ** 2).mean(axis=0)
    kept = np.flatnonzero(errors < (1 - MIN_SHARE) * targets[known].var(axis=0))
    if not len(kept):
        return None
    rows = np.flatnonzero(seen)
    imputer = PhotoImputer(_fit(blocks.take(rows), targets[rows][:, kept], seed), len(kept))
    # Rows that no fold holds out have no photo, or are alone in what they are.
    imputed = imputer.impute(blocks)[IMPUTED].copy()
    imputed[known] = held_out[known][:, kept]
    return imputer, imputed


def _fit(blocks: Blocks, targets: np.ndarray, seed: int) -> ForestModel:
    leaf = max(LEAF_ROWS, round(LEAF_SHARE * len(blocks)))
    task, weight = Regression(targets.shape[1], "mse"), np.ones(len(blocks))
    features = blocks[COLUMNS]
    return fit_forest(
        "extra_trees", features, targets, weight, task, seed, min_samples_leaf=leaf, **TREES
    )
