"""The photos of labelled and unlabelled rows as features, for the teacher of distillation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from tabimg.estimators.photo_embedding import embed_first
from tabimg.image import RowImages

# Enough for a teacher that often has a dozen labels.
N_FEATURES = 32
# With fewer a teacher has nothing to learn from, and nobody to teach.
MIN_LABELLED, MIN_PAIRS = 4, 10


def why_no_teacher(pretrainer: Any, labelled: RowImages, pairs: RowImages) -> str | None:
    """Say what is lacking for a teacher of photos: enough of them, or a way to embed them."""
    n_labelled, n_pairs = int(labelled.has_image.sum()), int(pairs.has_image.sum())
    if n_labelled < MIN_LABELLED or n_pairs < MIN_PAIRS:
        return (
            f"{n_labelled} labelled and {n_pairs} unlabeled rows have a photo, and it takes "
            f"{MIN_LABELLED} and {MIN_PAIRS}"
        )
    are_vectors = labelled.vectors is not None and pairs.vectors is not None
    if not are_vectors and pretrainer.network_.recipe.image is None:
        return (
            "the pretrainer has no image encoder: fit it with keep_image_encoder=True, or give "
            "what its transform_images made of the photos in their place"
        )
    return None


def photo_features(pretrainer: Any, parts: list[RowImages]) -> list[np.ndarray]:
    """Embed the first photo of each row, and keep the principal components of all embeddings.

    Parameters
    ----------
    pretrainer : PhotoPretrainer
        Fitted. Its image encoder embeds photos; cells that are vectors already are taken as they
        are.
    parts : list of RowImages

    Returns
    -------
    list of float32 arrays of shape (n_rows, n_features)
        One a part; NaN in rows without a photo.
    """
    images = RowImages.concat(parts)
    embeddings = _embeddings(pretrainer, images)
    known = ~np.isnan(embeddings[:, 0])
    n_features = min(N_FEATURES, int(known.sum()), embeddings.shape[1])
    features = np.full((len(embeddings), n_features), np.nan, dtype=np.float32)
    standardised = StandardScaler().fit_transform(embeddings[known].astype(np.float64))
    features[known] = PCA(n_features, svd_solver="full").fit_transform(standardised)
    return np.split(features, np.cumsum([len(part) for part in parts])[:-1])


def _embeddings(pretrainer: Any, images: RowImages) -> np.ndarray:
    """Embed first photos; vectors that no encoder of vectors awaits are embeddings already."""
    recipe = pretrainer.network_.recipe.image
    if images.vectors is not None and (recipe is None or recipe.vector_width is None):
        embeddings = np.full((len(images), images.vectors.shape[1]), np.nan, dtype=np.float32)
        with_photo = np.flatnonzero(images.has_image)
        embeddings[with_photo] = images.vectors[images.first(with_photo)]
        return embeddings
    return embed_first(pretrainer, images, pretrainer.on_bad_image)
