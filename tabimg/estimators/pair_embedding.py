"""Rows embedded by the encoders of CITab: alone, or together with their photos."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tabimg.estimators.photo_embedding import apply_to_first
from tabimg.image import RowImages
from tabimg.table import EncodedTable
from tabimg.training.citab_architectures import ColumnVectors
from tabimg.training.fitted_module import FittedModule
from tabimg.training.inference import apply_in_blocks, apply_to_table
from tabimg.training.runtime import resolve_device


def embed_rows(
    network: FittedModule[Any, Any], encoded: EncodedTable, columns: ColumnVectors, device: str
) -> np.ndarray:
    """Embed rows of any columns from the table alone; float32 (n_rows, dim)."""
    where = resolve_device(device)
    net, layout = network.on(where), columns.build().to(where)

    def embed(numeric: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return net.encode(numeric, codes, layout)[0][:, 0]

    return apply_to_table(embed, encoded, device=where)


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
