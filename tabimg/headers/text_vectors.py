"""Texts and their vectors: encoded once, kept with the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tabimg.headers.text_encoders import TextEncoder, encode_texts
from tabimg.messages import shorten


class TextVectors:
    """Vectors of RMS 1 for texts; the encoder sees every distinct text once.

    New texts are encoded in one call, and their vectors are kept. A saved model keeps the vectors
    it used: once rebuilt, it never asks the encoder for a known text.

    Parameters
    ----------
    encoder : callable
        From a list of str to an array (n, d): what `resolve_header_encoder` returns.
    texts : sequence of str, optional
        Distinct texts whose vectors are known.
    vectors : ndarray of shape (len(texts), d), optional
        Their vectors, kept as they are.

    Raises
    ------
    ValueError
        Texts repeat, or do not fit the vectors.

    Notes
    -----
    Root mean square 1 is the scale at which a header survives the product with a cell's value.

    An encoder may return zeros for a text, as n-grams do for "" or "?". The text then gets a
    direction of its own, with signs drawn by a hash of the text (SHAKE-256), nearly orthogonal to
    every other vector: it stands for itself alone, as a bare column index would, and is neither NaN
    nor lost.

    Examples
    --------
    >>> from tabimg.headers import NgramEncoder, TextVectors
    >>> vectors = TextVectors(NgramEncoder(n_features=64))
    >>> vectors(["age", "sex", "age"]).shape
    (3, 64)
    >>> vectors.texts
    ['age', 'sex']
    """

    def __init__(
        self,
        encoder: TextEncoder,
        texts: Sequence[str] = (),
        vectors: np.ndarray | None = None,
    ) -> None:
        self.encoder = encoder
        self._rows = {text: row for row, text in enumerate(texts)}
        self._vectors = _checked_vectors(texts, vectors)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts, encoding those that are new.

        Parameters
        ----------
        texts : sequence of str
            Texts may repeat.

        Returns
        -------
        ndarray of shape (len(texts), d), dtype float32
            Rows of root mean square 1. d is 0 if no text was ever encoded.

        Raises
        ------
        TypeError
            A text is not a string.
        TypeError, ValueError
            See `encode_texts`; or the encoder changed the width of its vectors.
        """
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"Texts must be strings, got {shorten(text)}.")
        self._encode([str(text) for text in dict.fromkeys(texts) if text not in self._rows])
        return self._vectors[[self._rows[text] for text in texts]]

    def _encode(self, new: list[str]) -> None:
        if not new:
            return
        vectors = _scaled(encode_texts(self.encoder, new), new)
        if self._rows and vectors.shape[1] != self.width:
            raise ValueError(
                f"The header encoder returned vectors of width {vectors.shape[1]}, earlier ones "
                f"have {self.width}: has the encoder changed?"
            )
        self._vectors = np.concatenate([self._vectors, vectors]) if self._rows else vectors
        self._rows.update({text: row for row, text in enumerate(new, start=len(self._rows))})

    @property
    def texts(self) -> list[str]:
        """The known texts, in order of arrival."""
        return list(self._rows)

    @property
    def vectors(self) -> np.ndarray:
        """The vectors of the known texts, float32 of shape (n_texts, d); do not change them."""
        return self._vectors

    @property
    def width(self) -> int:
        """Width d of the vectors; 0 if no text was ever encoded."""
        return self._vectors.shape[1]

    def copy(self) -> TextVectors:
        """Return a copy, which learns new texts independently."""
        return TextVectors(self.encoder, self.texts, self._vectors)

    def to_state(self) -> dict[str, Any]:
        """Return the encoder, the texts and their vectors."""
        return {"encoder": self.encoder, "texts": self.texts, "vectors": self._vectors}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TextVectors:
        """Rebuild the vectors from :meth:`to_state`, bit for bit.

        Raises
        ------
        ValueError
            As the constructor.
        """
        return cls(state["encoder"], state["texts"], state["vectors"])


def nearest_headers(
    unknown: Sequence[str], known: Sequence[str], vectors: TextVectors, n: int = 1
) -> dict[str, list[tuple[str, float]]]:
    """Find which known headers a model would take unknown ones for.

    Parameters
    ----------
    unknown, known : sequence of str
        Texts of headers, as `header_texts` gives them. Texts may repeat.
    vectors : TextVectors
        Encodes what is new to it.
    n : int, default=1
        The most known headers to return for each unknown one.

    Returns
    -------
    dict of str to list of (str, float)
        For each distinct unknown header the nearest distinct known ones, nearest first, with
        their cosine similarity in [-1, 1]; ties go to the one known first.

    Raises
    ------
    ValueError
        ``n`` is less than 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {shorten(n)}.")
    unknown, known = list(dict.fromkeys(unknown)), list(dict.fromkeys(known))
    if not unknown or not known:
        return {text: [] for text in unknown}
    both = vectors([*unknown, *known]).astype(np.float64)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    cosines = np.clip(both[: len(unknown)] @ both[len(unknown) :].T, -1.0, 1.0)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :n]
    return {
        text: [(known[j], float(cosines[i, j])) for j in order[i]] for i, text in enumerate(unknown)
    }


def _scaled(vectors: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Scale float64 vectors (n, d) to RMS 1; zeros become directions of their own."""
    # First divided by the largest entry: the square of a very small one would be zero.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    silent = largest == 0.0
    vectors = vectors / np.where(silent, 1.0, largest)
    for row in np.flatnonzero(silent).tolist():
        vectors[row] = _own_direction(texts[row], vectors.shape[1])
    return (vectors / np.sqrt(np.mean(vectors**2, axis=1, keepdims=True))).astype(np.float32)


def _own_direction(text: str, width: int) -> np.ndarray:
    """Draw signs (-1 or 1, float64) that depend on the text alone."""
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(-(-width // 8))
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8))[:width]
    return 2.0 * bits - 1.0


def _checked_vectors(texts: Sequence[str], vectors: np.ndarray | None) -> np.ndarray:
    if vectors is None:
        vectors = np.empty((0, 0))
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ValueError(
            f"vectors must have one row per text: {len(texts)} texts, shape {vectors.shape}."
        )
    if len(set(texts)) != len(texts):
        raise ValueError("texts must be distinct: one of them is given twice.")
    return vectors
