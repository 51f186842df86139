"""Texts in full words: abbreviations expanded before a text is encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabimg.headers.abbreviations import ABBREVIATIONS
from tabimg.headers.names import normalise_header
from tabimg.messages import shorten

DEFAULT_TABLE = "default"
# "h b a 1 c": normalisation splits an abbreviation into no more words than this.
_LONGEST_RUN = 5


class AbbreviationTable:
    """Abbreviations, ready to be expanded in normalised texts.

    Parameters
    ----------
    meanings : mapping of str to str
        Abbreviation to what it stands for, both in any spelling. Of two spellings of one
        abbreviation ("hr", "HR") the later one counts.

    Raises
    ------
    TypeError
        A key or a value is not a string.
    ValueError
        A key or a value holds neither letter nor digit.
    """

    def __init__(self, meanings: Mapping[str, str]) -> None:
        self._words: dict[str, list[str]] = {}
        for short, meaning in meanings.items():
            key, words = _plain_words("abbreviation", short), _plain_words(short, meaning)
            self._words["".join(key)] = words

    def expand(self, text: str) -> str:
        """Replace every abbreviation in a text by what it stands for.

        Only whole words are matched. Normalisation may have split an abbreviation ("HbA1c" is
        "hb a 1 c", "B.P." is "b p"), so runs of up to five words are matched too, the longest
        first. An expansion is not expanded again.

        Parameters
        ----------
        text : str
            As `normalise_header` writes it.

        Returns
        -------
        str
        """
        words = text.split()
        result: list[str] = []
        start = 0
        while start < len(words):
            stop, found = self._longest_match(words, start)
            result += found
            start = stop
        return " ".join(result)

    def _longest_match(self, words: Sequence[str], start: int) -> tuple[int, Sequence[str]]:
        """Return where the match ends, and its replacement; a word that matches nothing stays."""
        for stop in range(min(start + _LONGEST_RUN, len(words)), start, -1):
            found = self._words.get("".join(words[start:stop]))
            if found is not None:
                return stop, found
        return start + 1, words[start : start + 1]


def plain_texts(texts: list[str], abbreviations: str | Mapping[str, str] | None) -> list[str]:
    """Normalise texts and expand their abbreviations.

    Parameters
    ----------
    texts : list of str
    abbreviations : "default", mapping of str to str, or None
        As `checked_abbreviations` returns it.
    """
    plain = [normalise_header(text) for text in texts]
    if abbreviations is None:
        return plain
    meanings = ABBREVIATIONS if isinstance(abbreviations, str) else abbreviations
    expand = AbbreviationTable(meanings).expand
    return [expand(text) for text in plain]


def checked_abbreviations(given: Any) -> str | dict[str, str] | None:
    """Check the ``abbreviations`` parameter of an encoder.

    Parameters
    ----------
    given : "default", mapping of str to str, or None

    Returns
    -------
    str, dict or None
        A mapping comes back as a copy, so that later changes do not reach the encoder.

    Raises
    ------
    TypeError, ValueError
        It is something else, or see `AbbreviationTable`.
    """
    if given is None or (isinstance(given, str) and given == DEFAULT_TABLE):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(
            f"abbreviations must be {DEFAULT_TABLE!r}, a mapping of str to str, or None; got "
            f"{shorten(given)}."
        )
    AbbreviationTable(given)
    return dict(given)


def _plain_words(of: str, text: object) -> list[str]:
    if not isinstance(text, str):
        raise TypeError(f"abbreviations must map str to str; {shorten(of)} has {shorten(text)}.")
    words = normalise_header(text).split()
    if not words:
        raise ValueError(
            f"abbreviations: {shorten(of)} has {shorten(text)}, which holds no letter or digit."
        )
    return words
