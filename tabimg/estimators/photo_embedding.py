"""The image encoder's embedding of photos, for as long as a pretrainer keeps that encoder."""

from __future__ import annotations

from collections.abc import Sequence
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
    with_photo = np.flatnonzero(images.has_image)
    recipe = pretrainer.network_.recipe.image
    width = recipe.width(pretrainer.network_.on(torch.device("cpu")).image_encoder)
    result = np.full((len(images), width), np.nan, dtype=np.float32)
    for start in range(0, len(with_photo), PHOTOS_AT_ONCE):
        rows = with_photo[start : start + PHOTOS_AT_ONCE]
        result[rows] = _embed_first(pretrainer, images.take(rows))
    return result


def _image_cells(pretrainer: Any, X: Any) -> list[Sequence[Any]]:
    if not is_frame(X):
        return [list(X)]
    require_columns(X, as_column_list(pretrainer.image_column), "image_column")
    cells = take_apart(X, pretrainer.image_column, None).image_cells
    if cells is None:
        raise ValueError("image_column is None: hand over the photos themselves, as a sequence")
    return cells


def _embed_first(pretrainer: Any, images: RowImages) -> np.ndarray:
    """Embed the first photo of each of some rows that all have one."""
    device = resolve_device(pretrainer.device)
    embed = pretrainer.network_.on(device).embed_image
    first = images.first(np.arange(len(images)))
    if images.vectors is not None:
        return apply_in_blocks(embed, (images.vectors[first],), device)
    # A photo that cannot be read has no embedding to give, whatever fit would have done.
    cache, _ = build_image_cache(
        images,
        stored_size(pretrainer.image_size),
        loader=pretrainer.image_loader,
        n_jobs=pretrainer.n_jobs,
        cache_dir=pretrainer.cache_dir,
    )
    with cache:
        pixels = plain(torch.from_numpy(cache.gather(first)), int(pretrainer.image_size))
        return apply_in_blocks(embed, (pixels.numpy(),), device)
