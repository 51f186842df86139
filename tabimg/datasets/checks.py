"""Checks of parameters: an error says in one sentence which one is wrong, and why."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import check_random_state

from tabimg.datasets.near_names import is_address, near_entries, without_repeated_part
from tabimg.messages import shorten


def check_count(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int of at least ``low`` and at most ``high``.

    Raises
    ------
    TypeError
        If ``value`` is not an integer.
    ValueError
        If ``value`` lies outside the range.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name} must be an integer, got {shorten(value)} of type {type(value).__name__}."
        )
    count = int(value)
    if count < low or (high is not None and count > high):
        allowed = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {allowed}, got {count}.")
    return count


def check_share(name: str, value: object, *, above_zero: bool = False) -> float:
    """Return ``value`` as a float in [0, 1), or in (0, 1) with ``above_zero``.

    Raises
    ------
    TypeError
        If ``value`` is not a real number.
    ValueError
        If ``value`` lies outside the range.
    """
    number = _check_real(name, value)
    if not 0 <= number < 1 or (above_zero and number == 0):
        raise ValueError(f"{name} must be in {'(0, 1)' if above_zero else '[0, 1)'}, got {value}.")
    return number


def check_positive(name: str, value: object) -> float:
    """Return ``value`` as a finite float above zero.

    Raises
    ------
    TypeError
        If ``value`` is not a real number.
    ValueError
        If ``value`` is not finite and above zero.
    """
    number = _check_real(name, value)
    if not 0 < number < np.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value}.")
    return number


def check_not_negative(name: str, value: object) -> float:
    """Return ``value`` as a finite float of at least zero.

    Raises
    ------
    TypeError
        If ``value`` is not a real number.
    ValueError
        If ``value`` is not finite, or below zero.
    """
    number = _check_real(name, value)
    if not 0 <= number < np.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value}.")
    return number


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise a ValueError unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}, got {shorten(value)}."
        )


def check_folder(name: str, value: str | os.PathLike[str]) -> Path:
    """Return the absolute path of an existing folder.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is nothing, or not a folder; shows similar names.
    TypeError
        If ``value`` is not a path.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be the path of a folder, got {shorten(value)}.")
    if is_address(os.fspath(value)):
        raise FileNotFoundError(
            f"{name} is an address, {shorten(value)}: download the files, and give their folder."
        )
    folder = Path(value).expanduser().absolute()
    if not folder.exists():
        intended = without_repeated_part(folder)
        hint = near_entries(folder)
        if intended is not None:
            hint = f" A part occurs in it twice: did you mean {shorten(str(intended))}?"
        raise FileNotFoundError(f"{name}: there is no folder {shorten(str(folder))}.{hint}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{name} must be a folder, but {shorten(str(folder))} is a file.")
    return folder


def _check_real(name: str, value: object) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must be a number, got {shorten(value)} of type {type(value).__name__}."
        )
    return float(value)


def spawn_streams(random_state: object, n_streams: int) -> list[np.random.SeedSequence]:
    """Spawn independent seed sequences, one per purpose, from scikit-learn's ``random_state``.

    Each purpose (design, noise, missing cells, photos) draws from its own stream, so that changing
    one parameter leaves everything else in the data set as it was.
    """
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return np.random.SeedSequence(seed).spawn(n_streams)
