"""Decode every image once and hold the pixels, in memory or in a memory-mapped file."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import NoReturn

import numpy as np

from tabimg.image.decoding import POLICIES, Decoder, Progress, report_failures
from tabimg.image.fingerprint import image_fingerprint, loader_key, source_key
from tabimg.image.reader import ImageLoader
from tabimg.image.shards import NO_KEY, ShardFolder
from tabimg.image.sources import RowImages

__all__ = ["ImageCache", "build_image_cache", "image_fingerprint"]

MEMORY_LIMIT = 2**29


class ImageCache:
    """Decoded images. Made by :func:`build_image_cache`.

    Never pickles: it may stand on a memory map. Use it as a context manager, or call
    :meth:`close`, to let the memory or the temporary file go at once.

    Parameters
    ----------
    pixels : ndarray of shape (u, size, size, 3), dtype uint8
        Position i holds image i of :class:`RowImages`.
    readable : ndarray of shape (u,), dtype bool
        Which positions hold an image. The others were never decoded or could not be.
    temporary_folder : Path, default=None
        Removed when the cache is closed or collected.

    Attributes
    ----------
    pixels, readable
        As given.
    """

    def __init__(
        self, pixels: np.ndarray, readable: np.ndarray, temporary_folder: Path | None = None
    ) -> None:
        self.pixels = pixels
        self.readable = readable
        self._finalizer = (
            weakref.finalize(self, _remove_own_folder, temporary_folder, os.getpid())
            if temporary_folder is not None
            else None
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __enter__(self) -> ImageCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an ImageCache cannot be pickled or copied; build it again where needed")

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.pixels.shape[1])

    def gather(self, ids: np.ndarray) -> np.ndarray:
        """Copy images into one contiguous batch.

        Parameters
        ----------
        ids : ndarray of shape (B,), dtype int64

        Returns
        -------
        ndarray of shape (B, size, size, 3), dtype uint8

        Raises
        ------
        IndexError
            If an id is out of range, or its image was not decoded.
        """
        ids = np.asarray(ids, dtype=np.int64)
        if len(ids) and (ids.min() < 0 or not self.readable[ids].all()):
            raise IndexError("an image was asked for that the cache does not hold")
        batch = np.empty((len(ids), *self.pixels.shape[1:]), dtype=np.uint8)
        # The ids are checked above; the default mode would copy everything twice.
        return np.take(self.pixels, ids, axis=0, out=batch, mode="clip") if len(ids) else batch

    def close(self) -> None:
        """Let the pixels go and remove the temporary file. Closing twice does no harm."""
        self.pixels = self.pixels[:0].copy()
        self.readable = self.readable[:0]
        if self._finalizer is not None:
            self._finalizer()


def build_image_cache(
    images: RowImages,
    size: int,
    *,
    loader: ImageLoader | None = None,
    on_bad_image: str = "raise",
    n_jobs: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress | None = None,
) -> tuple[ImageCache, RowImages]:
    """Decode each image that a row lists, once.

    Parameters
    ----------
    images : RowImages
        Images, not embedding vectors.
    size : int
        Height and width of the decoded images in pixels, at least 1.
    loader : callable, default=None
        See :func:`~tabimg.image.reader.read_image`.
    on_bad_image : {"raise", "warn", "skip"}, default="raise"
        What to do with an image that cannot be read: stop, or take it away from its rows and say so
        in one warning, or take it away silently. When nothing at all could be read, "skip"
        warns too.
    n_jobs : int, default=None
        Number of decode threads: None is 1 (unless in a ``joblib.parallel_config``), -1 all
        processors.
    cache_dir : str or Path, default=None
        Folder that keeps the decoded images for later runs. A file whose path, size or
        modification time changed is decoded again, and so is everything for another ``size`` or
        ``loader``. PIL images, and loaders that are no plain function and cannot be
        pickled, are not kept. None keeps nothing.
    memory_limit : int, default=2**29
        Bytes. More pixels than this go to a memory-mapped file: in ``cache_dir``, or in the
        system's temporary folder.
    progress : callable, default=None
        ``progress(done, total)`` is called from the calling thread as images are decoded.

    Returns
    -------
    cache : ImageCache
    images : RowImages
        Without the images that could not be read; ids keep their meaning.

    Raises
    ------
    ImageReadError
        If an image cannot be read under "raise"; names the rows, the path and the cause.
    ValueError
        If a parameter is out of range, or the images are embedding vectors.
    """
    if on_bad_image not in POLICIES:
        raise ValueError(f"on_bad_image must be one of {POLICIES}, got {on_bad_image!r}")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if images.vectors is not None:
        raise ValueError("the image cells are embedding vectors: there is nothing to decode")
    decoder = Decoder(images, size, loader, on_bad_image, n_jobs, progress)
    cache = _build(images, decoder, cache_dir, memory_limit)
    if decoder.failures:
        report_failures(decoder.failures, on_bad_image, n_used=len(np.unique(images.ids)))
    return cache, images.drop_sources(decoder.failures)


def _build(
    images: RowImages,
    decoder: Decoder,
    cache_dir: str | os.PathLike[str] | None,
    memory_limit: int,
) -> ImageCache:
    shape = (len(images.sources), decoder.size, decoder.size, 3)
    fits_memory = int(np.prod(shape, dtype=np.int64)) <= memory_limit
    used = np.unique(images.ids)
    folder = _shard_folder(images, decoder, cache_dir)
    if folder is None:
        pixels, temporary = _empty_pixels(shape, fits_memory, cache_dir)
        cache = ImageCache(pixels, np.zeros(len(pixels), dtype=bool), temporary)
        cache.readable[decoder.decode_into(pixels, used)] = True
        return cache
    keys = [source_key(images.sources[index]) for index in used.tolist()]
    if fits_memory:
        return _build_in_memory(np.zeros(shape, dtype=np.uint8), used, keys, folder, decoder)
    return _build_as_shard(shape, used, keys, folder, decoder)


def _shard_folder(
    images: RowImages, decoder: Decoder, cache_dir: str | os.PathLike[str] | None
) -> ShardFolder | None:
    key = loader_key(decoder.loader)
    keepable = key is not None and all(isinstance(s, (str, bytes)) for s in images.sources)
    if cache_dir is None or key is None or not keepable:
        return None
    return ShardFolder(os.path.expanduser(cache_dir), decoder.size, key)


def _empty_pixels(
    shape: tuple[int, ...], fits_memory: bool, cache_dir: str | os.PathLike[str] | None
) -> tuple[np.ndarray, Path | None]:
    if fits_memory:
        return np.zeros(shape, dtype=np.uint8), None
    parent = None if cache_dir is None else os.path.expanduser(cache_dir)
    if parent is not None:
        os.makedirs(parent, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="tabimg-images-", dir=parent))
    return _new_map(folder / "pixels.npy", shape), folder


def _new_map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _build_in_memory(
    pixels: np.ndarray,
    used: np.ndarray,
    keys: list[bytes],
    folder: ShardFolder,
    decoder: Decoder,
) -> ImageCache:
    cache = ImageCache(pixels, np.zeros(len(pixels), dtype=bool))
    found = folder.fill(pixels, used, keys)
    decoded = decoder.decode_into(pixels, used[~found])
    cache.readable[used[found]] = True
    cache.readable[decoded] = True
    if len(decoded):
        key_of = dict(zip(used.tolist(), keys, strict=True))
        folder.add(pixels[decoded], [key_of[index] for index in decoded.tolist()])
    return cache


def _build_as_shard(
    shape: tuple[int, ...],
    used: np.ndarray,
    keys: list[bytes],
    folder: ShardFolder,
    decoder: Decoder,
) -> ImageCache:
    """Let the memory-mapped file itself be the shard: nothing is held twice on disk."""
    wanted = [NO_KEY] * shape[0]
    for index, key in zip(used.tolist(), keys, strict=True):
        wanted[index] = key
    whole = folder.find_whole(wanted)
    if whole is not None:
        kept, held = whole
        # What was unreadable before most likely still is: the policy has to see it again.
        doubtful = used[~held[used]]
        if len(decoder.decode_into(np.zeros(shape, dtype=np.uint8), doubtful)) == 0:
            return ImageCache(kept, held)
    path = folder.new_pixels_path()
    try:
        pixels = _new_map(path, shape)
        readable = np.zeros(len(pixels), dtype=bool)
        found = folder.fill(pixels, used, keys)
        readable[used[found]] = True
        readable[decoder.decode_into(pixels, used[~found])] = True
        folder.publish(
            path, pixels, [wanted[i] if readable[i] else NO_KEY for i in range(len(wanted))]
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return ImageCache(pixels, readable)


def _remove_own_folder(folder: Path, owner: int) -> None:
    # A forked child holds a copy of the cache, but the folder is its parent's.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
