"""How photos are read for a network: what its size, patience and places are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tabimg.image.augment import Augmentation, stored_size
from tabimg.image.cache import ImageCache, hold, make_decoder
from tabimg.image.decoding import Decoder
from tabimg.image.sources import RowImages


@dataclass(frozen=True)
class PhotoOptions:
    """How photos are read.

    Parameters
    ----------
    image_size : int
        Height and width in pixels that the network sees.
    augmentation : Augmentation
        What may be changed in them in training.
    loader, max_pixels, on_bad_image, n_jobs, cache_dir
        As in `build_image_cache`.
    """

    image_size: int
    augmentation: Augmentation
    loader: Callable[[str], Any] | None
    max_pixels: int
    on_bad_image: str
    n_jobs: int | None
    cache_dir: str | os.PathLike[str] | None

    def decode(self, images: RowImages) -> tuple[ImageCache, RowImages]:
        """Decode photos; see `build_image_cache`."""
        return hold(images, self.decoder(images), self.cache_dir)

    def decoder(self, images: RowImages) -> Decoder:
        """Return what decodes these photos; missing files are looked for at once."""
        return make_decoder(
            images,
            stored_size(self.image_size),
            self.loader,
            self.max_pixels,
            self.on_bad_image,
            self.n_jobs,
        )
