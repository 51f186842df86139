"""Which way up a photo is, read from metadata that may otherwise be damaged."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image

ORIENTATION = 0x0112
SHORT = 3
EXIF_PREFIX = b"Exif\0\0"
XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undo an orientation, 1 to 8 as EXIF numbers them."""
    method = TRANSPOSE.get(orientation)
    return image if method is None else image.transpose(method)


def orientation_of(image: Image.Image) -> int:
    """Read the orientation of a loaded image, whose metadata may have been edited; 1 if unknown."""
    try:
        return _valid(image.getexif().get(ORIENTATION))
    except Exception:  # damaged metadata raise nearly any class of error
        return stored_orientation(image.info)


def tag_orientation(tags: Mapping[Any, Any]) -> int:
    """Read the orientation from the tags of a TIFF file; 1 if unknown."""
    try:
        return _valid(tags.get(ORIENTATION))
    except Exception:  # as above: tags are decoded on access
        return 1


def stored_orientation(info: Mapping[Any, Any]) -> int:
    """Read the orientation from an image's ``info``: EXIF first, then XMP; 1 if unknown."""
    found = 1
    exif, xmp = info.get("exif"), info.get("xmp")
    if isinstance(exif, bytes):
        found = exif_orientation(exif)
    if found == 1 and isinstance(xmp, bytes):
        found = xmp_orientation(xmp)
    return found


def exif_orientation(exif: bytes) -> int:
    """Read the orientation from EXIF data, and no other field; 1 if there is none."""
    tiff = exif.removeprefix(EXIF_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (n_fields,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(start + 2, start + 2 + 12 * n_fields, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, place)
            if tag == ORIENTATION:
                return _valid(value) if kind == SHORT else 1
    except struct.error:  # the data end too early
        pass
    return 1


def exif_of(orientation: int) -> bytes:
    """Write EXIF data that hold an orientation alone."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, ORIENTATION, SHORT, 1, orientation, 0, 0)


def xmp_orientation(xmp: bytes) -> int:
    """Read the orientation from XMP data; 1 if there is none."""
    match = XMP_ORIENTATION.search(xmp)
    return int(match[1]) if match else 1


def _valid(value: object) -> int:
    return value if isinstance(value, int) and value in TRANSPOSE else 1
