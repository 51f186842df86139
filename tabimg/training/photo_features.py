"""What a locked encoder sees in photos: computed once for each photo, encoder and view."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch

from tabimg.image import (
    Decoder,
    ImageReadError,
    PhotoOptions,
    fixed_views,
    n_fixed_views,
    source_key,
)
from tabimg.nn import LockedEncoder
from tabimg.training.inference import BLOCK_ROWS, apply_in_blocks

# Changes whenever the same encoder would see something else in the same photo.
FORMAT_VERSION = 1
# Half precision: features of rectified layers are far from its bounds.
STORED = np.dtype(np.float16)
KEPT_BYTES = 2**28
# Photos that are seen at once on the CPU: what passes between the layers stays in its caches.
PHOTOS_AT_ONCE = 16


class FeatureMaker:
    """Makes the features of photos; see `tabimg.image.cache.ImageMaker`.

    Parameters
    ----------
    decoder : Decoder
        Reads the photos that nobody has seen yet.
    encoder : LockedEncoder
    options : PhotoOptions
    device : torch.device

    Notes
    -----
    Features that were made in this process are kept in memory, up to ``KEPT_BYTES`` bytes for all
    encoders, so that folds, grids and later fits see a photo once.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: LockedEncoder,
        options: PhotoOptions,
        device: torch.device,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._options = options
        self._device = device
        self.on_bad_image = decoder.on_bad_image
        self.shape = (n_fixed_views(options.augmentation), bytes_a_view(encoder))

    @property
    def failures(self) -> dict[int, ImageReadError]:
        """The photos that could not be read, by id."""
        return self._decoder.failures

    def folder_name(self) -> str | None:
        """Name the encoder, its weights, how photos are decoded, and the views."""
        return self._name

    @cached_property
    def _name(self) -> str | None:
        decoded = self._decoder.folder_name()
        if decoded is None:
            return None
        digest = hashlib.blake2b(digest_size=16)
        options, encoder = self._options, self._encoder
        seen = (options.image_size, options.augmentation.crop, options.augmentation.flip > 0)
        backbone = encoder.backbone
        kind = getattr(backbone, "identity", type(backbone).__qualname__)
        digest.update(repr((decoded, kind, encoder.grid, seen)).encode())
        for name, tensor in backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return f"features-v{FORMAT_VERSION}-{digest.hexdigest()}"

    def decode(self, ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield ids and features, uint8 of `shape`."""
        name = self._name
        if name is None:
            yield from self._make(ids)
            return
        keys = {index: (name, source_key(self._decoder.images.sources[index])) for index in ids}
        known = {index: KEPT.get(key) for index, key in keys.items()}
        for index, features in known.items():
            if features is not None:
                yield index, features
        for index, features in self._make([i for i in ids if known[i] is None]):
            KEPT.put(keys[index], features)
            yield index, features

    def _make(self, ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Read photos and see them, some at a time."""
        block: list[tuple[int, np.ndarray]] = []
        for pair in self._decoder.decode(ids):
            block.append(pair)
            if len(block) == BLOCK_ROWS:
                yield from self._see(block)
                block = []
        if block:
            yield from self._see(block)

    def _see(self, block: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        pixels = torch.from_numpy(np.stack([image for _, image in block]))
        encoder = self._encoder.to(self._device)
        at_once = PHOTOS_AT_ONCE if self._device.type == "cpu" else BLOCK_ROWS
        views = [
            apply_in_blocks(encoder.features, (view.numpy(),), self._device, at_once)
            for view in fixed_views(pixels, self._options.image_size, self._options.augmentation)
        ]
        stacked = np.stack(views, axis=1).astype(STORED)
        stored = stacked.reshape(len(block), len(views), -1).view(np.uint8)
        yield from zip((index for index, _ in block), stored, strict=True)


def bytes_a_view(encoder: LockedEncoder) -> int:
    """Count the bytes of the features of one view of a photo."""
    return encoder.grid**2 * encoder.width * STORED.itemsize


def as_features(stored: np.ndarray, encoder: LockedEncoder) -> np.ndarray:
    """Read features from bytes (n, n_views, bytes): float16 (n, n_views, n_tokens, width)."""
    return stored.view(STORED).reshape(*stored.shape[:2], encoder.grid**2, encoder.width)


class _Kept:
    """The features that were made last, of all encoders, within a bound of memory."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        self._held: OrderedDict[tuple[str, bytes], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, bytes]) -> np.ndarray | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: tuple[str, bytes], features: np.ndarray) -> None:
        with self._lock:
            if key in self._held:
                return
            # A copy: a row of a block would keep the whole block.
            self._held[key] = features.copy()
            self._n_bytes += features.nbytes
            while self._n_bytes > self._most_bytes:
                _, oldest = self._held.popitem(last=False)
                self._n_bytes -= oldest.nbytes


KEPT = _Kept(KEPT_BYTES)
