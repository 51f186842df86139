"""Recognise text columns that were probably meant to be something else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

_NUMBER = re.compile(r"\s*[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?\s*%?\s*")
_DATE = re.compile(
    r"\s*(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})"
    r"(?:[T ]\d{1,2}:\d{2}.*)?\s*"
)
_CODE = re.compile(r"\d+")
_LOOKED_AT = 1000
_MOST = 0.9
_FEW_CELLS = 20


def suspicion(values: Iterable[str | None]) -> str | None:
    """Say what the text of a column looks like, where that is not a set of categories.

    Used to warn a user; it never changes what a column is.

    Parameters
    ----------
    values : iterable of str or None
        The keys of a categorical column; of those that are not missing the first 1,000 are looked
        at.

    Returns
    -------
    str or None
        The looks and the remedy; None where nothing is suspicious, with fewer than 20 cells
        always. Text of digits alone is taken for codes, such as postal codes, on purpose.
    """
    observed = list(islice((value for value in values if value is not None), _LOOKED_AT))
    if len(observed) < _FEW_CELLS:
        return None
    if _share(_DATE, observed) >= _MOST:
        return "holds dates as text: turn it into dates, for instance with pandas.to_datetime"
    if _share(_NUMBER, observed) >= _MOST and _share(_CODE, observed) < _MOST:
        return "holds numbers as text: turn it into numbers, for instance with pandas.to_numeric"
    if len(set(observed)) > _MOST * len(observed):
        return "has another text in almost every row: drop it if it names the rows"
    return None


def _share(pattern: re.Pattern[str], values: list[str]) -> float:
    return sum(pattern.fullmatch(value) is not None for value in values) / len(values)
