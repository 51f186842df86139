"""Values and lists in messages: shown as Python writes them, cut to a line of bounded length."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

__all__ = ["bounded_errors", "join", "listing", "shorten"]

# Long enough for a path or a date, short enough for a line with some words around it.
VALUE_LENGTH = 80
LISTED = 5
# A whole message, and what a list may take of it.
MESSAGE_LENGTH = 800
LISTING_LENGTH = 600
# Shorter than this, a line of a message that is cut says nothing.
LINE_LENGTH = 75
_LINE_BREAK = re.compile(r"\s*\n\s*")


def shorten(value: Any, length: int = VALUE_LENGTH) -> str:
    """Write a value for a message, as `repr` does but never long.

    Parameters
    ----------
    value : object
        numpy's scalars are written as Python's.
    length : int, default=80
        Longer texts are cut in the middle; nested containers lose elements.

    Returns
    -------
    str
        One line. Its cost does not grow with a text's or a container's length.

    Examples
    --------
    >>> shorten("?")
    "'?'"
    >>> shorten("abc" * 1000, length=12)
    "'abc...cabc'"
    """
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, str):
        value = str(value)  # a subclass may write itself otherwise
    elif isinstance(value, (bytes, bytearray)):
        value = bytes(value[:length])
    writer = reprlib.Repr()
    writer.maxstring = writer.maxother = writer.maxlong = length
    try:
        text = writer.repr(value)
    except ValueError:  # Python refuses to write integers of many thousand digits
        text = f"<{type(value).__name__} of many digits>"
    return _cut(_LINE_BREAK.sub(" ", text), 2 * length)


def listing(values: Collection[Any], most: int = LISTED) -> str:
    """Write the first values of a collection and the number of the others.

    Parameters
    ----------
    values : collection
    most : int, default=5
        Fewer are written where they are long.

    Returns
    -------
    str

    Examples
    --------
    >>> listing(["age", "sex"])
    "'age', 'sex'"
    >>> listing(range(10_000), most=2)
    '0, 1 and 9998 more'
    """
    return join(map(shorten, islice(values, most)), len(values))


def join(texts: Iterable[str], total: int, separator: str = ", ") -> str:
    """Join texts as long as they fit, at least one, and write how many of all are left out.

    Parameters
    ----------
    texts : iterable of str
        The first of them, or all.
    total : int
        How many there are in all.
    separator : str, default=", "

    Returns
    -------
    str
    """
    shown: list[str] = []
    for text in texts:
        if shown and len(separator.join([*shown, text])) > LISTING_LENGTH:
            break
        shown.append(text)
    more = total - len(shown)
    return separator.join(shown) + (f" and {more} more" if more > 0 else "")


@contextmanager
def bounded_errors() -> Iterator[None]:
    """Cut the messages of errors that another library raises, for it writes values in full.

    Lines are cut in the middle, and only where the whole message is longer than `MESSAGE_LENGTH`.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        message = str(error)
        if len(message) > MESSAGE_LENGTH:
            lines = message.split("\n")[: MESSAGE_LENGTH // LINE_LENGTH]
            error.args = ("\n".join(_cut(line, MESSAGE_LENGTH // len(lines)) for line in lines),)
        raise


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
