"""Photos as plain numbers: what an image encoder with public weights sees in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from torch import nn

from tabimg.evaluation.data.thumbnails import numbers_in_rows
from tabimg.evaluation.foundation import (
    ImageLoader,
    public_encoder,
    resolve_device,
    see_photos,
)
from tabimg.image import MAX_PIXELS, Augmentation, PhotoOptions, RowImages


def encoded_photos(
    cells: Sequence[Sequence[Any]],
    image_encoder: str | Callable[[], nn.Module],
    *,
    image_size: int | str = "auto",
    root: str | Path | None = None,
    loader: ImageLoader | None = None,
    max_pixels: int = MAX_PIXELS,
    on_bad_image: str = "raise",
    n_jobs: int | None = None,
    cache_dir: str | Path | None = None,
    device: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Describe the photos of each row by the features of a pre-trained image encoder.

    Parameters
    ----------
    cells : sequence of image columns
        Cells as in `MultiModalPretrainer`. The first photo of a cell is used; those of several
        columns are put side by side.
    image_encoder, image_size, cache_dir, device
        As in `MultiModalPretrainer`; the encoder has weights.
    root, loader, max_pixels, on_bad_image, n_jobs
        As ``image_root``, ``image_loader``, ``max_image_pixels``, ``on_bad_image`` and ``n_jobs``
        of the pretrainer.

    Returns
    -------
    numbers : float32 array of shape (n_rows, n_numbers)
        Each feature standardised, those of a column with a total variance of 1; zeros if a row has
        no photo in a column.
    has_photo : bool array of shape (n_rows,)

    Raises
    ------
    ImageReadError, TypeError, ValueError
        As `photo_numbers`, and for an encoder without weights.
    ImportError
        If a package that the encoder needs is not installed.

    Notes
    -----
    Photos are seen as a pretrainer with the default augmentation sees them, and what was seen is
    kept where it looks: a pre-training that follows reads none of them again. Cells that are
    embedding vectors are used as they are.
    """
    encoder, side = public_encoder(image_encoder, image_size)
    options = PhotoOptions(
        side, Augmentation(), loader, max_pixels, on_bad_image, n_jobs, cache_dir
    )

    def see(images: RowImages) -> tuple[np.ndarray, list[np.ndarray]]:
        features = see_photos(images, encoder, options, resolve_device(device))
        rows = np.flatnonzero(~np.isnan(features[:, 0]))
        if len(rows) == 0:
            return rows, []
        return rows, [StandardScaler().fit_transform(features[rows].astype(np.float64))]

    return numbers_in_rows(cells, root, see, None if loader else on_bad_image)
