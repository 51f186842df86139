"""One shard: decoded images in a file, and an index of what they are.

``<name>.npy`` holds the pixels; ``<name>.npz`` holds the key, the path and the checksum of each
image. The index is written last and renamed into place, so a shard is either whole or not there.
A checksum covers the pixels together with what they belong to: those of another photo, size or
loader never pass for the right ones.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tabimg.files import open_regular, writing_to
from tabimg.image.fingerprint import KEY_BYTES
from tabimg.image.pixel_file import (
    ForeignFileError,
    Shape,
    map_pixels,
    read_array_header,
    write_pixels,
)

PIXELS, INDEX, UNFINISHED = ".npy", ".npz", ".tmp"
ADVICE = "give a cache_dir on a larger disk"


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded image and what it is.

    Parameters
    ----------
    key : bytes
        See :func:`~tabimg.image.fingerprint.source_key`.
    path : bytes
        Empty if the image does not come from a file.
    pixels : ndarray, dtype uint8
        Of one shape in a shard.
    """

    key: bytes
    path: bytes
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Shard:
    """A shard, opened for reading.

    Parameters
    ----------
    name : Path
        Path of its files, without suffix.
    scope : bytes
        What all images of its folder share: their shape and how they were made.
    pixels : ndarray of shape (n, ...), dtype uint8
        A read-only memory map.
    keys, paths : list of n bytes
    checksums : ndarray of shape (n,), dtype uint32
    """

    name: Path
    scope: bytes
    pixels: np.ndarray
    keys: list[bytes]
    paths: list[bytes]
    checksums: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def photo(self, row: int) -> Photo:
        """Return the image of a row."""
        return Photo(self.keys[row], self.paths[row], self.pixels[row])

    def is_sound(self, row: int) -> bool:
        """Return whether the pixels of a row are those that were written."""
        return _checksum(self.scope, self.photo(row)) == int(self.checksums[row])


def read_shard(name: Path, scope: bytes, shape: Shape) -> Shard:
    """Open a shard.

    Parameters
    ----------
    name, scope
        See :class:`Shard`.
    shape : tuple of int
        Of one image.

    Raises
    ------
    OSError
        If a file cannot be opened; ``FileNotFoundError`` if another run has just removed it.
    ForeignFileError
        If a file was not written here, or was changed since. Nothing is unpickled, and no more is
        read than the file really holds.
    """
    try:
        with open_regular(name.with_suffix(PIXELS)) as file:
            pixels = map_pixels(file, shape)
        with open_regular(name.with_suffix(INDEX)) as file:
            keys, paths, checksums = _read_index(file, len(pixels))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a file written by others can fail in any way
        raise ForeignFileError(str(error) or type(error).__name__) from error
    return Shard(name, scope, pixels, keys, paths, checksums)


def write_shard(
    name: Path, scope: bytes, shape: Shape, photos: Iterable[Photo], n_most: int
) -> Shard | None:
    """Write a new shard.

    Parameters
    ----------
    name, scope, shape
        See :func:`read_shard`. No file has this name yet.
    photos : iterable of Photo
    n_most : int
        Upper bound on their number: space is reserved before the first is drawn.

    Returns
    -------
    Shard or None
        None if there was no photo.

    Raises
    ------
    OSError
        If the disk is full. Nothing is left behind then.
    """
    keys: list[bytes] = []
    paths: list[bytes] = []
    checksums: list[int] = []

    def noted() -> Iterator[np.ndarray]:
        for photo in photos:
            keys.append(photo.key)
            paths.append(photo.path)
            checksums.append(_checksum(scope, photo))
            yield photo.pixels

    try:
        with _create(name.with_suffix(PIXELS)) as file:
            write_pixels(file, noted(), n_most, shape, name.parent, ADVICE)
            pixels = map_pixels(file, shape)
        if keys:
            _publish(name, keys, paths, np.array(checksums, dtype=np.uint32))
    except BaseException:
        remove_files(name)
        raise
    if not keys:
        remove_files(name)
        return None
    return Shard(name, scope, pixels, keys, paths, np.array(checksums, dtype=np.uint32))


def remove_files(name: Path) -> None:
    """Remove the files of a shard as far as possible; runs that have mapped them keep them."""
    # The index goes first: wherever this stops, no index is left without its pixels.
    for path in (name.with_suffix(suffix) for suffix in (INDEX, UNFINISHED, PIXELS)):
        with suppress(OSError):
            if stat.S_ISREG(path.lstat().st_mode):
                path.unlink()


def _create(path: Path) -> IO[bytes]:
    with writing_to(path.parent, 0, ADVICE):
        return open(path, "x+b", buffering=0)


def _publish(name: Path, keys: list[bytes], paths: list[bytes], checksums: np.ndarray) -> None:
    with io.BytesIO() as held:
        np.savez(
            held,
            keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES),
            paths=np.frombuffer(b"\0".join(paths), dtype=np.uint8),
            checksums=checksums,
        )
        data = held.getvalue()
    unfinished = name.with_suffix(UNFINISHED)
    # If the folder was cleared meanwhile there is nothing to publish; this run has its map.
    with suppress(FileNotFoundError), writing_to(name.parent, len(data), ADVICE):
        unfinished.write_bytes(data)
        os.replace(unfinished, name.with_suffix(INDEX))


def _read_index(file: IO[bytes], n_images: int) -> tuple[list[bytes], list[bytes], np.ndarray]:
    n_bytes = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        # Members are stored uncompressed: one that claims more than the file's size lies.
        if any(
            member.compress_type != zipfile.ZIP_STORED or member.file_size > n_bytes
            for member in archive.infolist()
        ):
            raise ForeignFileError("it is not an index of photos")
        keys = _read_member(archive, "keys", np.uint8)
        paths = _read_member(archive, "paths", np.uint8).tobytes().split(b"\0")
        checksums = _read_member(archive, "checksums", np.uint32)
    if keys.shape != (n_images, KEY_BYTES) or checksums.shape != (n_images,):
        raise ForeignFileError(f"its index is not one of {n_images} photos")
    if len(paths) != n_images:
        raise ForeignFileError(f"its index names {len(paths)} paths for {n_images} photos")
    return [key.tobytes() for key in keys], paths, checksums


def _read_member(archive: zipfile.ZipFile, name: str, dtype: Any) -> np.ndarray:
    data = archive.read(f"{name}.npy")
    with io.BytesIO(data) as file:
        shape = read_array_header(file, np.dtype(dtype))
        return np.frombuffer(data, dtype=dtype, offset=file.tell()).reshape(shape)


def _checksum(scope: bytes, photo: Photo) -> int:
    return zlib.crc32(np.ascontiguousarray(photo.pixels).data, zlib.crc32(scope + photo.key))
