"""Recognise file paths that reached the table by mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import islice

import numpy as np
import pandas as pd

# Operating systems take no longer paths; a longer cell is a report, or an encoded photo.
LONGEST_PATH = 4096
# Each pattern is tried at one position, or fails at once at most positions: the work grows
# linearly with the length of a cell.
_IMAGE_EXTENSIONS = (
    r"avif|bmp|dcm|gif|heic|heif|jfif|jp2|jpe|jpeg|jpg|"
    r"nii|nii\.gz|pgm|png|pnm|ppm|svs|tga|tiff?|webp"
)
_IMAGE_SUFFIX = re.compile(rf"\.(?:{_IMAGE_EXTENSIONS})$", re.IGNORECASE)
_LETTER = re.compile(r"[^.\s]")
# Photos on the web or in a bucket, and photos written out as text.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://\S+", re.IGNORECASE)
_IMAGE_IN_ADDRESS = re.compile(rf"\.(?:{_IMAGE_EXTENSIONS})(?:[?#]|$)", re.IGNORECASE)
_DATA_URI = re.compile(r"data:image/", re.IGNORECASE)
# An extension begins with a letter: "1/2.5" is not a path.
_FILE_IN_FOLDER = re.compile(r"[\\/][^\\/]*\.[A-Za-z][A-Za-z0-9]{0,4}$")
_LOOKED_AT = 1000


def looks_like_file_paths(values: Iterable[object]) -> bool:
    """Return whether a column seems to hold file paths.

    Used to point a user at ``image_column=`` or ``image_paths=``; it never changes what a column
    is.

    Parameters
    ----------
    values : iterable of object
        The cells of one column (or of ``y``). Missing cells do not count; of the others the first
        1,000 are checked.

    Returns
    -------
    bool
        True if more than half of the cells are path objects, or strings of at most 4,096
        characters that end in the extension of an image file, or that hold a folder separator and
        end in any extension, or that are the address of an image; data URIs may have any length.
    """
    observed = list(islice((v for v in values if not _is_missing(v)), _LOOKED_AT))
    paths = sum(_is_path(value) for value in observed)
    return 2 * paths > len(observed)


def _is_missing(value: object) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return (
        value is None or value is pd.NA or value is pd.NaT or (isinstance(value, str) and not value)
    )


def _is_path(value: object) -> bool:
    if not isinstance(value, str):
        return isinstance(value, os.PathLike)
    if _DATA_URI.match(value):
        return True
    if len(value) > LONGEST_PATH:
        return False
    return _is_image_file(value.rstrip()) or bool(_FILE_IN_FOLDER.search(value))


def _is_image_file(text: str) -> bool:
    if _ADDRESS.fullmatch(text):
        return _IMAGE_IN_ADDRESS.search(text) is not None
    suffix = _IMAGE_SUFFIX.search(text)
    return suffix is not None and _LETTER.search(text, 0, suffix.start()) is not None
