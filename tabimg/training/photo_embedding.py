"""Embeddings of photos: alone, together with their rows, and as features for a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from tabimg.image import PhotoOptions, RowImages
from tabimg.table import EncodedTable
from tabimg.training.citab_architectures import ColumnVectors
from tabimg.training.fitted_module import FittedModule
from tabimg.training.inference import apply_in_blocks
from tabimg.training.photo_inputs import open_photos

# Bounds the memory of embedding many photos.
PHOTOS_AT_ONCE = 1024
# Enough for a teacher that often has only a dozen labels.
N_FEATURES = 32
# With fewer, a teacher has too little to learn from, or to teach with.
MIN_LABELLED, MIN_PAIRS = 4, 10

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class PhotoEmbedder:
    """Embeds the first photo of each row with a fixed image encoder.

    Parameters
    ----------
    network : FittedModule
        Of a pretrainer.
    options : PhotoOptions
    device : torch.device
    """

    network: FittedModule[Any, Any]
    options: PhotoOptions
    device: torch.device

    def under(self, on_bad_image: str) -> PhotoEmbedder:
        """Return the same embedder with another policy for photos that cannot be read."""
        return replace(self, options=replace(self.options, on_bad_image=on_bad_image))

    def embed(self, images: RowImages) -> np.ndarray:
        """Embed photos alone.

        Returns
        -------
        float32 array of shape (n_rows, d'), NaN for rows without a photo
        """
        network = self.network.on(self.device)

        def embed(rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
            return apply_in_blocks(network.embed_image, (inputs,), self.device)

        return self._apply(
            images, self.network.architecture.image.width(network.image_encoder), embed
        )

    def embed_pairs(
        self, encoded: EncodedTable, columns: ColumnVectors, images: RowImages
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed rows together with their photos, with a network of CITab.

        Parameters
        ----------
        encoded : EncodedTable of n_rows rows
        columns : ColumnVectors
            Of its columns.
        images : RowImages of n_rows rows

        Returns
        -------
        fused : float32 array of shape (n_rows, dim)
            The fused CLS; NaN for rows without a photo.
        photos : float32 array of shape (n_rows, d')
            The photos alone; NaN for rows without one.
        """
        net, layout = self.network.on(self.device), columns.build().to(self.device)

        def fuse(numeric: torch.Tensor, codes: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
            tokens, present = net.encode(numeric, codes, layout)
            photo = net.image_tokens(pixels)
            return torch.cat([net.fuse(tokens, present, photo), photo.mean(dim=1)], dim=1)

        def embed(rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
            part = encoded.take(rows)
            return apply_in_blocks(fuse, (part.numeric, part.codes, inputs), self.device)

        architecture = self.network.architecture
        dim, width = architecture.table.dim, architecture.image.width(net.image_encoder)
        both = self._apply(images, dim + width, embed)
        return both[:, :dim], both[:, dim:]

    def features(self, images: RowImages) -> np.ndarray:
        """Embed photos, and keep the principal components of all embeddings.

        Cells that are already vectors are used as they are.

        Parameters
        ----------
        images : RowImages of n_rows rows

        Returns
        -------
        float32 array of shape (n_rows, n_features)
            NaN for rows without a photo.
        """
        embeddings = self._embed_unless_embedded(images)
        known = ~np.isnan(embeddings[:, 0])
        n_features = min(N_FEATURES, int(known.sum()), embeddings.shape[1])
        features = np.full((len(embeddings), n_features), np.nan, dtype=np.float32)
        standardised = StandardScaler().fit_transform(embeddings[known].astype(np.float64))
        features[known] = PCA(n_features, svd_solver="full").fit_transform(standardised)
        return features

    def why_no_pairs(self, images: RowImages) -> str | None:
        """Say what is missing for embedding rows with their photos; None if nothing is."""
        architecture = self.network.architecture.image
        if architecture is None:
            return (
                "the pretrainer saw no photos, or keep_image_encoder=False dropped its image "
                "encoder"
            )
        if not images.has_image.any():
            return "no row has a photo"
        if (images.vectors is not None) != (architecture.vector_width is not None):
            wanted = "photos" if architecture.vector_width is None else "embedding vectors"
            return (
                f"the pretrainer was fitted on {wanted}, but these image cells are something else"
            )
        return None

    def why_no_features(self, images: RowImages) -> str | None:
        """Say what is missing for features of photos: photos, or an encoder; None if nothing."""
        n_photos = int(images.has_image.sum())
        if n_photos < MIN_PAIRS:
            return f"{n_photos} rows have a photo, but at least {MIN_PAIRS} are needed"
        architecture, vectors = self.network.architecture.image, images.vectors
        if vectors is None and architecture is None:
            return (
                "the pretrainer has no image encoder: fit it with keep_image_encoder=True, or give "
                "the output of its transform_images in place of the photos"
            )
        fitted_on = None if architecture is None else architecture.vector_width
        if fitted_on is not None and (vectors is None or vectors.shape[1] != fitted_on):
            return f"the pretrainer was fitted on vectors of width {fitted_on}, give such vectors"
        return None

    def _embed_unless_embedded(self, images: RowImages) -> np.ndarray:
        """Embed photos; vectors are already embeddings, unless the encoder was fitted on them."""
        architecture = self.network.architecture.image
        if images.vectors is not None and (
            architecture is None or architecture.vector_width is None
        ):
            embeddings = np.full((len(images), images.vectors.shape[1]), np.nan, dtype=np.float32)
            with_photo = np.flatnonzero(images.has_image)
            embeddings[with_photo] = images.vectors[images.first(with_photo)]
            return embeddings
        return self.embed(images)

    def _apply(self, images: RowImages, width: int, embed: Embed) -> np.ndarray:
        """Embed the first photo of each row, some photos at a time.

        Parameters
        ----------
        images : RowImages of n_rows rows
        width : int
            Of an embedding.
        embed : callable
            Maps row numbers (k,) and their photos, as the image encoder takes them, to an array
            (k, width).

        Returns
        -------
        float32 array of shape (n_rows, width), NaN for rows without a photo
        """
        encoder, cpu = self.network.on(self.device).image_encoder, torch.device("cpu")
        with open_photos(images, encoder, self.options, self.device) as (photos, images):
            return embed_in_rows(images, width, embed, lambda ids: photos.plain(ids, cpu).numpy())


def embed_in_rows(
    images: RowImages, width: int, embed: Embed, read: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Embed the first photo of each row, some at a time; ``read`` gives photos by their ids.

    Returns
    -------
    float32 array of shape (n_rows, width), NaN for rows without a photo
    """
    with_photo = np.flatnonzero(images.has_image)
    result = np.full((len(images), width), np.nan, dtype=np.float32)
    for start in range(0, len(with_photo), PHOTOS_AT_ONCE):
        rows = with_photo[start : start + PHOTOS_AT_ONCE]
        result[rows] = embed(rows, read(images.first(rows)))
    return result
