"""Read one image of any common kind as a small square of 8-bit RGB pixels."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tabimg.image.colour_modes import array_to_rgb, image_to_rgb

ImageSource = str | Path | bytes | Image.Image
ImageLoader = Callable[[str], Any]

# JPEG decoded at twice the target size is indistinguishable from a full decode (54.9 dB).
DRAFT_FACTOR = 2
# Pillow first averages whole blocks of a much larger image, down to this multiple of the target.
REDUCING_GAP = 3.0
MAX_ROWS_NAMED = 10


class ImageReadError(ValueError):
    """An image that a row lists cannot be read.

    Parameters
    ----------
    cause : str
        What is wrong with the image.
    source : str
        The path, or a description of an image that is not a file.
    rows : sequence of int, default=()
        Positions (from 0) of the rows that list the image.

    Attributes
    ----------
    cause, source, rows
        As given.
    """

    def __init__(self, cause: str, source: str, rows: Sequence[int] = ()) -> None:
        super().__init__(cause, source, tuple(int(row) for row in rows))
        self.cause = cause
        self.source = source
        self.rows = tuple(int(row) for row in rows)

    def __str__(self) -> str:
        where = f"{describe_rows(self.rows)}: " if self.rows else ""
        return (
            f"{where}cannot read the image {self.source}: {self.cause}. Repair or remove the "
            "image, give the row an empty cell (None), or set on_bad_image='warn' or 'skip' to go "
            "on without it."
        )


def describe_rows(rows: Sequence[int]) -> str:
    """Name row positions in a message: ``row 3``, ``rows 3, 8``, ``rows 0, ... and 5 more``."""
    named = ", ".join(str(row) for row in rows[:MAX_ROWS_NAMED])
    more = f" and {len(rows) - MAX_ROWS_NAMED} more" if len(rows) > MAX_ROWS_NAMED else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {named}{more}"


def describe_source(source: ImageSource) -> str:
    """Name an image in a message: its path, or what it is where it has none."""
    if isinstance(source, bytes):
        return f"given as {len(source)} bytes"
    if isinstance(source, Image.Image):
        return f"given as a PIL image (mode {source.mode}, size {source.size})"
    return repr(os.fspath(source))


def read_image(source: ImageSource, size: int, loader: ImageLoader | None = None) -> np.ndarray:
    """Read one image, whole, squashed to a square.

    The aspect ratio is not kept and nothing is cut off. The EXIF orientation is applied, only the
    first frame of an animation is read, transparent pixels show a white background, and
    every colour mode becomes RGB (16-bit grey by its bit depth: 65535 becomes 255). JPEG files
    are decoded at a reduced scale, at least twice ``size``.

    Parameters
    ----------
    source : str, Path, bytes or PIL.Image.Image
        A path, the content of an image file, or an opened image. A PIL image is not changed, and
        its current frame is read.
    size : int
        Height and width of the result in pixels, at least 1.
    loader : callable, default=None
        ``loader(path)`` opens files that Pillow does not know. It is called for paths only, with
        a str, and returns an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a PIL
        image. See :func:`~tabimg.image.colour_modes.array_to_rgb` for the meaning of the values.

    Returns
    -------
    ndarray of shape (size, size, 3), dtype uint8
        Writable and contiguous.

    Raises
    ------
    ImageReadError
        If the image is missing, empty, truncated, a directory, or not an image, or if the loader
        fails or returns something else than an image.
    ValueError
        If ``size`` is not positive.
    TypeError
        If ``source`` is of another type.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if not isinstance(source, (str, os.PathLike, bytes, Image.Image)):
        raise TypeError(
            "An image is a str, Path, bytes or PIL.Image.Image, "
            f"got {type(source).__module__}.{type(source).__qualname__}"
        )
    try:
        image = _open_rgb(source, DRAFT_FACTOR * size, loader)
        small = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly every class on broken data
        raise ImageReadError(_cause(error, source, loader), describe_source(source)) from error
    return np.array(small)


def _open_rgb(source: ImageSource, draft_size: int, loader: ImageLoader | None) -> Image.Image:
    if isinstance(source, Image.Image):
        return image_to_rgb(ImageOps.exif_transpose(source))
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), draft_size)
    path = os.fspath(source)
    if loader is None:
        with open(path, "rb") as file:
            return _decode(file, draft_size)
    loaded = loader(path)
    if isinstance(loaded, Image.Image):
        return image_to_rgb(ImageOps.exif_transpose(loaded))
    return Image.fromarray(array_to_rgb(np.asarray(loaded)))


def _decode(file: IO[bytes], draft_size: int) -> Image.Image:
    with Image.open(file) as image:
        image.draft(None, (draft_size, draft_size))
        ImageOps.exif_transpose(image, in_place=True)
        return image_to_rgb(image)


def _cause(error: Exception, source: ImageSource, loader: ImageLoader | None) -> str:
    """Say in words what is wrong, from the state of the file first and the error second."""
    if isinstance(source, bytes) and not source:
        return "it holds no bytes"
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if not os.path.exists(path):
            return "the file does not exist (relative paths start at image_root)"
        if loader is None and os.path.isdir(path):
            return "it is a directory, not a file"
        if os.path.isfile(path) and os.path.getsize(path) == 0:
            return "the file is empty (0 bytes)"
        if loader is not None:
            return f"the image loader failed on it ({type(error).__name__}: {error})"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known format (image_loader= opens other formats)"
    if "truncated" in str(error).lower():
        return f"it is truncated ({error})"
    return f"it is damaged or cannot be opened ({type(error).__name__}: {error})"
