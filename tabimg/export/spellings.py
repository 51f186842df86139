"""Other spellings of the categories of an estimator of any columns, frozen for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from tabimg.export.preprocessing import Spellings
from tabimg.headers.spelling import respell

# A file cannot ask a text encoder what a new text means: it knows these ways to write a category.
_CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper, str.title, str.capitalize)
_SEPARATORS = (" ", "_", "-", "")


def spellings_of(estimator: Any) -> Spellings:
    """Find the texts that an estimator reads as a category that is written in another way.

    Parameters
    ----------
    estimator : fitted estimator
        One of fixed columns reads none.

    Returns
    -------
    mapping of column name to mapping of text to category
        Texts that are made of the categories by usual changes: of case, and of what separates
        words. Which of them are read as what is asked of the estimator's own text encoder.
    """
    vectors = getattr(estimator, "vectors_", None)
    if vectors is None:
        return {}
    codec, found = estimator.codec_, dict[str | int, Mapping[str, str]]()
    for name, keys in zip(codec.categorical_names, codec.categories, strict=True):
        variants = {text for key in keys for text in _variants(key)} - {*keys, ""}
        if variants:
            table = pd.DataFrame({name: sorted(variants)}, dtype=object)
            found |= respell(table, codec, vectors.copy())[1]
    return found


def _variants(key: str) -> Iterator[str]:
    words = key.replace("_", " ").replace("-", " ").split()
    for separator in _SEPARATORS:
        for case in _CASES:
            yield separator.join(map(case, words))
            yield case(separator.join(words))
    yield key.strip()
