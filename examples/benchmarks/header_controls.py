"""Header encoders that know less: the controls of what headers are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tabimg.headers import MiniLMEncoder, NgramEncoder, TextEncoder

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

    # No field: the encoder belongs to the class, by which results are told apart.
    encoder: ClassVar[TextEncoder] = NgramEncoder(n_features=WIDTH)
    headers: tuple[str, ...]
    seed: int = 0

    def __call__(self, texts: list[str]) -> np.ndarray:
        dealt = np.random.default_rng(self.seed).permutation(len(self.headers))
        other = dict(zip(self.headers, (self.headers[i] for i in dealt), strict=True))
        return type(self).encoder([other.get(text, text) for text in texts])


@dataclass(frozen=True)
class ShuffledMiniLM(ShuffledHeaders):
    """The same in MiniLM's vectors."""

    encoder: ClassVar[TextEncoder] = MiniLMEncoder()


SHUFFLED = {"ngrams": ShuffledHeaders, "minilm": ShuffledMiniLM}
