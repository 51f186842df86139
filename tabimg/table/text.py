"""Recognise text columns that were probably meant to be something else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from tabimg.messages import shorten

# No two parts of a pattern may share a run of blanks: the work would grow with its square.
_NUMBER = re.compile(r"\s*[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?\s*(?:%\s*)?")
_DATE = re.compile(
    r"\s*(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})"
    r"(?:[T ]\d{1,2}:\d{2}(?:.*\S)?)?\s*"
)
_CODE = re.compile(r"\d+")
# What people write for an unknown value.
_UNKNOWN = re.compile(
    r"\s*(?:(?:[?.*#-]+|n\.?/?a\.?|nan|null|none|nil|unk|unknown|missing)\s*)?", re.IGNORECASE
)
_LOOKED_AT = 1000
# Longest number, date or mark; longer text is a report, or an encoded file.
_LONGEST = 1000
_MOST = 0.9
_FEW_CELLS = 20


def suspicion(values: Iterable[str | None]) -> str | None:
    """Say what the text of a column looks like, if that is not a set of categories.

    Used to warn a user; it never changes what a column is.

    Parameters
    ----------
    values : iterable of str or None
        The keys of a categorical column; the first 1,000 that are not missing are checked.

    Returns
    -------
    str or None
        What it looks like, the first cell that does not, with its row, and the remedy; None if
        nothing is suspicious, and always with fewer than 20 cells. Text of digits alone is taken
        for codes, such as postal codes, on purpose, unless a mark for unknown cells, such as
        ``"?"``, is among them.
    """
    rows = ((row, value) for row, value in enumerate(values) if value is not None)
    observed = list(islice(rows, _LOOKED_AT))
    if len(observed) < _FEW_CELLS:
        return None
    dates, numbers, codes = (_others(each, observed) for each in (_DATE, _NUMBER, _CODE))
    few = (1 - _MOST) * len(observed)
    if len(dates) <= few:
        return f"holds dates as text{_first(dates)}: turn it into dates, {_WAYS['datetime']}"
    if len(numbers) <= few < len(codes):
        return f"holds numbers as text{_first(numbers)}: turn it into numbers, {_WAYS['numeric']}"
    if codes and len(codes) <= few and _fits(_UNKNOWN, codes[0][1]):
        return (
            f"holds whole numbers as text{_first(codes)}: make that missing and, unless they are "
            f"codes, turn the column into numbers, {_WAYS['numeric']}"
        )
    if len({value for _, value in observed}) > _MOST * len(observed):
        return "has a different text in almost every row: drop it if it names the rows"
    return None


def remedy(kind: str) -> str:
    """Say how text is turned into numbers or dates, or how unknown cells are written.

    Parameters
    ----------
    kind : str
        One of the values of `ColumnKind`.
    """
    return _WAYS.get(kind, "None for instance")


def reads_as(kind: str, text: str) -> bool:
    """Return whether a text is the written form of a number, a date or a bool.

    Parameters
    ----------
    kind : str
        One of the values of `ColumnKind`.
    text : str
    """
    pattern = _PATTERNS.get(kind)
    return pattern is None or _fits(pattern, text)


_PATTERNS = {"numeric": _NUMBER, "datetime": _DATE, "boolean": re.compile("True|False")}
_WAYS = {
    "numeric": "for instance with pandas.to_numeric(column, errors='coerce')",
    "datetime": "for instance with pandas.to_datetime(column, errors='coerce')",
}


def _others(pattern: re.Pattern[str], cells: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(row, value) for row, value in cells if not _fits(pattern, value)]


def _fits(pattern: re.Pattern[str], text: str) -> bool:
    return len(text) <= _LONGEST and pattern.fullmatch(text) is not None


def _first(others: list[tuple[int, str]]) -> str:
    return f", and {shorten(others[0][1])} in row {others[0][0]}" if others else ""
