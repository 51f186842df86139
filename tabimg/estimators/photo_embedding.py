"""The image encoder's embedding of photos, for as long as a pretrainer keeps that encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tabimg.estimators.inputs import as_column_list, is_frame, require_columns, take_apart
from tabimg.image import RowImages, build_image_cache, plain, stored_size
from tabimg.training.inference import apply_in_blocks
from tabimg.training.runtime import resolve_device

# Bounds the memory of embedding many photos.
PHOTOS_AT_ONCE = 1024


def embed_photos(pretrainer: Any, X: Any) -> np.ndarray:
    """Embed the first photo of each row; float32 (n_rows, d'), NaN for rows without one."""
    images = RowImages.from_cells(_image_cells(pretrainer, X), root=pretrainer.image_root)
    # A photo that cannot be read has no embedding to give, whatever fit would have done.
    return embed_first(pretrainer, images, "raise")


def embed_first(pretrainer: Any, images: RowImages, on_bad_image: str) -> np.ndarray:
    """Embed the first photo of each row.

    Parameters
    ----------
    pretrainer : MultiModalPretrainer
        Fitted, with its image encoder.
    images : RowImages of n_rows rows
    on_bad_image : {"raise", "warn", "skip"}

    Returns
    -------
    float32 array of shape (n_rows, d'), NaN for rows without a photo
    """
    network = pretrainer.network_.on(resolve_device(pretrainer.device))
    width = pretrainer.network_.recipe.image.width(network.image_encoder)
    if images.vectors is not None:
        vectors = images.vectors
        return _in_rows(images, width, lambda first: _embed(pretrainer, vectors[first]))
    cache, images = build_image_cache(
        images,
        stored_size(pretrainer.image_size),
        loader=pretrainer.image_loader,
        on_bad_image=on_bad_image,
        n_jobs=pretrainer.n_jobs,
        cache_dir=pretrainer.cache_dir,
    )
    size = int(pretrainer.image_size)

    def embed(first: np.ndarray) -> np.ndarray:
        return _embed(pretrainer, plain(torch.from_numpy(cache.gather(first)), size).numpy())

    with cache:
        return _in_rows(images, width, embed)


def _in_rows(
    images: RowImages, width: int, embed: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Lay the embeddings of first photos out by row, some photos at a time."""
    with_photo = np.flatnonzero(images.has_image)
    result = np.full((len(images), width), np.nan, dtype=np.float32)
    for start in range(0, len(with_photo), PHOTOS_AT_ONCE):
        rows = with_photo[start : start + PHOTOS_AT_ONCE]
        result[rows] = embed(images.first(rows))
    return result


def _embed(pretrainer: Any, inputs: np.ndarray) -> np.ndarray:
    device = resolve_device(pretrainer.device)
    return apply_in_blocks(pretrainer.network_.on(device).embed_image, (inputs,), device)


def _image_cells(pretrainer: Any, X: Any) -> list[Sequence[Any]]:
    if not is_frame(X):
        return [list(X)]
    require_columns(X, as_column_list(pretrainer.image_column), "image_column")
    cells = take_apart(X, pretrainer.image_column, None).image_cells
    if cells is None:
        raise ValueError("image_column is None: hand over the photos themselves, as a sequence")
    return cells
