"""How photos are read for a network: what its size, patience and places are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tabimg.image.augment import stored_size
from tabimg.image.cache import ImageCache, build_image_cache
from tabimg.image.sources import RowImages


@dataclass(frozen=True)
class PhotoOptions:
    """How photos are read.

    Parameters
    ----------
    image_size : int
        Height and width in pixels that the network sees.
    loader, max_pixels, on_bad_image, n_jobs, cache_dir
        As in `build_image_cache`.
    """

    image_size: int
    loader: Callable[[str], Any] | None
    max_pixels: int
    on_bad_image: str
    n_jobs: int | None
    cache_dir: str | os.PathLike[str] | None

    def decode(self, images: RowImages) -> tuple[ImageCache, RowImages]:
        """Decode photos; see `build_image_cache`."""
        return build_image_cache(
            images,
            stored_size(self.image_size),
            loader=self.loader,
            max_pixels=self.max_pixels,
            on_bad_image=self.on_bad_image,
            n_jobs=self.n_jobs,
            cache_dir=self.cache_dir,
        )
