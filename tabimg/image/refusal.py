"""Why an image is refused, in words for its user, and the limit on its size."""

from __future__ import annotations

MAX_PIXELS = 100_000_000
TRUNCATED = "it is truncated (the file ends before the picture does)"


class RefusedImage(ValueError):
    """An image is refused, for the reason that the message gives."""


def check_pixels(width: int, height: int, max_pixels: int, what: str = "it has") -> None:
    """Refuse a picture, or a tile, with too many pixels before memory is allocated for them."""
    if width * height > max_pixels:
        raise RefusedImage(
            f"{what} {width} x {height} pixels, more than max_image_pixels={max_pixels}; a higher "
            "max_image_pixels reads it, at a few bytes of memory per pixel"
        )
