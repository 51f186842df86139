"""What a network is given of photos: changed pixels, features seen once, or the user's vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tabimg.image import Augmenter, ImageCache, PhotoOptions, RowImages, hold, plain
from tabimg.nn import LockedEncoder
from tabimg.training.photo_features import FeatureMaker, as_features


class PhotoInputs(Protocol):
    """Photos by id, as an image encoder takes them."""

    def drawn(self, ids: np.ndarray, generator: torch.Generator) -> Tensor:
        """Return photos for training, each changed at random, on the generator's device."""

    def plain(self, ids: np.ndarray, device: torch.device) -> Tensor:
        """Return photos without any random change."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Decoded photos: float32 (B, 3, S, S)."""

    cache: ImageCache
    augmenter: Augmenter

    def drawn(self, ids: np.ndarray, generator: torch.Generator) -> Tensor:
        """Augment photos."""
        return self.augmenter(self._stored(ids).to(generator.device), generator)

    def plain(self, ids: np.ndarray, device: torch.device) -> Tensor:
        """Resize photos."""
        return plain(self._stored(ids).to(device), self.augmenter.size)

    def _stored(self, ids: np.ndarray) -> Tensor:
        return torch.from_numpy(self.cache.gather(ids))


@dataclass(frozen=True, eq=False)
class Features:
    """What a locked encoder sees in each view of a photo: float32 (B, n_tokens, C)."""

    cache: ImageCache
    encoder: LockedEncoder

    def drawn(self, ids: np.ndarray, generator: torch.Generator) -> Tensor:
        """Draw one view of each photo."""
        views = self._views(ids)
        device = generator.device
        chosen = torch.randint(views.shape[1], (len(ids),), generator=generator, device=device)
        return views[torch.arange(len(ids)), chosen.cpu()].float().to(device)

    def plain(self, ids: np.ndarray, device: torch.device) -> Tensor:
        """Return the first view, the unchanged photo."""
        return self._views(ids)[:, 0].float().to(device)

    def _views(self, ids: np.ndarray) -> Tensor:
        return torch.from_numpy(as_features(self.cache.gather(ids), self.encoder))


@dataclass(frozen=True, eq=False)
class Vectors:
    """The user's embedding vectors, float32 (B, d), which are never changed."""

    vectors: np.ndarray

    def drawn(self, ids: np.ndarray, generator: torch.Generator) -> Tensor:
        """Return vectors."""
        return self.plain(ids, generator.device)

    def plain(self, ids: np.ndarray, device: torch.device) -> Tensor:
        """Return vectors."""
        return torch.from_numpy(self.vectors[ids]).to(device)


@contextmanager
def open_photos(
    images: RowImages, encoder: nn.Module | None, options: PhotoOptions, device: torch.device
) -> Iterator[tuple[PhotoInputs, RowImages]]:
    """Read photos for an image encoder, and hold them while the context lasts.

    Parameters
    ----------
    images : RowImages
    encoder : torch.nn.Module or None
        What will see them; a `LockedEncoder` sees them here and now.
    options : PhotoOptions
    device : torch.device

    Yields
    ------
    inputs : PhotoInputs
    images : RowImages
        Without the photos that could not be read.

    Raises
    ------
    tabimg.image.ImageReadError
        For a photo that cannot be read, unless ``on_bad_image`` allows it.
    """
    if images.vectors is not None:
        yield Vectors(images.vectors), images
    elif isinstance(encoder, LockedEncoder):
        maker = FeatureMaker(options.decoder(images), encoder, options, device)
        cache, images = hold(images, maker, options.cache_dir)
        with cache:
            yield Features(cache, encoder), images
    else:
        cache, images = options.decode(images)
        with cache:
            yield Pixels(cache, Augmenter(options.augmentation, options.image_size)), images
