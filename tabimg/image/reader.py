"""Read one image of any common kind as a small square of 8-bit RGB pixels."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from tabimg.image.colour_modes import array_to_image
from tabimg.image.formats import FORMATS, decode
from tabimg.image.misfits import explain_bytes
from tabimg.image.orientation import orientation_of, upright
from tabimg.image.paths import open_regular, path_status, why_no_file
from tabimg.image.refusal import MAX_PIXELS, RefusedImage, check_pixels
from tabimg.image.shrinking import shrink
from tabimg.messages import shorten

ImageSource = str | Path | bytes | Image.Image
ImageLoader = Callable[[str], Any]

# JPEG decoded at twice the target size is indistinguishable from a full decode (54.9 dB).
DRAFT_FACTOR = 2
MAX_ROWS_NAMED = 10
MAX_PATH_SHOWN = 300
MAX_CAUSE_SHOWN = 300


class ImageReadError(ValueError):
    """An image that a row lists cannot be read.

    Parameters
    ----------
    cause : str
        What is wrong with the image.
    source : str
        The path, or a description of an image without a file.
    rows : sequence of int, default=()
        Positions (from 0) of the rows that list the image, each in its own frame.
    where : str, default=""
        These rows in words, such as ``"row 3 of X"``.

    Attributes
    ----------
    cause, source, rows, where
        As given.
    """

    def __init__(self, cause: str, source: str, rows: Sequence[int] = (), where: str = "") -> None:
        super().__init__(cause, source, tuple(int(row) for row in rows), where)
        self.cause = cause
        self.source = source
        self.rows = tuple(int(row) for row in rows)
        self.where = where or (describe_rows(self.rows) if self.rows else "")

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return (
            f"{where}cannot read the image {self.source}: {self.cause}. Repair or remove the "
            "image, leave the row's cell empty (None), or set on_bad_image='warn' or 'skip' to go "
            "on without it."
        )


def describe_rows(rows: Sequence[int]) -> str:
    """Name row positions in a message: ``row 3``, ``rows 3, 8``, ``rows 0, ... and 5 more``."""
    named = ", ".join(str(row) for row in rows[:MAX_ROWS_NAMED])
    more = f" and {len(rows) - MAX_ROWS_NAMED} more" if len(rows) > MAX_ROWS_NAMED else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {named}{more}"


def describe_source(source: ImageSource) -> str:
    """Name an image in a message: its path, or what it is if it has none."""
    if isinstance(source, bytes):
        return f"given as {len(source)} bytes"
    if isinstance(source, Image.Image):
        return f"given as a PIL image (mode {source.mode}, size {source.size})"
    return shorten(os.fspath(source), MAX_PATH_SHOWN)


def read_image(
    source: ImageSource,
    size: int,
    loader: ImageLoader | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Read one image, whole, squashed to a square.

    The aspect ratio is not kept and nothing is cut off. The EXIF orientation is applied, only the
    first frame of an animation is read, transparent pixels show a white background, and
    every colour mode becomes RGB (16-bit grey by its bit depth: 65535 becomes 255). JPEG files
    are decoded at a reduced scale, at least twice ``size``. Damaged metadata are ignored.

    Parameters
    ----------
    source : str, Path, bytes or PIL.Image.Image
        A path, the content of an image file, or an opened image. A PIL image is not changed, and
        its current frame is read.
    size : int
        Height and width of the result in pixels, at least 1.
    loader : callable, default=None
        ``loader(path)`` opens files of other formats. It is called for paths only, with
        a str, and returns an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), a PIL image,
        or the bytes of an image file. See :func:`~tabimg.image.colour_modes.array_to_image` for the
        meaning of an array's values.
        The path may be a folder, and may lead nowhere, but never to a named pipe, a socket or a
        device.
    max_pixels : int, default=100_000_000
        A picture with more pixels is refused before it is decoded. This does not apply to what a
        loader returns, or to PIL images that were loaded: they are decoded already.

    Returns
    -------
    ndarray of shape (size, size, 3), dtype uint8
        Writable and contiguous.

    Raises
    ------
    ImageReadError
        If the image is missing, empty, truncated, damaged, not a regular file, of a format that is
        not read (see :data:`~tabimg.image.formats.FORMATS`) or too large, or if the loader fails or
        returns anything other than an image.
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
        image, orientation = _open(source, DRAFT_FACTOR * size, loader, max_pixels)
        # Applied to the small square: turning the picture itself would take its memory twice.
        small = upright(shrink(image, size), orientation)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly any class on broken data
        raise ImageReadError(_cause(error, source, loader), describe_source(source)) from error
    return np.array(small)


def _open(
    source: ImageSource, draft_size: int, loader: ImageLoader | None, max_pixels: int
) -> tuple[Image.Image, int]:
    if isinstance(source, Image.Image):
        return _open_pil(source, draft_size, max_pixels)
    if isinstance(source, bytes):
        return decode(io.BytesIO(source), draft_size, max_pixels)
    path = os.fspath(source)
    if loader is None:
        with open_regular(path) as file:
            return decode(file, draft_size, max_pixels)
    if path_status(path) is not None:
        reason = why_no_file(path, folders=True)
        if reason is not None:
            raise RefusedImage(reason)
    loaded = loader(path)
    if isinstance(loaded, bytes):
        return decode(io.BytesIO(loaded), draft_size, max_pixels)
    if isinstance(loaded, Image.Image):
        return _open_pil(loaded, draft_size, max_pixels)
    return array_to_image(np.asarray(loaded)), 1


def _open_pil(image: Image.Image, draft_size: int, max_pixels: int) -> tuple[Image.Image, int]:
    """Take an image that the user opened, and decode it like a file if it is not decoded yet."""
    if isinstance(image, ImageFile) and image.fp is not None and _is_not_loaded(image):
        check_pixels(*image.size, max_pixels)
        if image.format not in FORMATS:
            raise RefusedImage(
                f"it is a file of the format {image.format}, which is not read: load the image "
                "first, by its method load()"
            )
        if image.tell() == 0:
            return _decode_again(image, draft_size, max_pixels)
    image.load()
    orientation = orientation_of(image)
    # Formats have methods and sizes of their own; the plain class has neither.
    return image._new(image.im), orientation


def _is_not_loaded(image: ImageFile) -> bool:
    # Pillow 11 renamed the attribute; both are None before the first load.
    attributes = vars(image)
    return bool(image.tile) or attributes.get("_im", attributes.get("im")) is None


def _decode_again(image: ImageFile, draft_size: int, max_pixels: int) -> tuple[Image.Image, int]:
    file: Any = image.fp
    position = file.tell()
    try:
        file.seek(0)
        return decode(io.BytesIO(file.read()), draft_size, max_pixels)
    finally:
        file.seek(position)


def _cause(error: Exception, source: ImageSource, loader: ImageLoader | None) -> str:
    """Say in words what is wrong, judging by the file first and the error second."""
    if isinstance(source, bytes):
        if not source:
            return "it holds no bytes"
        if hint := explain_bytes(source):
            return hint
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        status = path_status(path)
        if status is not None and status.st_size == 0 and stat.S_ISREG(status.st_mode):
            return "the file is empty (0 bytes)"
        if loader is not None and not isinstance(error, RefusedImage):
            reason = why_no_file(path, folders=True)
            return reason or f"the image loader failed on it ({_in_short(error)})"
    if isinstance(error, RefusedImage):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known format (image_loader= opens other formats)"
    if "truncated" in str(error).lower():
        return f"it is truncated ({_in_short(error)})"
    return f"it is damaged or truncated ({_in_short(error)})"


def _in_short(error: Exception) -> str:
    """Name an error in a message, without paths and without flooding the screen."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = f"{type(error).__name__}: {said}".encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= MAX_CAUSE_SHOWN else f"{text[:MAX_CAUSE_SHOWN]}..."
