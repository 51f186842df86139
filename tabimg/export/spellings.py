"""Other spellings of the categories of an estimator of any columns, frozen for a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from tabimg.export.preprocessing import Spellings
from tabimg.headers.spelling import respell

# A file cannot ask a text encoder what a new text means: it knows these ways to write a category.
_WAYS: tuple[Callable[[str], str], ...] = (
    str.lower,
    str.upper,
    str.title,
    str.capitalize,
    str.strip,
    lambda text: text.replace(" ", "_"),
    lambda text: text.replace("_", " "),
    lambda text: text.replace("-", " "),
    lambda text: text.replace(" ", "-"),
)


def spellings_of(estimator: Any) -> Spellings:
    """Find the texts that an estimator reads as a category that is written in another way.

    Parameters
    ----------
    estimator : fitted estimator
        One of fixed columns reads none.

    Returns
    -------
    mapping of column name to mapping of text to category
        Texts that are made of the categories by usual changes: of case, of blanks to ``_`` or ``-``
        and back. Which of them are read as what is asked of the estimator's own text encoder.
    """
    vectors = getattr(estimator, "vectors_", None)
    if vectors is None:
        return {}
    codec, found = estimator.codec_, dict[str | int, Mapping[str, str]]()
    for name, keys in zip(codec.categorical_names, codec.categories, strict=True):
        variants = {way(key) for key in keys for way in _WAYS} - {*keys, ""}
        if variants:
            table = pd.DataFrame({name: sorted(variants)}, dtype=object)
            found |= respell(table, codec, vectors.copy())[1]
    return found
