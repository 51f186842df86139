"""From the names of columns to the texts that say what they mean."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from tabimg.messages import shorten
from tabimg.table.columns import describe, plain_name

# Signs that carry meaning are spelled out: "<=50K" and ">50K" must not become the same words.
_SIGNS = {
    "'": "",
    "’": "",
    "%": " percent ",
    "&": " and ",
    "#": " number ",
    "+": " plus ",
    "−": " minus ",
    "±": " plus minus ",
    "*": " star ",
    "=": " equal ",
    "≠": " not equal ",
    "<": " below ",
    ">": " above ",
    "≤": " below equal ",
    "≥": " above equal ",
    "°": " degree ",
    "$": " dollar ",
    "€": " euro ",
    "£": " pound ",
}
_SPELLED = str.maketrans(_SIGNS)
# A hyphen is a minus in front of a number ("-1") and behind a word ("HER2-"), else a separator.
_MINUS = re.compile(r"(?<!\w)-(?=\d)|(?<=[^\W_])-(?![\w-])")
# Repeated signs are grades: "+++" is "3+".
_GRADE = re.compile(r"([+*])\1+")
_ACCENTS = re.compile("[\u0300-\u036f]")


def normalise_header(name: Hashable) -> str:
    """Write a column's name, or any short text, as plain lower-case words.

    camelCase and snake_case are split into words, and digits from letters; accents are removed and
    compatible characters unified (NFKD, casefold); signs that carry meaning (``% # + - < > =``
    ...) are spelled out; all other punctuation separates words. Letters of any script are kept.

    Parameters
    ----------
    name : hashable
        None and NaN are empty; the parts of a tuple are joined; anything else is converted by
        `str`.

    Returns
    -------
    str
        Words separated by single spaces. Empty if the name holds no letter, no digit and no sign
        that is spelled out. Normalising twice changes nothing.

    Examples
    --------
    >>> normalise_header("SystolicBP_mmHg2")
    'systolic bp mm hg 2'
    >>> normalise_header("<=50K")
    'below equal 50 k'
    """
    text = _MINUS.sub(" minus ", _text(name))
    text = _GRADE.sub(lambda match: f" {len(match[0])} {match[1]}", text).translate(_SPELLED)
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return " ".join(_part_words(text).casefold().split())


def header_texts(
    names: Sequence[Hashable], descriptions: Mapping[Any, str] | None = None
) -> list[str]:
    """Return the text that stands for each column of one table.

    A header is all that is known about a column's meaning, so every column needs one, and no two
    of a table may read the same: repeated ones are numbered, "age", "age 2", in the table's order.
    Names with one normal form, such as "heart_rate" and "HeartRate", count as repeated.

    Parameters
    ----------
    names : sequence of hashable
        Names of the columns of one table. Numbers are taken as text.
    descriptions : mapping of column name to str, optional
        What to read in place of a column's name; columns of one name share it.

    Returns
    -------
    list of str
        One per column, all different, not normalised.

    Raises
    ------
    TypeError, ValueError
        See `check_descriptions`.
    ValueError
        A column without a name (empty, blank, None or NaN) has no description.

    Examples
    --------
    >>> header_texts(["age", "Age", "bp1"], {"bp1": "systolic blood pressure"})
    ['age', 'Age 2', 'systolic blood pressure']
    """
    check_descriptions(names, descriptions)
    described = {plain_name(name): text for name, text in (descriptions or {}).items()}
    texts = [described.get(plain_name(name), _text(name)).strip() for name in names]
    for position, (name, text) in enumerate(zip(names, texts, strict=True)):
        if not text:
            raise ValueError(
                f"{describe(plain_name(name))} at position {position} has no name, and its name "
                "is all that is known of what a column means. Rename it, or describe it with "
                f"column_descriptions={{{shorten(name)}: ...}}."
            )
    return _numbered(texts)


def check_descriptions(names: Sequence[Hashable], descriptions: Mapping[Any, str] | None) -> None:
    """Reject descriptions of columns that do not exist, and blank descriptions.

    Parameters
    ----------
    names : sequence of hashable
        Names of all columns: with several tables, of all of them.
    descriptions : mapping of column name to str, optional

    Raises
    ------
    TypeError
        ``descriptions`` is not a mapping, or a description is not a string.
    ValueError
        A description is blank, or there is no such column; the message names the nearest ones.
    """
    if descriptions is None:
        return
    if not isinstance(descriptions, Mapping):
        raise TypeError(
            "column_descriptions must be a mapping of column name to description, got "
            f"{type(descriptions).__name__!r}."
        )
    known = {plain_name(name) for name in names}
    for name, text in descriptions.items():
        if plain_name(name) not in known:
            near = difflib.get_close_matches(str(name), [str(each) for each in known], n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(
                f"column_descriptions describes {shorten(name)}, which is not a column of the "
                f"table.{hint}"
            )
        if not isinstance(text, str):
            raise TypeError(
                f"column_descriptions[{shorten(name)}] must be a string, got "
                f"{type(text).__name__!r}."
            )
        if not text.strip():
            raise ValueError(
                f"column_descriptions[{shorten(name)}] is blank: describe the column, or leave it "
                "out."
            )


def _text(name: Any) -> str:
    if isinstance(name, tuple):
        return " ".join(map(_text, name))
    missing = name is None or name is pd.NA or name is pd.NaT or name != name
    return "" if missing else str(name)


def _part_words(text: str) -> str:
    """Put spaces where a word starts, and in place of all but letters and digits."""
    parts: list[str] = []
    for position, character in enumerate(text):
        if not character.isalnum() and not _is_mark(character):
            parts.append(" ")
            continue
        previous, following = text[position - 1 : position], text[position + 1 : position + 2]
        parts.append(f" {character}" if _starts(previous, character, following) else character)
    return "".join(parts)


def _is_mark(character: str) -> bool:
    """Return whether a character is a separate vowel sign, as in Hindi."""
    return unicodedata.category(character).startswith("M")


def _starts(previous: str, character: str, following: str) -> bool:
    """Return whether a new word starts: "a1", "1a", "aB", and before "Bc" in "ABc"."""
    if previous.isdigit() != character.isdigit():
        return True
    return character.isupper() and (not previous.isupper() or following.islower())


def _numbered(texts: list[str]) -> list[str]:
    """Number the texts that repeat an earlier one, past the numbers that are taken."""
    taken = {_key(text) for text in texts}
    seen: dict[str, int] = {}
    result = []
    for text in texts:
        key = _key(text)
        count = seen.get(key, 0) + 1
        numbered = text
        while count > 1 and _key(numbered := f"{text} {count}") in taken:
            count += 1
        seen[key] = count
        taken.add(_key(numbered))
        result.append(numbered)
    return result


def _key(text: str) -> str:
    """Return what texts that read the same have in common; signs alone are compared as is."""
    return normalise_header(text) or text
