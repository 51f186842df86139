"""Turn every colour mode and array type into 8-bit RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image

WHITE = (255, 255, 255, 255)
UINT8_MAX = 255
UINT16_MAX = 65535


def image_to_rgb(image: Image.Image) -> Image.Image:
    """Convert a PIL image of any mode to mode RGB.

    Transparent pixels show a white background. Integer modes deeper than 8 bits (``I;16``, and
    ``I`` with values in 0..65535) are scaled by their bit depth, so that images stay
    comparable; ``I`` beyond that and ``F`` follow :func:`array_to_rgb`.

    Parameters
    ----------
    image : PIL.Image.Image
        Is not changed.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, same size.

    Raises
    ------
    ValueError
        If a float image holds values that are not finite.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_deep_to_rgb(np.asarray(image)))
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, WHITE)
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def array_to_rgb(array: np.ndarray) -> np.ndarray:
    """Convert the array that an image loader returned to 8-bit RGB.

    ========================================  ====================================
    values                                    become
    ========================================  ====================================
    uint8                                     themselves
    bool                                      0 and 255
    floats, all in [0, 1]                     255 times the value, rounded
    integers or floats, all in [0, 255]       themselves, rounded
    all others                                the image's own range, as 0 to 255
    ========================================  ====================================

    The last rule makes each image fill the whole range: a loader that wants values to be
    comparable between images returns uint8, or floats in [0, 1]. A constant image becomes 0. A
    fourth channel is opacity, over a white background.

    Parameters
    ----------
    array : ndarray of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Boolean, integer or float; finite.

    Returns
    -------
    ndarray of shape (H, W, 3), dtype uint8

    Raises
    ------
    ValueError
        If the shape or the type is another one, or a value is not finite.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise ValueError(
            "an image array has the shape (height, width), (height, width, 1), "
            f"(height, width, 3) or (height, width, 4), got {array.shape}"
        )
    pixels = _to_uint8(array)
    if pixels.shape[2] == 4:
        return np.asarray(image_to_rgb(Image.fromarray(pixels)))
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _deep_to_rgb(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= UINT16_MAX:
        return array_to_rgb(np.rint(values * (UINT8_MAX / UINT16_MAX)).astype(np.uint8))
    return array_to_rgb(values)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(UINT8_MAX)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"an image array holds numbers or booleans, got dtype {values.dtype}")
    if not np.isfinite(values).all():
        raise ValueError("the image array holds NaN or infinite values")
    wide = values.astype(np.float64)
    low, high = wide.min(), wide.max()
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        wide = wide * UINT8_MAX
    elif low < 0 or high > UINT8_MAX:
        # Halves keep the range of extreme float64 values from overflowing.
        span = high / 2 - low / 2
        wide = (wide / 2 - low / 2) / span * UINT8_MAX if span > 0 else np.zeros_like(wide)
    return np.rint(wide).astype(np.uint8)
