"""The image encoder's embedding of photos, for as long as a pretrainer keeps that encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tabimg.image import RowImages, build_image_cache, plain, stored_size
from tabimg.image.row_names import RowNames
from tabimg.inputs.containers import cells_of
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
