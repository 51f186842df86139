"""Decode every image once and hold the pixels, in memory or in a memory-mapped file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn, Protocol

import numpy as np

from tabimg.image.decoding import POLICIES, Decoder, Progress, report_failures
from tabimg.image.fingerprint import image_fingerprint, path_bytes, source_key
from tabimg.image.missing import look_for_files
from tabimg.image.pixel_file import Shape, write_temporary
from tabimg.image.reader import ImageLoader, ImageReadError
from tabimg.image.refusal import MAX_PIXELS
from tabimg.image.shard_folder import ShardFolder
from tabimg.image.shard_search import Place, Wanted
from tabimg.image.sources import RowImages
from tabimg.messages import warn

__all__ = ["ImageCache", "build_image_cache", "image_fingerprint"]

MEMORY_LIMIT = 2**29
MAX_PROBLEMS_LISTED = 5


class ImageMaker(Protocol):
    """Makes an array of bytes of each image: its pixels, or what a network sees in them."""

    on_bad_image: str

    @property
    def shape(self) -> Shape:
        """Shape of what is made of one image."""

    @property
    def failures(self) -> Mapping[int, ImageReadError]:
        """The images that could not be read, by id."""

    def folder_name(self) -> str | None:
        """Name what is made, and all that decides how; None if it cannot be kept for others."""

    def decode(self, ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield ids and what was made, dtype uint8, of the images that can be read."""


class ImageCache:
    """Decoded images, or what else was made of each. Made by :func:`build_image_cache`.

    It cannot be pickled, since it may hold memory maps. Use it as a context manager, or call
    :meth:`close`, to release the memory or the temporary file at once.

    Parameters
    ----------
    stores : list of ndarray of shape (k, size, size, 3), or another shape, dtype uint8
        Images, in memory or mapped. At least one, which may be empty.
    store, row : ndarray of shape (u,), dtype int64
        Where image i of :class:`RowImages` lies: row ``row[i]`` of ``stores[store[i]]``. -1 if it
        was not or could not be decoded.

    Attributes
    ----------
    readable : ndarray of shape (u,), dtype bool
        Which images are held.
    """

    def __init__(self, stores: list[np.ndarray], store: np.ndarray, row: np.ndarray) -> None:
        self.readable = row >= 0
        self._stores = stores
        self._store = store
        self._row = row

    def __len__(self) -> int:
        return len(self._row)

    def __enter__(self) -> ImageCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an ImageCache cannot be pickled or copied; build it again where needed")

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self._stores[0].shape[1])

    @property
    def pixels(self) -> np.ndarray:
        """All images, shape (u, size, size, 3), dtype uint8; zeros where one is missing.

        A copy, unless they lie in one place and in this order.
        """
        if len(self._stores) == 1 and np.array_equal(self._row, np.arange(len(self._stores[0]))):
            return self._stores[0]
        pixels = np.zeros((len(self), *self._stores[0].shape[1:]), dtype=np.uint8)
        pixels[self.readable] = self.gather(np.flatnonzero(self.readable))
        return pixels

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
            raise IndexError("the cache does not hold an image that was asked for")
        batch = np.empty((len(ids), *self._stores[0].shape[1:]), dtype=np.uint8)
        if not len(ids):
            return batch
        if len(self._stores) == 1:
            # The ids are checked above; the default mode would copy everything twice.
            return np.take(self._stores[0], self._row[ids], axis=0, out=batch, mode="clip")
        # One by one: numpy would copy what it takes from several arrays twice. Plain views, since
        # those of memory maps are slow to make.
        stores = [held.view(np.ndarray) for held in self._stores]
        places = zip(self._store[ids].tolist(), self._row[ids].tolist(), strict=True)
        for image, (store, row) in zip(batch, places, strict=True):
            image[...] = stores[store][row]
        return batch

    def close(self) -> None:
        """Release the images. Closing twice does no harm."""
        self._stores = [self._stores[0][:0].copy()]
        self._store, self._row, self.readable = self._store[:0], self._row[:0], self.readable[:0]


def build_image_cache(
    images: RowImages,
    size: int,
    *,
    loader: ImageLoader | None = None,
    max_pixels: int = MAX_PIXELS,
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
    max_pixels : int, default=100_000_000
        See :func:`~tabimg.image.reader.read_image`.
    on_bad_image : {"raise", "warn", "skip"}, default="raise"
        What to do with an image that cannot be read: stop, or drop it from its rows with one
        warning for all, or drop it silently. If no image at all can be read, it is an error.
    n_jobs : int, default=None
        Number of decode threads: None is 1 (unless in a ``joblib.parallel_config``), -1 all
        processors.
    cache_dir : str or Path, default=None
        Folder that keeps the decoded images for later runs, each once. A file whose path, size or
        modification time changed is decoded again, and so is everything for another ``size`` or
        ``loader``. PIL images are not kept, nor are the images of a loader that is neither a plain
        function nor picklable. None keeps nothing. Runs may share the folder; no other program may
        change a file there while it is mapped.
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
        If an image cannot be read under "raise", or none at all; names the rows, the path and the
        cause. Missing files are found before the first is opened, unless there is a ``loader``,
        which may open something other than files.
    OSError
        If the disk is full, or ``cache_dir`` cannot be written to. The folder stays as it was.
    ValueError
        If a parameter is out of range, or the images are embedding vectors.
    """
    decoder = make_decoder(images, size, loader, max_pixels, on_bad_image, n_jobs, progress)
    return hold(images, decoder, cache_dir, memory_limit)


def hold(
    images: RowImages,
    maker: ImageMaker,
    cache_dir: str | os.PathLike[str] | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> tuple[ImageCache, RowImages]:
    """Hold what is made of each image that a row lists; see `build_image_cache`."""
    cache, problems = _build(images, maker, cache_dir, memory_limit)
    if problems:
        more = len(problems) - MAX_PROBLEMS_LISTED
        listed = problems[:MAX_PROBLEMS_LISTED] + ([f"and {more} more"] if more > 0 else [])
        warn(
            "not everything in cache_dir can be used; photos that are not found there are "
            "decoded again:\n" + "\n".join(listed)
        )
    if maker.failures:
        report_failures(maker.failures, maker.on_bad_image, n_used=len(np.unique(images.ids)))
    return cache, images.drop_sources(maker.failures)


def make_decoder(
    images: RowImages,
    size: int,
    loader: ImageLoader | None,
    max_pixels: int,
    on_bad_image: str,
    n_jobs: int | None,
    progress: Progress | None = None,
) -> Decoder:
    """Check the parameters of `build_image_cache`, and look for missing files."""
    if on_bad_image not in POLICIES:
        raise ValueError(f"on_bad_image must be one of {POLICIES}, got {on_bad_image!r}")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if images.vectors is not None:
        raise ValueError("the image cells are embedding vectors: there is nothing to decode")
    missing = look_for_files(images, on_bad_image) if loader is None else {}
    return Decoder(images, size, loader, max_pixels, on_bad_image, n_jobs, progress, missing)


def _build(
    images: RowImages,
    maker: ImageMaker,
    cache_dir: str | os.PathLike[str] | None,
    memory_limit: int,
) -> tuple[ImageCache, list[str]]:
    """Build a cache; return also what to report about `cache_dir`."""
    used = np.setdiff1d(images.ids, list(maker.failures)).tolist()
    parent = None if cache_dir is None else os.path.expanduser(cache_dir)
    places, problems = _find_kept(images, used, maker, parent)
    rest = [index for index in used if index not in places and index not in maker.failures]
    if len(used) * math.prod(maker.shape) <= memory_limit:
        return _in_memory(len(images.sources), places, maker, rest), problems
    if rest:
        made: list[int] = []
        noted = _noted(maker.decode(rest), made)
        held = write_temporary(noted, len(rest), maker.shape, parent)
        places |= {index: Place(held, row) for row, index in enumerate(made)}
    return _mapped(len(images.sources), places, maker.shape), problems


def _find_kept(
    images: RowImages, used: list[int], maker: ImageMaker, cache_dir: str | None
) -> tuple[dict[int, Place], list[str]]:
    """Find images in `cache_dir`, and add those that can be kept and are not there yet."""
    name = maker.folder_name()
    sources = {index: images.sources[index] for index in used}
    if cache_dir is None or name is None:
        return {}, []
    if not all(isinstance(source, (str, bytes)) for source in sources.values()):
        return {}, []
    wanted = {
        index: Wanted(source_key(source), path_bytes(source) if isinstance(source, str) else b"")
        for index, source in sources.items()
    }
    holdings = ShardFolder(cache_dir, name, maker.shape).obtain(wanted, maker.decode)
    return holdings.places, holdings.problems


def _in_memory(
    n_images: int, places: dict[int, Place], maker: ImageMaker, rest: list[int]
) -> ImageCache:
    pixels = np.zeros((n_images, *maker.shape), dtype=np.uint8)
    row = np.full(n_images, -1)
    for index, (held, place) in places.items():
        pixels[index] = held[place]
        row[index] = index
    for index, image in maker.decode(rest):
        pixels[index] = image
        row[index] = index
    return ImageCache([pixels], np.zeros_like(row), row)


def _mapped(n_images: int, places: dict[int, Place], shape: Shape) -> ImageCache:
    """Leave images where they lie."""
    stores = list({id(held): held for held, _ in places.values()}.values())
    numbers = {id(held): number for number, held in enumerate(stores)}
    store, row = np.full((2, n_images), -1)
    for index, (held, place) in places.items():
        store[index], row[index] = numbers[id(held)], place
    return ImageCache(stores or [np.zeros((0, *shape), dtype=np.uint8)], store, row)


def _noted(pairs: Iterator[tuple[int, np.ndarray]], ids: list[int]) -> Iterator[np.ndarray]:
    for index, image in pairs:
        ids.append(index)
        yield image
