"""Photos as plain numbers, without a network: thumbnails and their spectra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from tabimg.evaluation.foundation import ImageLoader, RowNames, look_for_files
from tabimg.image import MAX_PIXELS, RowImages, build_image_cache

# For amplitudes of pixels in [0, 1]: far below the noise of a photo.
AMPLITUDE_FLOOR = 1e-2
# A smaller spread is due to rounding.
NO_SPREAD = 1e-6

See = Callable[[RowImages], tuple[np.ndarray, list[np.ndarray]]]


def photo_numbers(
    cells: Sequence[Sequence[Any]],
    size: int,
    *,
    root: str | Path | None = None,
    loader: ImageLoader | None = None,
    max_pixels: int = MAX_PIXELS,
    on_bad_image: str = "raise",
    n_jobs: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Describe the photos of each row.

    Parameters
    ----------
    cells : sequence of image columns
        Cells as in `MultiModalPretrainer`. The first photo of a cell is used; those of several
        columns are put side by side.
    size : int
        Height and width of the thumbnails in pixels.
    root, loader, max_pixels, on_bad_image, n_jobs
        As ``image_root``, ``image_loader``, ``max_image_pixels``, ``on_bad_image`` and ``n_jobs``
        of the pretrainer.

    Returns
    -------
    numbers : float32 array of shape (n_rows, n_numbers)
        Centred; zeros if a row has no photo in a column.
    has_photo : bool array of shape (n_rows,)

    Raises
    ------
    ImageReadError
        If a photo cannot be read, with ``on_bad_image="raise"``; names row and file.
    TypeError, ValueError
        If a cell holds no image, or a column mixes images and vectors.

    Notes
    -----
    Pixels show where something bright or red is, but little about textures, which shift from photo
    to photo. The amplitudes of the grey thumbnail's Fourier transform do not shift; principal
    components of such spectra distinguish scenes and textures (Torralba and Oliva, "Statistics of
    natural image categories", Network 14, 2003). Both halves have the same total variance.
    Cells that are embedding vectors are used as they are.
    """

    def see(images: RowImages) -> tuple[np.ndarray, list[np.ndarray]]:
        cache, images = build_image_cache(
            images,
            size,
            loader=loader,
            max_pixels=max_pixels,
            on_bad_image=on_bad_image,
            n_jobs=n_jobs,
        )
        rows = np.flatnonzero(images.has_image)
        with cache:
            return rows, _describe(cache.gather(images.first(rows))) if len(rows) else []

    return numbers_in_rows(cells, root, see, None if loader else on_bad_image)


def numbers_in_rows(
    cells: Sequence[Sequence[Any]],
    root: str | Path | None,
    see: See,
    on_bad_image: str | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Describe the photos of each row in some way; those of several columns are put side by side.

    Parameters
    ----------
    cells : sequence of image columns
        Those that hold embedding vectors are taken as they are.
    root : str or Path, optional
    see : callable
        Gives, of one column, the rows with a photo that could be read, and arrays of numbers of
        these rows.
    on_bad_image : str, optional
        What missing files mean; None does not look for files.

    Returns
    -------
    numbers, has_photo
        As `photo_numbers`.
    """
    names = RowNames.of(len(cells[0]), "X")
    if on_bad_image is not None:
        look_for_files(RowImages.from_cells(cells, root, names), on_bad_image)
    blocks, known = [], np.zeros(len(cells[0]), dtype=bool)
    for column in cells:
        images = RowImages.from_cells([column], root, names)
        if images.vectors is not None:
            rows = np.flatnonzero(images.has_image)
            described = [images.vectors[images.first(rows)]]
        else:
            rows, described = see(images)
        known[rows] = True
        blocks += [_in_rows(numbers, rows, len(known)) for numbers in described]
    empty = np.zeros((len(known), 0), dtype=np.float32)
    return np.hstack(blocks) if blocks else empty, known


def components(numbers: np.ndarray, train: np.ndarray, n_components: int, seed: int) -> np.ndarray:
    """Return the principal components of all rows, learned from the training rows.

    Parameters
    ----------
    numbers : float32 array of shape (n_rows, n_numbers)
    train : int array of at least two row positions
    n_components : int
        At most; fewer if there are fewer rows or numbers.
    seed : int

    Returns
    -------
    float32 array of shape (n_rows, n_components)
    """
    n_components = min(n_components, len(train) - 1, numbers.shape[1])
    model = PCA(n_components, random_state=seed % 2**31).fit(numbers[train])
    return model.transform(numbers).astype(np.float32)


def _describe(pixels: np.ndarray) -> list[np.ndarray]:
    """Return pixels and log amplitudes, each (n_images, n_numbers)."""
    grey = pixels.mean(axis=3) / 255.0
    amplitudes = np.abs(np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True)))
    spectra = np.log(amplitudes + AMPLITUDE_FLOOR)
    return [numbers.reshape(len(pixels), -1) for numbers in (pixels / np.float32(255.0), spectra)]


def _in_rows(numbers: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Arrange numbers by row: centred, with a total variance of 1, and zeros elsewhere."""
    numbers = numbers - numbers.mean(axis=0)
    spread = np.sqrt((numbers**2).sum(axis=1).mean())
    laid_out = np.zeros((n_rows, numbers.shape[1]), dtype=np.float32)
    laid_out[rows] = numbers / spread if spread > NO_SPREAD else 0.0
    return laid_out
