"""Decode many images with threads, under the policy for images that cannot be read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np

from tabimg.image.reader import ImageLoader, ImageReadError, describe_rows, read_image
from tabimg.image.sources import RowImages

POLICIES = ("raise", "warn", "skip")
# Images handed to the decode threads at once: bounds the queue and the delay of a stop.
BLOCK = 256
MAX_IMAGES_LISTED = 20

Progress = Callable[[int, int], None]


class Decoder:
    """Reads images into an array with threads and collects what fails.

    Parameters
    ----------
    images, size, loader, on_bad_image, n_jobs, progress
        See :func:`~tabimg.image.cache.build_image_cache`.

    Attributes
    ----------
    failures : dict of int to ImageReadError
        By id; stays empty under "raise".
    """

    def __init__(
        self,
        images: RowImages,
        size: int,
        loader: ImageLoader | None,
        on_bad_image: str,
        n_jobs: int | None,
        progress: Progress | None,
    ) -> None:
        self.images = images
        self.size = size
        self.loader = loader
        self.on_bad_image = on_bad_image
        self.n_threads = joblib.effective_n_jobs(n_jobs)
        self.progress = progress
        self.failures: dict[int, ImageReadError] = {}

    def decode_into(self, pixels: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Decode images.

        Parameters
        ----------
        pixels : ndarray of shape (u, size, size, 3), dtype uint8
            Written to, at the ids that could be read.
        ids : ndarray of shape (k,), dtype int64

        Returns
        -------
        ndarray, dtype int64
            The ids that could be read.

        Raises
        ------
        ImageReadError
            Under "raise".
        """

        def read(index: int) -> ImageReadError | None:
            try:
                pixels[index] = read_image(self.images.sources[index], self.size, self.loader)
            except ImageReadError as error:
                return error
            return None

        for done, (index, error) in enumerate(self._results(read, ids.tolist()), start=1):
            if error is not None:
                self._note_failure(index, error)
            if self.progress is not None:
                self.progress(done, len(ids))
        return np.array([i for i in ids.tolist() if i not in self.failures], dtype=np.int64)

    def _results(
        self, read: Callable[[int], ImageReadError | None], ids: list[int]
    ) -> Iterator[tuple[int, ImageReadError | None]]:
        if self.n_threads == 1:
            yield from ((index, read(index)) for index in ids)
            return
        with ThreadPoolExecutor(self.n_threads, thread_name_prefix="tabimg-decode") as pool:
            for start in range(0, len(ids), BLOCK):
                block = ids[start : start + BLOCK]
                yield from zip(block, pool.map(read, block), strict=True)

    def _note_failure(self, index: int, error: ImageReadError) -> None:
        rows = self.images.rows_of(index).tolist()
        named = ImageReadError(error.cause, error.source, rows)
        if self.on_bad_image == "raise":
            raise named from error.__cause__
        self.failures[index] = named


def report_failures(failures: dict[int, ImageReadError], on_bad_image: str, n_used: int) -> None:
    """Warn once about every image that could not be read.

    Under "skip" only when nothing at all could be read: that is a wrong folder, not a bad file.
    """
    if on_bad_image == "skip" and len(failures) < n_used:
        return
    listed = list(failures.values())[:MAX_IMAGES_LISTED]
    lines = [f"{describe_rows(error.rows)}: {error.source}: {error.cause}" for error in listed]
    if len(failures) > len(listed):
        lines.append(f"and {len(failures) - len(listed)} more")
    warnings.warn(
        f"{len(failures)} of {n_used} images could not be read; their rows go on without them:\n"
        + "\n".join(lines),
        UserWarning,
        stacklevel=3,
    )
