"""Photos embedded: alone, together with their rows, and as features for a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from tabimg.image import RowImages, build_image_cache, plain, stored_size
from tabimg.image.row_names import RowNames
from tabimg.inputs.containers import cells_of
from tabimg.table import EncodedTable
from tabimg.training.citab_architectures import ColumnVectors
from tabimg.training.inference import apply_in_blocks
from tabimg.training.runtime import resolve_device

# Bounds the memory of embedding many photos.
PHOTOS_AT_ONCE = 1024


def images_in(cells: Sequence[Any], root: Any) -> RowImages:
    """Collect the photos of a bare sequence of image cells."""
    return RowImages.from_cells([cells_of(cells)], root, RowNames.of(len(cells), "X"))


def embed_first(pretrainer: Any, images: RowImages, on_bad_image: str) -> np.ndarray:
    """Embed the first photo of each row.

    Parameters
    ----------
    pretrainer : PhotoPretrainer
        Fitted, with its image encoder.
    images : RowImages of n_rows rows
    on_bad_image : {"raise", "warn", "skip"}

    Returns
    -------
    float32 array of shape (n_rows, d'), NaN for rows without a photo
    """
    device = resolve_device(pretrainer.device)
    network = pretrainer.network_.on(device)

    def embed(rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return apply_in_blocks(network.embed_image, (inputs,), device)

    width = pretrainer.network_.recipe.image.width(network.image_encoder)
    return apply_to_first(pretrainer, images, on_bad_image, width, embed)


def apply_to_first(
    pretrainer: Any,
    images: RowImages,
    on_bad_image: str,
    width: int,
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Compute something of the first photo of each row, some photos at a time.

    Parameters
    ----------
    pretrainer : PhotoPretrainer
        Says how photos are read.
    images : RowImages of n_rows rows
    on_bad_image : {"raise", "warn", "skip"}
    width : int
        Of what is computed.
    function : callable
        From row numbers (k,) and their photos, float32 (k, 3, S, S) or vectors (k, d), to an array
        (k, width).

    Returns
    -------
    float32 array of shape (n_rows, width), NaN for rows without a photo
    """
    if images.vectors is not None:
        return _in_rows(images, width, function, images.vectors.__getitem__)
    cache, images = build_image_cache(
        images,
        stored_size(pretrainer.image_size),
        loader=pretrainer.image_loader,
        max_pixels=pretrainer.max_image_pixels,
        on_bad_image=on_bad_image,
        n_jobs=pretrainer.n_jobs,
        cache_dir=pretrainer.cache_dir,
    )
    size = int(pretrainer.image_size)

    def read(first: np.ndarray) -> np.ndarray:
        return plain(torch.from_numpy(cache.gather(first)), size).numpy()

    with cache:
        return _in_rows(images, width, function, read)


def _in_rows(
    images: RowImages,
    width: int,
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    read: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Lay what is computed of first photos out by row."""
    with_photo = np.flatnonzero(images.has_image)
    result = np.full((len(images), width), np.nan, dtype=np.float32)
    for start in range(0, len(with_photo), PHOTOS_AT_ONCE):
        rows = with_photo[start : start + PHOTOS_AT_ONCE]
        result[rows] = function(rows, read(images.first(rows)))
    return result


def embed_pairs(
    pretrainer: Any,
    encoded: EncodedTable,
    columns: ColumnVectors,
    images: RowImages,
    on_bad_image: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Embed rows with the first photo of each.

    Parameters
    ----------
    pretrainer : CITabPretrainer
        Fitted, with its image encoder.
    encoded : EncodedTable of n_rows rows
    columns : ColumnVectors
        Of its columns.
    images : RowImages of n_rows rows
    on_bad_image : {"raise", "warn", "skip"}

    Returns
    -------
    fused : float32 array of shape (n_rows, dim)
        The fused CLS; NaN for rows without a photo.
    photos : float32 array of shape (n_rows, d')
        The photos alone; NaN for rows without one.
    """
    device = resolve_device(pretrainer.device)
    net, layout = pretrainer.network_.on(device), columns.build().to(device)

    def fuse(numeric: torch.Tensor, codes: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        tokens, present = net.encode(numeric, codes, layout)
        photo = net.image_tokens(pixels)
        return torch.cat([net.fuse(tokens, present, photo), photo.mean(dim=1)], dim=1)

    def embed(rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        part = encoded.take(rows)
        return apply_in_blocks(fuse, (part.numeric, part.codes, inputs), device)

    recipe = pretrainer.network_.recipe
    width = recipe.image.width(net.image_encoder)
    both = apply_to_first(pretrainer, images, on_bad_image, recipe.table.dim + width, embed)
    return both[:, : recipe.table.dim], both[:, recipe.table.dim :]


def why_no_pairs(pretrainer: Any, images: RowImages) -> str | None:
    """Say what is lacking to embed rows with their photos."""
    recipe = pretrainer.network_.recipe.image
    if recipe is None:
        return "the pretrainer saw no photos, or keep_image_encoder=False dropped its image encoder"
    if not images.has_image.any():
        return "no row has a photo"
    if (images.vectors is not None) != (recipe.vector_width is not None):
        wanted = "photos" if recipe.vector_width is None else "embedding vectors"
        return f"the pretrainer was fitted on {wanted}, and these image cells are something else"
    return None


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
