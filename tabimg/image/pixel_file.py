"""Many images of one shape in one file, written piece by piece and read through a memory map.

Nothing is ever written through a map: on a full disk that would kill the process.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from tabimg.files import allocate, writing_to

# numpy pads headers to multiples of 64 bytes, and those of images take more than one.
HEADER_BYTES = 128
PREFIX = "tabimg-images-"
Shape = tuple[int, ...]
ADVICE = "set cache_dir, or the environment variable TMPDIR, to a folder on a larger disk"


class ForeignFileError(ValueError):
    """A file does not hold what was written here."""


def write_pixels(
    file: IO[bytes],
    images: Iterable[np.ndarray],
    n_most: int,
    shape: Shape,
    folder: str | os.PathLike[str],
    advice: str = ADVICE,
) -> int:
    """Write images as one ``.npy`` file.

    Parameters
    ----------
    file : binary file
        New, empty, and open for reading and writing without a buffer: buffered data would only be
        written, and fail, when the file is closed.
    images : iterable of ndarray of this shape, dtype uint8
        Pixels, or the bytes of what was made of them.
    n_most : int
        Upper bound on their number: space is reserved before the first is drawn.
    shape : tuple of int
        Of one image, such as (height, width, 3).
    folder, advice
        See :func:`~tabimg.files.writing_to`.

    Returns
    -------
    int
        Number of images.

    Raises
    ------
    OSError
        If the disk is full.
    """
    n_bytes = HEADER_BYTES + n_most * math.prod(shape)
    with writing_to(folder, n_bytes, advice):
        allocate(file, n_bytes)
        file.seek(HEADER_BYTES)
    n_images = 0
    for image in images:
        with writing_to(folder, n_bytes, advice):
            _write_all(file, np.ascontiguousarray(image).data.cast("B"))
        n_images += 1
    with writing_to(folder, n_bytes, advice):
        file.truncate()
        file.seek(0)
        _write_all(file, memoryview(_header(n_images, shape)))
    return n_images


def map_pixels(file: IO[bytes], shape: Shape) -> np.ndarray:
    """Map what :func:`write_pixels` wrote, if the file holds all of it.

    Parameters
    ----------
    file : binary file
    shape : tuple of int
        Of one image.

    Returns
    -------
    ndarray of shape (n, *shape), dtype uint8
        Read-only.

    Raises
    ------
    ForeignFileError
        If it holds something else: reading a map beyond the file's end would kill the process.
    """
    file.seek(0)
    held = read_array_header(file, np.dtype(np.uint8))
    if len(held) != 1 + len(shape) or held[1:] != shape:
        raise ForeignFileError(f"it holds no photos of the shape {shape}")
    n_bytes = os.fstat(file.fileno()).st_size
    if file.tell() != HEADER_BYTES or n_bytes != HEADER_BYTES + math.prod(held):
        raise ForeignFileError(
            f"its {n_bytes} bytes do not match the {held[0]} photos it claims to hold"
        )
    if not held[0]:
        return np.empty(held, dtype=np.uint8)
    return np.memmap(file, dtype=np.uint8, mode="r", offset=HEADER_BYTES, shape=held)


def write_temporary(
    images: Iterable[np.ndarray], n_most: int, shape: Shape, folder: str | os.PathLike[str] | None
) -> np.ndarray:
    """Write images to a file without a name, which disappears with its map, even after a kill.

    Parameters
    ----------
    images, n_most, shape
        See :func:`write_pixels`.
    folder : str or Path, or None
        A folder on the disk to use; None is the system's temporary folder.

    Returns
    -------
    ndarray of shape (n, *shape), dtype uint8
        Read-only.
    """
    place = Path(tempfile.gettempdir() if folder is None else folder)
    _remove_earlier_folders(place)
    with _unnamed_file(place) as file:
        write_pixels(file, images, n_most, shape, place)
        return map_pixels(file, shape)


def read_array_header(file: IO[bytes], dtype: np.dtype) -> tuple[int, ...]:
    """Read the shape of a ``.npy`` file, which must be in C order and of one type.

    Raises
    ------
    ForeignFileError, ValueError
        If it is anything else.
    """
    if np.lib.format.read_magic(file) != (1, 0):
        raise ForeignFileError("it is an array of another format")
    shape, fortran_order, written = np.lib.format.read_array_header_1_0(file)
    if fortran_order or written != dtype:
        raise ForeignFileError("it is an array of another type")
    return shape


def _unnamed_file(folder: Path) -> IO[bytes]:
    with writing_to(folder, HEADER_BYTES, ADVICE):
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(buffering=0, prefix=PREFIX, dir=folder)


def _remove_earlier_folders(folder: Path) -> None:
    """Remove what killed runs of tabimg 0.1 left; one that still runs keeps its mapped file."""
    for left in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if not left.is_symlink() and {path.name for path in left.iterdir()} <= {"pixels.npy"}:
                shutil.rmtree(left)


def _write_all(file: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


def _header(n_images: int, shape: Shape) -> bytes:
    described = {"descr": "|u1", "fortran_order": False, "shape": (n_images, *shape)}
    with io.BytesIO() as file:
        np.lib.format.write_array_header_1_0(file, described)
        header = file.getvalue()
    assert len(header) == HEADER_BYTES
    return header
