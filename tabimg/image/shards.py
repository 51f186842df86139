"""Keep decoded images in a folder, so that later runs need not decode them again.

A shard is two files: ``<name>.npy`` with the pixels, and ``<name>.npz`` with the key and the
checksum of each image in it. The second is written last and renamed into place, so a shard is
either whole or not there; several processes may add shards at once. The folder may be deleted at
any time when no run uses it.
"""

from __future__ import annotations

import os
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tabimg.image.fingerprint import KEY_BYTES

FORMAT_VERSION = 1
# Stands where a shard holds no image; no image has this key.
NO_KEY = bytes(KEY_BYTES)
# Left behind by a run that was killed while it wrote, or by a full disk.
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class _Shard:
    pixels: np.ndarray
    keys: np.ndarray
    checksums: np.ndarray

    def row_is_sound(self, row: int) -> bool:
        return zlib.crc32(self.pixels[row]) == int(self.checksums[row])


class ShardFolder:
    """The shards of one stored size and one loader.

    Parameters
    ----------
    cache_dir : str or Path
        Folder for shards of all sizes and loaders; made if it is missing.
    size : int
        Height and width of the images in pixels.
    loader_key : bytes
        See :func:`~tabimg.image.fingerprint.loader_key`.
    """

    def __init__(self, cache_dir: str | os.PathLike[str], size: int, loader_key: bytes) -> None:
        name = f"images-v{FORMAT_VERSION}-{size}px-{loader_key.hex()}"
        self.folder = Path(cache_dir) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._image_shape = (size, size, 3)

    def new_pixels_path(self) -> Path:
        """Name a file, not there yet, for the pixels of a new shard."""
        return self.folder / f"{uuid.uuid4().hex}.npy"

    def find_whole(self, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray] | None:
        """Map the shard that holds these images in this order, if there is one.

        Parameters
        ----------
        keys : sequence of bytes
            ``NO_KEY`` where no image is wanted.

        Returns
        -------
        pixels : ndarray of shape (len(keys), size, size, 3), dtype uint8
            A read-only memory map.
        held : ndarray of shape (len(keys),), dtype bool
            Where there is an image. The others could not be read when the shard was made.
        """
        wanted = _key_array(keys)
        for shard in self._shards():
            if shard.keys.shape != wanted.shape:
                continue
            held = np.any(shard.keys != 0, axis=1)
            same = np.array_equal(shard.keys[held], wanted[held])
            if same and all(shard.row_is_sound(row) for row in np.flatnonzero(held).tolist()):
                return shard.pixels, held
        return None

    def fill(self, pixels: np.ndarray, ids: np.ndarray, keys: Sequence[bytes]) -> np.ndarray:
        """Copy the images that are kept here.

        Parameters
        ----------
        pixels : ndarray of shape (u, size, size, 3), dtype uint8
            Written to, at ``ids``.
        ids : ndarray of shape (k,), dtype int64
        keys : sequence of bytes
            Key of each of ``ids``.

        Returns
        -------
        ndarray of shape (k,), dtype bool
            Which of ``ids`` were found. A damaged image counts as not found.
        """
        found = np.zeros(len(ids), dtype=bool)
        wanted = {key: place for place, key in enumerate(keys)}
        for shard in self._shards():
            for row, key in enumerate(map(bytes, shard.keys)):
                place = wanted.get(key)
                if place is not None and not found[place] and shard.row_is_sound(row):
                    pixels[ids[place]] = shard.pixels[row]
                    found[place] = True
        return found

    def add(self, pixels: np.ndarray, keys: Sequence[bytes]) -> None:
        """Keep images that lie in memory.

        Parameters
        ----------
        pixels : ndarray of shape (k, size, size, 3), dtype uint8
        keys : sequence of bytes
            One for each image.
        """
        path = self.new_pixels_path()
        try:
            np.save(path, pixels, allow_pickle=False)
            self.publish(path, pixels, keys)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def publish(self, path: Path, pixels: np.ndarray, keys: Sequence[bytes]) -> None:
        """Let other runs see a pixels file that is completely written.

        Parameters
        ----------
        path : Path
            From :meth:`new_pixels_path`.
        pixels : ndarray of shape (k, size, size, 3), dtype uint8
            What the file holds.
        keys : sequence of bytes
            One for each image.
        """
        checksums = np.array([zlib.crc32(image) for image in pixels], dtype=np.uint32)
        temporary = path.with_suffix(".tmp")
        with open(temporary, "wb") as file:
            np.savez(file, keys=_key_array(keys), checksums=checksums)
        os.replace(temporary, path.with_suffix(".npz"))

    def _shards(self) -> Iterator[_Shard]:
        for index in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(index, allow_pickle=False) as held:
                    keys, checksums = held["keys"], held["checksums"]
                pixels = np.load(index.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            except UNREADABLE:
                continue
            expected = (len(keys), *self._image_shape)
            if (
                pixels.shape == expected
                and pixels.dtype == np.uint8
                and keys.shape == (len(keys), KEY_BYTES)
                and keys.dtype == np.uint8
                and checksums.shape == (len(keys),)
            ):
                yield _Shard(pixels.view(np.ndarray), keys, checksums)


def _key_array(keys: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)
