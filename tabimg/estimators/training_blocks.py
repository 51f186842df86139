"""The rows that members learn from, as blocks: labelled rows above unlabeled pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tabimg.image import RowImages
from tabimg.messages import warn
from tabimg.training.blocks import IMPUTED, PHOTOS, Blocks, LabelledRows
from tabimg.training.imputation import PhotoImputer, fit_imputer
from tabimg.training.photo_embedding import MIN_LABELLED, MIN_PAIRS, PhotoEmbedder
from tabimg.training.runtime import derive_seed
from tabimg.training.splits import grouped_folds

N_FOLDS = 4


@dataclass(frozen=True, eq=False)
class TrainingBlocks:
    """Labelled rows and, below them, unlabeled pairs.

    Parameters
    ----------
    blocks : Blocks of n_rows rows
    groups : int array of shape (n_rows,)
        Rows of one group are never on both sides of an inner split.
    n_labelled : int
    imputer : PhotoImputer or None
        None if photos teach nothing about the columns, or there are none.
    lack : str or None
        Why the pairs teach nothing, for a message; None if they do, or if there are none.
    """

    blocks: Blocks
    groups: np.ndarray
    n_labelled: int
    imputer: PhotoImputer | None = None
    lack: str | None = None

    def labelled(self, target: np.ndarray, weight: np.ndarray) -> LabelledRows:
        """Return the labelled rows with their target and weights."""
        first = np.arange(self.n_labelled)
        weight = weight.astype(np.float32)
        return LabelledRows(self.blocks.take(first), target, weight, self.groups[first])

    def pairs(self) -> Blocks | None:
        """Return the pairs with a photo that a teacher can label; None if there are none."""
        if self.n_labelled == len(self.blocks) or self.lack is not None:
            return None
        has_photo = np.flatnonzero(self.blocks.has_photo())
        return self.blocks.take(has_photo[has_photo >= self.n_labelled])


def learn_from_photos(
    rows: TrainingBlocks, images: RowImages, embedder: PhotoEmbedder, seed: int
) -> TrainingBlocks:
    """Add photos to the blocks, and what the columns say about them.

    Parameters
    ----------
    rows : TrainingBlocks of n_rows rows
    images : RowImages of n_rows rows
    embedder : PhotoEmbedder
    seed : int
    """
    lack = embedder.why_no_features(images)
    if lack is not None:
        return replace(rows, lack=lack)
    photos = embedder.features(images)
    lack = _why_no_teacher(~np.isnan(photos[:, 0]), rows.n_labelled)
    return _imputed(replace(rows, lack=lack), photos, seed)


def with_shuffled_photos(rows: TrainingBlocks, seed: int) -> TrainingBlocks:
    """Deal the photos out anew among the rows that have one, as a control."""
    photos = rows.blocks[PHOTOS].copy()
    has_photo = np.flatnonzero(rows.blocks.has_photo())
    dealt = np.random.default_rng([seed, 402]).permutation(has_photo)
    photos[has_photo] = photos[dealt]
    return _imputed(rows, photos, seed)


def can_control(estimator: Any, blended: Any, rows: LabelledRows) -> bool:
    """Return whether ``photo_control`` is wanted; warn if there is nothing to compare."""
    possible = blended is not None and PHOTOS in rows.blocks
    if estimator.photo_control and not possible:
        warn(
            "photo_control=True compares what learns from photos in a blend (finetune='auto'), and "
            "this fit has a blend without photos, or none"
        )
    return bool(estimator.photo_control and possible)


def _imputed(rows: TrainingBlocks, photos: np.ndarray, seed: int) -> TrainingBlocks:
    """Add these photos, and what the columns say about them in place of what they said before."""
    blocks = rows.blocks.without(IMPUTED).having(**{PHOTOS: photos})
    folds = grouped_folds(rows.groups, N_FOLDS, seed)
    fitted = fit_imputer(blocks, folds, derive_seed(seed, 401))
    if fitted is None:
        return replace(rows, blocks=blocks, imputer=None)
    imputer, imputed = fitted
    return replace(rows, blocks=blocks.having(**{IMPUTED: imputed}), imputer=imputer)


def _why_no_teacher(has_photo: np.ndarray, n_labelled: int) -> str | None:
    """Say what a teacher lacks of labelled rows and of the pairs below them; None if nothing."""
    n_own, n_pairs = int(has_photo[:n_labelled].sum()), int(has_photo[n_labelled:].sum())
    if n_own >= MIN_LABELLED and n_pairs >= MIN_PAIRS:
        return None
    return (
        f"{n_own} labelled and {n_pairs} unlabeled rows have a photo, but at least {MIN_LABELLED} "
        f"and {MIN_PAIRS} are needed"
    )
