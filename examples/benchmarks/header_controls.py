"""Header encoders that know less: the controls of what headers are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tabimg.headers import NgramEncoder

WIDTH = 512


@dataclass(frozen=True)
class NamesAlone:
    """Equal texts are equal, and any two others have nothing in common: what an index amounts to.

    Texts of zeros get a direction of their own from `tabimg.headers.TextVectors`.
    """

    def __call__(self, texts: list[str]) -> np.ndarray:
        return np.zeros((len(texts), WIDTH), dtype=np.float32)


@dataclass(frozen=True)
class ShuffledHeaders:
    """Each header reads as another one; categories read as they are.

    Parameters
    ----------
    headers : tuple of str
        Of all cohorts.
    seed : int
    """

    headers: tuple[str, ...]
    seed: int = 0

    def __call__(self, texts: list[str]) -> np.ndarray:
        dealt = np.random.default_rng(self.seed).permutation(len(self.headers))
        other = dict(zip(self.headers, (self.headers[i] for i in dealt), strict=True))
        return NgramEncoder(n_features=WIDTH)([other.get(text, text) for text in texts])
