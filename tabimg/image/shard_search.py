"""Where wanted images lie in shards, and which shards hold too many dead images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tabimg.image.fingerprint import path_key
from tabimg.image.shards import Shard

# A shard is rewritten when more than this share of its images is dead.
MAX_DEAD_SHARE = 1 / 8


class Wanted(NamedTuple):
    """An image that is wanted.

    Parameters
    ----------
    key : bytes
        See :func:`~tabimg.image.fingerprint.source_key`.
    path : bytes
        Empty if the image does not come from a file.
    """

    key: bytes
    path: bytes


class Place(NamedTuple):
    """Where an image lies: an array of images, and a row in it."""

    held: np.ndarray
    row: int


class ShardSearch:
    """A search for images in shards.

    Parameters
    ----------
    shards : list of Shard
    wanted : mapping of int to Wanted
        By id.

    Attributes
    ----------
    living : dict of Shard to list of int
        Rows that somebody may ask for: one for each key, and an intact one for wanted images.
    damaged : dict of Shard to int
        Number of wanted images whose pixels are not those that were written.
    places : dict of int to Place
        Of the wanted images that were found, by id.
    """

    def __init__(self, shards: list[Shard], wanted: Mapping[int, Wanted]) -> None:
        self._ids = {image.key: index for index, image in wanted.items()}
        self.living: dict[Shard, list[int]] = {shard: [] for shard in shards}
        self.damaged: dict[Shard, int] = {}
        current = {image.path: image.key for image in wanted.values() if image.path}
        known: set[bytes] = set()
        for shard in shards:
            for row, (key, path) in enumerate(zip(shard.keys, shard.paths, strict=True)):
                if key in known or current.get(path, key) != key:
                    continue
                if key in self._ids and not shard.is_sound(row):
                    self.damaged[shard] = self.damaged.get(shard, 0) + 1
                    continue
                known.add(key)
                self.living[shard].append(row)
        self.places = {
            index: place for shard in shards for index, place in self.places_in(shard).items()
        }

    def places_in(self, shard: Shard) -> dict[int, Place]:
        """Return the places of wanted images in one shard, by id."""
        rows = self.living.get(shard, range(len(shard)))
        ids = ((self._ids.get(shard.keys[row]), row) for row in rows)
        return {index: Place(shard.pixels, row) for index, row in ids if index is not None}

    def forget_outdated(self) -> None:
        """Mark images as dead whose file has been changed, moved or removed."""
        for shard, rows in self.living.items():
            self.living[shard] = [row for row in rows if self._is_current(shard, row)]

    def to_rewrite(self, n_new: int) -> list[Shard]:
        """Choose the shards that a new one replaces.

        Those with damage or many dead images, so that what is dead stays a small share; and those
        that are no larger than what is added, so that shards stay few.

        Parameters
        ----------
        n_new : int
            Number of images that are added.

        Returns
        -------
        list of Shard
        """
        rotten = [
            shard
            for shard, rows in self.living.items()
            if shard in self.damaged or len(shard) - len(rows) > MAX_DEAD_SHARE * len(shard)
        ]
        chosen, n_images = rotten, n_new + sum(len(self.living[shard]) for shard in rotten)
        for shard in sorted(self.living, key=lambda shard: len(self.living[shard])):
            if shard not in rotten and n_new and len(self.living[shard]) <= n_images:
                chosen = [*chosen, shard]
                n_images += len(self.living[shard])
        return chosen

    def _is_current(self, shard: Shard, row: int) -> bool:
        key, path = shard.keys[row], shard.paths[row]
        # An image without a file is identified by its content.
        return not path or key in self._ids or path_key(path) == key
