"""Messages for users: values cut to a bounded length, warnings that point to the user's line."""

from __future__ import annotations

import contextlib
import re
import reprlib
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from types import FrameType
from typing import Any

import numpy as np

__all__ = ["bounded_errors", "import_hint", "join", "listing", "shorten", "warn"]

# Long enough for a path or a date, short enough for a line with some words around it.
VALUE_LENGTH = 80
LISTED = 5
# A whole message, and the most that a list may take up of it.
MESSAGE_LENGTH = 800
LISTING_LENGTH = 600
# A line of a message that is cut shorter than this says nothing.
LINE_LENGTH = 75
# Packages whose lines are not the user's: this one, and those that pass calls on.
_NOT_THE_USERS = {"concurrent", "contextlib", "joblib", "sklearn", "skorch", "tabimg"}
_LINE_BREAK = re.compile(r"\s*\n\s*")


def shorten(value: Any, length: int = VALUE_LENGTH) -> str:
    """Write a value for a message, as `repr` does, but never at length.

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
    """Write the first values of a collection and how many are left out.

    Parameters
    ----------
    values : collection
    most : int, default=5
        Fewer are written if they are long.

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
    """Join as many texts as fit, at least one, and write how many are left out.

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


@contextlib.contextmanager
def bounded_errors() -> Iterator[None]:
    """Cut the messages of another library's errors, which may write values in full.

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


@contextlib.contextmanager
def import_hint(need: str, install: str) -> Iterator[None]:
    """Say what to install where an optional import fails.

    Parameters
    ----------
    need : str
        What needs which package.
    install : str
        What to pass to ``pip install``.

    Raises
    ------
    ImportError

    Examples
    --------
    >>> with import_hint("Drawing needs matplotlib", "'tabimg[plot]'"):
    ...     import matplotlib
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{need} ({error}): pip install {install}") from error


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and point to the user's line that led here.

    That is the innermost one outside the package and the libraries that pass calls on.
    """
    level, frame = 2, sys._getframe(1)
    while _package_of(frame) in _NOT_THE_USERS and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
