"""Messages of the package in the words of the command line: options in place of parameters."""

from __future__ import annotations

import re

OPTIONS = {
    "categorical_features": "--categorical",
    "group_column": "--groups",
    "image_column": "--image-column",
    "image_root": "--images",
    "key_column": "--key-column",
    "metric": "--metric",
    "on_bad_image": "--on-bad-image",
    "on_missing": "--on-missing",
    "target": "--target",
    "task": "--task",
    "time_limit": "--time-limit",
}
_NAMES = "|".join(OPTIONS)
_LIST = re.compile(rf"\b({_NAMES})=\[([^\]]*)\]")
_VALUE = re.compile(rf"\b({_NAMES})=(?:'([^']*)'|\"([^\"]*)\")")
_BARE = re.compile(rf"\b({_NAMES})=(?=[\s,.:;)]|$)")
# Names that are no English words stand for the option even without a value.
_NAME = re.compile(rf"(?<![-\w])({'|'.join(n for n in OPTIONS if '_' in n)})(?!\w)")
_DROP = re.compile(r"X\.drop\(columns=(\[?)'([^']*)'(\]?)\)")
_FRAMES = (("column of X", "column of the table"), (" of X ", " of the table "))


def in_options(message: str) -> str:
    """Write what Python's callers are told as users of the command line would be.

    Parameters
    ----------
    message : str

    Returns
    -------
    str

    Examples
    --------
    >>> in_options("declare it: categorical_features=['zip'], or set on_missing='drop'")
    'declare it: --categorical zip, or set --on-missing drop'
    """
    message = _DROP.sub(r"--drop \2", message)
    message = _LIST.sub(_each, message)
    message = _VALUE.sub(lambda m: f"{OPTIONS[m[1]]} {_quoted(m[2] or m[3] or '')}", message)
    message = _BARE.sub(lambda m: OPTIONS[m[1]], message)
    message = _NAME.sub(lambda m: OPTIONS[m[1]], message)
    for python, words in _FRAMES:
        message = message.replace(python, words)
    return message


def _each(match: re.Match[str]) -> str:
    option = OPTIONS[match[1]]
    values = [value.strip().strip("'\"") for value in match[2].split(",")]
    return " ".join(f"{option} {_quoted(value)}" for value in values)


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
