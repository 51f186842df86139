"""Checks of single parameters, made in ``fit``: scikit-learn forbids them in ``__init__``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from tabimg.messages import bounded_errors, shorten


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise a ValueError unless a parameter is one of its choices."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} must be one of {tuple(choices)}, got {shorten(value)}")


def check_positive_int(name: str, value: Any, low: int = 1) -> None:
    """Raise unless a parameter is an integer of at least ``low``."""
    check_scalar(value, name, Integral, min_val=low)


def check_positive(name: str, value: Any) -> None:
    """Raise unless a parameter is a number above zero."""
    check_scalar(value, name, Real, min_val=0, include_boundaries="neither")
    _refuse_nan(name, value)


def check_non_negative(name: str, value: Any) -> None:
    """Raise unless a parameter is a number of at least zero."""
    check_scalar(value, name, Real, min_val=0)
    _refuse_nan(name, value)


def check_flag(name: str, value: Any) -> None:
    """Raise a TypeError unless a parameter is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shorten(value)}")


def check_path(name: str, value: Any) -> None:
    """Raise a TypeError unless a parameter is None or a path."""
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be None or a path, got {shorten(value)}")


def check_folder(name: str, value: Any) -> None:
    """Raise unless a parameter is None or where a folder is, or may be made."""
    check_path(name, value)
    if value is None:
        return
    path = os.fspath(value)
    if not path or "\0" in path or not _is_encodable(path):
        raise ValueError(f"{name}: no folder can have the name {shorten(path)}")
    for place in (Path(path), *Path(path).parents):
        if os.path.lexists(place) and not place.is_dir():
            raise NotADirectoryError(f"{name}: {shorten(str(place))} is no folder")
    if Path(path).exists():
        return  # what is kept there may be all that is needed, without any right to write
    parent = next(place for place in Path(path).absolute().parents if place.exists())
    by_effective_user = os.access in os.supports_effective_ids
    if not os.access(parent, os.W_OK | os.X_OK, effective_ids=by_effective_user):
        raise PermissionError(
            f"{name}: no folder can be made in {shorten(str(parent))}, where this user may not "
            "write: name another one"
        )


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def check_optional_callable(name: str, value: Any) -> None:
    """Raise a TypeError unless a parameter is None or callable."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be None or callable, got {shorten(value)}")


def check_n_jobs(n_jobs: Any) -> None:
    """Raise unless ``n_jobs`` is None or a whole number other than zero."""
    if n_jobs is not None:
        check_scalar(n_jobs, "n_jobs", Integral)
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 has no meaning: None is one thread, -1 all processors")


def draw_seed(random_state: Any) -> int:
    """Draw one run's seed from a ``random_state`` parameter; errors name it."""
    try:
        with bounded_errors():
            return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except ValueError as error:
        raise ValueError(f"random_state={shorten(random_state)}: {error}") from error


def _refuse_nan(name: str, value: Any) -> None:
    if np.isnan(value):
        raise ValueError(f"{name} must be a number, got {shorten(value)}")
