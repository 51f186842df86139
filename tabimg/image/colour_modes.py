"""Turn every colour mode and array type into 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

WHITE = (255, 255, 255, 255)
UINT8_MAX = 255
UINT16_MAX = 65535
# Arrays are scaled this many values at a time.
VALUES_AT_ONCE = 2**20

Converter = Callable[[Image.Image], Image.Image]
Scale = Callable[[np.ndarray], np.ndarray]


def rgb_converter(image: Image.Image) -> Converter:
    """Choose how an image, or any cut-out of it, is converted to mode RGB.

    Transparent pixels show a white background. Integer modes deeper than 8 bits (``I;16``, and
    ``I`` with values in 0..65535) are scaled by their bit depth, so that images stay
    comparable; ``I`` beyond that and ``F`` follow :func:`array_to_image`.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded; of any mode.

    Returns
    -------
    callable
        From a PIL image to a new one of the same size; the input is not changed.

    Raises
    ------
    ValueError
        Here or when called, if a float image holds values that are not finite.
    """
    if image.mode.startswith("I") or image.mode == "F":
        scale = _scale_of_image(image)
        return lambda part: Image.fromarray(scale(np.asarray(part))).convert("RGB")
    if image.has_transparency_data:
        return _over_white
    return lambda part: part.convert("RGB")


def array_to_image(array: np.ndarray) -> Image.Image:
    """Turn the array that an image loader returned into an 8-bit image.

    ========================================  =============================================
    values                                    become
    ========================================  =============================================
    uint8                                     themselves
    bool                                      0 and 255
    floats, all in [0, 1]                     255 times the value, rounded
    integers or floats, all in [0, 255]       themselves, rounded
    all others                                scaled from the image's own range to 0 to 255
    ========================================  =============================================

    The last rule makes each image fill the whole range: for values that are comparable between
    images, a loader should return uint8, or floats in [0, 1]. A constant image becomes 0. A
    fourth channel is opacity, over a white background.

    Parameters
    ----------
    array : ndarray of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Boolean, integer or float; finite.

    Returns
    -------
    PIL.Image.Image
        Mode L, RGB or RGBA.

    Raises
    ------
    ValueError
        If the shape or the type is none of these, or a value is not finite.
    """
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (3, 4)) or array.size == 0:
        raise ValueError(
            "an image array has the shape (height, width), (height, width, 1), "
            f"(height, width, 3) or (height, width, 4), got {shape}"
        )
    return Image.fromarray(_to_uint8(array))


def _over_white(image: Image.Image) -> Image.Image:
    opaque = Image.new("RGBA", image.size, WHITE)
    return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")


def _to_uint8(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(UINT8_MAX)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"an image array holds numbers or booleans, got dtype {values.dtype}")
    low, high = np.float64(values.min()), np.float64(values.max())
    scale = _scale(values.dtype.kind, low, high)
    scaled = np.empty(values.shape, dtype=np.uint8)
    rows = max(VALUES_AT_ONCE // (values[0].size), 1)
    for start in range(0, len(values), rows):
        scaled[start : start + rows] = scale(values[start : start + rows])
    return scaled


def _scale_of_image(image: Image.Image) -> Scale:
    if image.mode.startswith("I;16"):
        return _scale_of_depth
    low, high = np.array(image.getextrema(), dtype=np.float64)
    if image.mode == "I" and low >= 0 and high <= UINT16_MAX:
        return _scale_of_depth
    return _scale("f" if image.mode == "F" else "i", low, high)


def _scale_of_depth(values: np.ndarray) -> np.ndarray:
    return np.rint(values * (UINT8_MAX / UINT16_MAX)).astype(np.uint8)


def _scale(kind: str, low: np.float64, high: np.float64) -> Scale:
    """Choose by its range how an image becomes uint8; ``kind`` is numpy's letter of the dtype."""
    _check_finite(low, high)
    if kind == "f" and low >= 0 and high <= 1:
        return lambda values: _rounded(_wide(values) * UINT8_MAX)
    if low >= 0 and high <= UINT8_MAX:
        return lambda values: _rounded(_wide(values))
    # Halves keep the range of extreme float64 values from overflowing.
    span = high / 2 - low / 2
    if span <= 0:
        return lambda values: np.zeros(values.shape, dtype=np.uint8)
    return lambda values: _rounded((_wide(values) / 2 - low / 2) / span * UINT8_MAX)


def _wide(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.float64)
    _check_finite(wide)
    return wide


def _check_finite(*values: np.ndarray | np.float64) -> None:
    if not all(np.isfinite(part).all() for part in values):
        raise ValueError("the image array holds NaN or infinite values")


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.uint8)
