"""Hashed character n-grams: the text encoder without dependencies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from tabimg.headers.expansion import DEFAULT_TABLE, checked_abbreviations, plain_texts
from tabimg.messages import shorten


@dataclass(frozen=True)
class NgramEncoder:
    """Hashed character n-grams: works offline, has no weights, is not fitted.

    A text is normalised (`normalise_header`), its abbreviations are expanded, and it is described
    by the character n-grams within its words, each padded with a space on both sides, and by its
    pairs of neighbouring words, all counted, hashed with signs to ``n_features`` and scaled to
    length 1. Texts with common stems are near each other; synonyms without a common stem, such as
    sex and gender, are not. Equal texts give equal vectors in every process and on every platform.

    Parameters
    ----------
    n_features : int, default=512
        Width of the vectors.
    ngram_range : tuple of two int, default=(2, 4)
        Shortest and longest n-gram.
    abbreviations : "default", mapping of str to str, or None, default="default"
        What abbreviations stand for: ``ABBREVIATIONS``, a table of your own, or none. Extend the
        default as ``{**ABBREVIATIONS, "eoa": "effective orifice area"}``; of two spellings of one
        abbreviation the later one counts.

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range, or an abbreviation or its meaning is not text.

    Notes
    -----
    The vectors of fitted encoders (skrub's StringEncoder, the Gap encoder) depend on the tables
    that they were fitted on; hashing (Weinberger et al., arXiv 0902.2206) maps later columns into
    the same space.

    The pairs distinguish texts with the same words in another order, such as the stages T1N2 and
    T2N1. Texts that differ in case, accents or punctuation alone get the same vector.

    Examples
    --------
    >>> from tabimg.headers import NgramEncoder
    >>> a, b = NgramEncoder()(["sbp", "systolic_blood_pressure"])
    >>> round(float(a @ b), 6)
    1.0
    """

    n_features: int = 512
    ngram_range: tuple[int, int] = (2, 4)
    abbreviations: str | Mapping[str, str] | None = DEFAULT_TABLE

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_features", _checked_width(self.n_features))
        object.__setattr__(self, "ngram_range", _checked_range(self.ngram_range))
        object.__setattr__(self, "abbreviations", checked_abbreviations(self.abbreviations))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Encode texts.

        Parameters
        ----------
        texts : list of str

        Returns
        -------
        ndarray of shape (len(texts), n_features), dtype float32
            Rows of length 1; zeros for a text without letters and digits.
        """
        vectorizer = HashingVectorizer(
            analyzer=self._features(), n_features=self.n_features, dtype=np.float32
        )
        return vectorizer.transform(plain_texts(texts, self.abbreviations)).toarray()

    def _features(self) -> Callable[[str], list[str]]:
        """Return the function that lists a text's n-grams and pairs of words."""
        grams = HashingVectorizer(
            analyzer="char_wb", ngram_range=self.ngram_range, lowercase=False
        ).build_analyzer()

        def features(text: str) -> list[str]:
            # No n-gram contains a line break, so no pair is taken for one.
            return [*grams(text), *map("\n".join, pairwise(text.split()))]

        return features


def _checked_width(given: Any) -> int:
    if not isinstance(given, Integral) or int(given) < 1:
        raise ValueError(f"n_features must be a positive int, got {shorten(given)}.")
    return int(given)


def _checked_range(given: Any) -> tuple[int, int]:
    try:
        shortest, longest = (int(number) for number in given)
    except (TypeError, ValueError):
        shortest, longest = 0, 0
    if not 1 <= shortest <= longest:
        raise ValueError(
            f"ngram_range must be (shortest, longest) with 1 <= shortest <= longest, got "
            f"{shorten(given)}."
        )
    return shortest, longest
