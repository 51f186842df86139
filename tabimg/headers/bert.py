"""BERT in NumPy, for one short text at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import erf, softmax

_EPSILON = 1e-12


class Bert:
    """BERT's encoder with given weights, in evaluation mode.

    One text at a time needs neither padding nor a mask, and a text's tokens do not depend on the
    texts that are encoded with it.

    Parameters
    ----------
    weights : mapping of str to ndarray
        Under the names of the published implementation, ``embeddings...`` and
        ``encoder.layer.0...``; others are not read.
    n_heads : int
        Of the attention; must divide the width of the tokens.

    Notes
    -----
    Devlin et al., BERT, arXiv 1810.04805: the layers of Vaswani et al. (arXiv 1706.03762, sections
    3.1 to 3.3), each normalised behind its sum, with the exact GELU of Hendrycks and Gimpel (arXiv
    1606.08415). All tokens are of the first segment.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], n_heads: int) -> None:
        self._weights = weights
        self._n_heads = n_heads
        self._n_layers = sum(name.endswith("attention.self.query.weight") for name in weights)

    @property
    def width(self) -> int:
        """Width of the tokens."""
        return self._weights["embeddings.word_embeddings.weight"].shape[1]

    def __call__(self, ids: Sequence[int]) -> np.ndarray:
        """Encode one text.

        Parameters
        ----------
        ids : sequence of int
            Of its word pieces, with those that mark start and end; at least one.

        Returns
        -------
        ndarray of shape (len(ids), width)
            The tokens of the last layer, in the dtype of the weights.
        """
        tokens = self._embedded(ids)
        for layer in range(self._n_layers):
            name = f"encoder.layer.{layer}"
            tokens = self._normalised(
                tokens + self._attention(tokens, f"{name}.attention"),
                f"{name}.attention.output.LayerNorm",
            )
            tokens = self._normalised(
                tokens + self._feed_forward(tokens, name), f"{name}.output.LayerNorm"
            )
        return tokens

    def _embedded(self, ids: Sequence[int]) -> np.ndarray:
        words, positions, segments = (
            self._weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        )
        return self._normalised(
            words[list(ids)] + positions[: len(ids)] + segments[0], "embeddings.LayerNorm"
        )

    def _attention(self, tokens: np.ndarray, name: str) -> np.ndarray:
        query, key, value = (
            self._heads(self._linear(tokens, f"{name}.self.{role}"))
            for role in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[2], dtype=query.dtype)
        heads = softmax(scores, axis=2) @ value
        joined = heads.swapaxes(0, 1).reshape(tokens.shape)
        return self._linear(joined, f"{name}.output.dense")

    def _heads(self, tokens: np.ndarray) -> np.ndarray:
        """Deal the features out: (n, width) becomes (n_heads, n, width / n_heads)."""
        return tokens.reshape(len(tokens), self._n_heads, -1).swapaxes(0, 1)

    def _feed_forward(self, tokens: np.ndarray, name: str) -> np.ndarray:
        hidden = self._linear(tokens, f"{name}.intermediate.dense")
        hidden = hidden * (1 + erf(hidden / np.sqrt(2, dtype=hidden.dtype))) / 2
        return self._linear(hidden, f"{name}.output.dense")

    def _linear(self, tokens: np.ndarray, name: str) -> np.ndarray:
        return tokens @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normalised(self, tokens: np.ndarray, name: str) -> np.ndarray:
        centred = tokens - tokens.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + _EPSILON)
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return centred / deviation * weight + bias
