"""Text encoders: which one a user means, and what it must return."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tabimg.headers.minilm import MINILM, MiniLMEncoder
from tabimg.headers.ngrams import NgramEncoder
from tabimg.headers.sentence_encoder import SentenceEncoder
from tabimg.messages import shorten

TextEncoder = Callable[[list[str]], np.ndarray]

NGRAMS = "ngrams"
# Encoders with their defaults, by the name that `header_encoder` accepts.
NAMED: dict[str, Callable[[], TextEncoder]] = {NGRAMS: NgramEncoder, MINILM: MiniLMEncoder}


def resolve_header_encoder(encoder: Any) -> TextEncoder:
    """Turn what a user gave as ``header_encoder`` into an encoder.

    Parameters
    ----------
    encoder : {"ngrams", "minilm"}, str, pathlib.Path or callable
        "ngrams" is `NgramEncoder` and "minilm" `MiniLMEncoder`, with their defaults. Any other str,
        and a Path, names a sentence-transformers model or its folder (`SentenceEncoder`). A
        callable is taken as it is: an encoder, or your own function that maps a list of str to an
        array (n, d).

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        Something else, or a class in place of an instance.
    ValueError
        A misspelt "ngrams" or "minilm", which is not taken for a model to download.
    """
    if isinstance(encoder, type):
        raise TypeError(
            f"header_encoder is the class {encoder.__name__}: give an instance, "
            f"{encoder.__name__}(...)."
        )
    if isinstance(encoder, str):
        if encoder in NAMED:
            return NAMED[encoder]()
        meant = difflib.get_close_matches(encoder.casefold(), NAMED, n=1)
        if meant and not os.path.isdir(encoder):
            raise ValueError(f"header_encoder={shorten(encoder)}: did you mean {meant[0]!r}?")
    if isinstance(encoder, (str, Path)):
        return SentenceEncoder(encoder)
    if callable(encoder):
        return encoder
    raise TypeError(
        f"header_encoder must be one of {list(NAMED)}, the name or folder of a "
        "sentence-transformers model, or a callable from a list of str to an array (n, d); got "
        f"{shorten(encoder)}."
    )


def encode_texts(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    """Call an encoder and check what it returns.

    Parameters
    ----------
    encoder : callable
        From a list of str to an array-like (n, d).
    texts : list of str
        At least one.

    Returns
    -------
    ndarray of shape (len(texts), d), dtype float64

    Raises
    ------
    TypeError
        The encoder did not return numbers.
    ValueError
        It did not return one row per text, or no column, or NaN or infinity; the message names the
        text.
    """
    returned = encoder(list(texts))
    try:
        vectors = np.asarray(returned, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "The header encoder must return a dense array (n, d) of numbers, one row per text; got "
            f"{type(returned).__name__!r} ({error})."
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] == 0:
        raise ValueError(
            "The header encoder must return an array (n, d), one row per text; for "
            f"{len(texts)} texts it returned the shape {vectors.shape}."
        )
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        raise ValueError(
            f"The header encoder returned NaN or infinity for the text "
            f"{shorten(texts[broken.argmax()])}."
        )
    return vectors
