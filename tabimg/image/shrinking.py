"""Shrink a picture of any size and colour mode to a small square of 8-bit RGB, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator

from PIL import Image

from tabimg.image.colour_modes import rgb_converter

# A much larger picture is averaged over whole blocks first, down to this multiple of the target.
REDUCING_GAP = 3.0
# Colours are converted this many pixels at a time, which bounds the memory of every conversion.
TILE_PIXELS = 2**20


def shrink(image: Image.Image, size: int) -> Image.Image:
    """Squash a picture to a square.

    The result is that of converting the whole picture to RGB and Pillow's ``resize`` with a
    ``reducing_gap``, without holding a second picture of full size.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded. It is not changed.
    size : int
        Height and width of the result in pixels.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.

    Raises
    ------
    ValueError
        If a float image holds values that are not finite.
    """
    width, height = image.size
    across = int(width / size / REDUCING_GAP) or 1
    down = int(height / size / REDUCING_GAP) or 1
    to_rgb = rgb_converter(image)
    if across == down == 1 or width * height <= TILE_PIXELS:
        reduced = _reduce(to_rgb(image), across, down)
    else:
        reduced = Image.new("RGB", (math.ceil(width / across), math.ceil(height / down)))
        for (x, y), tile in _tiles(image, across, down):
            reduced.paste(_reduce(to_rgb(tile), across, down), (x // across, y // down))
    box = (0, 0, width / across, height / down)
    return reduced.resize((size, size), Image.Resampling.BILINEAR, box=box)


def _reduce(image: Image.Image, across: int, down: int) -> Image.Image:
    return image if across == down == 1 else image.reduce((across, down))


def _tiles(
    image: Image.Image, across: int, down: int
) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    """Cut a picture into tiles made of whole blocks of (across, down) pixels."""
    width, height = image.size
    columns = across * max(TILE_PIXELS // (across * down), 1)
    rows = down * max(TILE_PIXELS // (min(columns, width) * down), 1)
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            box = (x, y, min(x + columns, width), min(y + rows, height))
            # Image.crop would compare the tile with the pixel limit of the process.
            yield (x, y), image._new(image.im.crop(box))
