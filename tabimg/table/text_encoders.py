"""Frozen text encoders: from the texts of headers and categories to vectors."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from tabimg.table.abbreviations import ABBREVIATIONS, AbbreviationTable
from tabimg.table.headers import normalise_header

TextEncoder = Callable[[list[str]], np.ndarray]

NGRAMS = "ngrams"
_DEFAULT = "default"


@dataclass(frozen=True)
class NgramEncoder:
    """Hashed character n-grams: works offline, has no weights, learns nothing.

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
        What abbreviations stand for: `ABBREVIATIONS`, a table of your own, or none. Extend the
        default as ``{**ABBREVIATIONS, "eoa": "effective orifice area"}``; of two spellings of one
        abbreviation the later counts.

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range, or an abbreviation or its meaning no text.

    Notes
    -----
    Fitted encoders (skrub's StringEncoder, the Gap encoder) would change their vectors with the
    tables that they were fitted on; hashing (Weinberger et al., arXiv 0902.2206) gives columns that
    come later the same space.

    The pairs tell apart what has the same words in another order, such as the stages T1N2 and T2N1.
    Texts that differ in case, accents or punctuation alone get one vector.

    Examples
    --------
    >>> from tabimg.table import NgramEncoder
    >>> a, b = NgramEncoder()(["sbp", "systolic_blood_pressure"])
    >>> round(float(a @ b), 6)
    1.0
    """

    n_features: int = 512
    ngram_range: tuple[int, int] = (2, 4)
    abbreviations: str | Mapping[str, str] | None = _DEFAULT

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_features", _checked_width(self.n_features))
        object.__setattr__(self, "ngram_range", _checked_range(self.ngram_range))
        object.__setattr__(self, "abbreviations", _checked_abbreviations(self.abbreviations))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Encode texts.

        Parameters
        ----------
        texts : list of str

        Returns
        -------
        ndarray of shape (len(texts), n_features), dtype float32
            Rows of length 1; of zeros where a text holds neither letter nor digit.
        """
        vectorizer = HashingVectorizer(
            analyzer=self._features(), n_features=self.n_features, dtype=np.float32
        )
        return vectorizer.transform(_plain_texts(texts, self.abbreviations)).toarray()

    def _features(self) -> Callable[[str], list[str]]:
        """Give the function that lists a text's n-grams and pairs of words."""
        grams = HashingVectorizer(
            analyzer="char_wb", ngram_range=self.ngram_range, lowercase=False
        ).build_analyzer()

        def features(text: str) -> list[str]:
            # A line break stands in no n-gram, so no pair is taken for one.
            return [*grams(text), *map("\n".join, pairwise(text.split()))]

        return features


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence-transformers model, by name or from a local folder.

    Needs the extra ``text``: ``pip install 'tabimg[text]'``. Nothing is loaded before the first
    call. A folder is read without a look at the network; a name is looked up in the local cache of
    models and downloaded if it is not there. Weights are read as safetensors only and on the CPU,
    and no code that comes with a model is run.

    Parameters
    ----------
    model : str or pathlib.Path
        A folder, or the name of a model, such as "all-MiniLM-L6-v2". A Path is always a folder.
    abbreviations : "default", mapping of str to str, or None, default="default"
        As in `NgramEncoder`: sentence models do not know the abbreviations of headers.

    Raises
    ------
    TypeError, ValueError
        ``model`` is no path, or the abbreviations are no table.

    Notes
    -----
    Reimers and Gurevych, Sentence-BERT, arXiv 1908.10084. Texts are normalised first
    (`normalise_header`): the models were trained on words, not on camelCase.
    """

    model: str | Path
    abbreviations: str | Mapping[str, str] | None = _DEFAULT

    def __post_init__(self) -> None:
        if not isinstance(self.model, (str, Path)) or not str(self.model).strip():
            raise TypeError(
                "model must be the name or the folder of a sentence-transformers model, got "
                f"{self.model!r}."
            )
        object.__setattr__(self, "abbreviations", _checked_abbreviations(self.abbreviations))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Encode texts.

        Parameters
        ----------
        texts : list of str

        Returns
        -------
        ndarray of shape (len(texts), d), dtype float32
            d is the model's own width.

        Raises
        ------
        ImportError
            sentence-transformers is not installed.
        FileNotFoundError
            ``model`` is a Path, and no folder is there.
        """
        plain = _plain_texts(texts, self.abbreviations)
        vectors = self._loaded().encode(plain, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    def _loaded(self) -> Any:
        # Not a field: two encoders are equal and saved alike whether or not they have been used.
        if "_network" not in self.__dict__:
            object.__setattr__(self, "_network", _load_sentence_model(self.model))
        return self.__dict__["_network"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def resolve_header_encoder(encoder: Any) -> TextEncoder:
    """Turn what a user gave as ``header_encoder`` into an encoder.

    Parameters
    ----------
    encoder : "ngrams", str, pathlib.Path or callable
        "ngrams" is `NgramEncoder` with its defaults. Any other str, and a Path, names a
        sentence-transformers model or its folder (`SentenceEncoder`). Anything callable is taken as
        it is: an encoder, or a function of yours that maps a list of str to an array (n, d).

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        Something else, or a class in place of an instance of it.
    ValueError
        A misspelt "ngrams": it is not taken for a model to be downloaded.
    """
    if isinstance(encoder, type):
        raise TypeError(
            f"header_encoder is the class {encoder.__name__}: give an instance, "
            f"{encoder.__name__}(...)."
        )
    if isinstance(encoder, str):
        if encoder == NGRAMS:
            return NgramEncoder()
        misspelt = difflib.get_close_matches(encoder.casefold(), [NGRAMS])
        if misspelt and not os.path.isdir(encoder):
            raise ValueError(f"header_encoder={encoder!r}: did you mean {NGRAMS!r}?")
    if isinstance(encoder, (str, Path)):
        return SentenceEncoder(encoder)
    if callable(encoder):
        return encoder
    raise TypeError(
        f"header_encoder must be {NGRAMS!r}, the name or folder of a sentence-transformers model, "
        f"or a callable from a list of str to an array (n, d); got {encoder!r}."
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
        The encoder returned no numbers.
    ValueError
        It returned another shape than one row a text, no column, or NaN or infinity; the message
        names the text.
    """
    returned = encoder(list(texts))
    try:
        vectors = np.asarray(returned, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "The header encoder must return a dense array (n, d) of numbers, one row a text; got "
            f"{type(returned).__name__!r} ({error})."
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] == 0:
        raise ValueError(
            "The header encoder must return an array (n, d), one row a text; for "
            f"{len(texts)} texts it returned the shape {vectors.shape}."
        )
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        raise ValueError(
            f"The header encoder returned NaN or infinity for the text {texts[broken.argmax()]!r}."
        )
    return vectors


def _plain_texts(texts: list[str], abbreviations: str | Mapping[str, str] | None) -> list[str]:
    plain = [normalise_header(text) for text in texts]
    if abbreviations is None:
        return plain
    meanings = ABBREVIATIONS if isinstance(abbreviations, str) else abbreviations
    expand = AbbreviationTable(meanings).expand
    return [expand(text) for text in plain]


def _checked_width(given: Any) -> int:
    if not isinstance(given, Integral) or int(given) < 1:
        raise ValueError(f"n_features must be a positive int, got {given!r}.")
    return int(given)


def _checked_range(given: Any) -> tuple[int, int]:
    try:
        shortest, longest = (int(number) for number in given)
    except (TypeError, ValueError):
        shortest, longest = 0, 0
    if not 1 <= shortest <= longest:
        raise ValueError(
            f"ngram_range must be (shortest, longest) with 1 <= shortest <= longest, got {given!r}."
        )
    return shortest, longest


def _checked_abbreviations(given: Any) -> str | dict[str, str] | None:
    """Check a table by building it once; a copy is kept, so that later changes do not reach it."""
    if given is None or (isinstance(given, str) and given == _DEFAULT):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(
            f"abbreviations must be {_DEFAULT!r}, a mapping of str to str or None, got {given!r}."
        )
    AbbreviationTable(given)
    return dict(given)


def _load_sentence_model(model: str | Path) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            f"The header encoder {str(model)!r} needs sentence-transformers: "
            "pip install 'tabimg[text]', or use header_encoder='ngrams', which needs nothing."
        ) from error
    is_folder = os.path.isdir(model)
    if isinstance(model, Path) and not is_folder:
        raise FileNotFoundError(f"There is no folder {str(model)!r} to read a model from.")
    return SentenceTransformer(
        str(model),
        device="cpu",
        local_files_only=is_folder,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )
