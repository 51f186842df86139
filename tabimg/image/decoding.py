"""Decode many images with threads, under the policy for images that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np

from tabimg.image.fingerprint import loader_key
from tabimg.image.reader import ImageLoader, ImageReadError, read_image
from tabimg.image.sources import RowImages
from tabimg.messages import warn

POLICIES = ("raise", "warn", "skip")
# Images passed to the decode threads at once: bounds the queue, the delay of a stop and the memory.
BLOCK = 256
BLOCK_BYTES = 2**26
MAX_IMAGES_LISTED = 20
# Of kept images. 2: an index has paths, and a checksum covers what its pixels belong to.
FORMAT_VERSION = 2


class NoReadableImageError(ImageReadError):
    """None of several images can be read; ``cause`` is the whole message."""

    def __str__(self) -> str:
        return self.cause


Progress = Callable[[int, int], None]


class Decoder:
    """Reads images with threads and collects what fails.

    Parameters
    ----------
    images, size, loader, max_pixels, on_bad_image, n_jobs, progress
        See :func:`~tabimg.image.cache.build_image_cache`.
    failures : dict of int to ImageReadError
        By id: images already known to be unreadable.

    Attributes
    ----------
    failures
        Including those that failed since; under "raise" there are none.
    """

    def __init__(
        self,
        images: RowImages,
        size: int,
        loader: ImageLoader | None,
        max_pixels: int,
        on_bad_image: str,
        n_jobs: int | None,
        progress: Progress | None,
        failures: dict[int, ImageReadError] | None = None,
    ) -> None:
        self.images = images
        self.size = size
        self.loader = loader
        self.max_pixels = max_pixels
        self.on_bad_image = on_bad_image
        self.n_threads = joblib.effective_n_jobs(n_jobs)
        self.progress = progress
        self.failures = {} if failures is None else failures

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a decoded image."""
        return (self.size, self.size, 3)

    def folder_name(self) -> str | None:
        """Name the size and the loader; None for a loader that other processes cannot name."""
        key = loader_key(self.loader)
        return None if key is None else f"images-v{FORMAT_VERSION}-{self.size}px-{key.hex()}"

    def decode(self, ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Decode images one after the other.

        Parameters
        ----------
        ids : sequence of int

        Yields
        ------
        id : int
            Those that could be read, in their order.
        image : ndarray of shape (size, size, 3), dtype uint8
            Contiguous.

        Raises
        ------
        ImageReadError
            Under "raise".
        """
        for done, (index, result) in enumerate(self._results(ids), start=1):
            if isinstance(result, ImageReadError):
                self._note_failure(index, result)
            else:
                yield index, result
            if self.progress is not None:
                self.progress(done, len(ids))

    def _read(self, index: int) -> np.ndarray | ImageReadError:
        try:
            return read_image(self.images.sources[index], self.size, self.loader, self.max_pixels)
        except ImageReadError as error:
            return error

    def _results(self, ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray | ImageReadError]]:
        if self.n_threads == 1:
            yield from zip(ids, map(self._read, ids), strict=True)
            return
        length = max(self.n_threads, min(BLOCK, BLOCK_BYTES // (3 * self.size**2)))
        with ThreadPoolExecutor(self.n_threads, thread_name_prefix="tabimg-decode") as pool:
            for start in range(0, len(ids), length):
                block = ids[start : start + length]
                yield from zip(block, pool.map(self._read, block), strict=True)

    def _note_failure(self, index: int, error: ImageReadError) -> None:
        named = self.images.error_of(index, error.cause)
        if self.on_bad_image == "raise":
            raise named from error.__cause__
        self.failures[index] = named


def report_failures(failures: Mapping[int, ImageReadError], on_bad_image: str, n_used: int) -> None:
    """Warn once, under "warn", about every image that could not be read.

    Raises
    ------
    NoReadableImageError
        If no image could be read: that is a wrong folder or format, not a bad file.
    """
    in_order = [failures[index] for index in sorted(failures)]
    lines = [f"{each.where}: {each.source}: {each.cause}" for each in in_order[:MAX_IMAGES_LISTED]]
    if len(failures) > len(lines):
        lines.append(f"and {len(failures) - len(lines)} more")
    listed = "\n".join(lines)
    if len(failures) == n_used:
        first = in_order[0]
        raise NoReadableImageError(
            f"none of the {n_used} photos can be read, which is an error under any "
            f"on_bad_image:\n{listed}",
            first.source,
            first.rows,
            first.where,
        )
    if on_bad_image == "warn":
        warn(
            f"{len(failures)} of {n_used} images could not be read; their rows go on without "
            f"them:\n{listed}"
        )
