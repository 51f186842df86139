"""Checks of loaded values, for registered classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_type(name: str, value: Any, *types: type) -> None:
    """Raise a ValueError unless a value is an instance of given classes; a bool is not an int."""
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join(each.__name__ for each in types)
        raise ValueError(f"{name} must be {names}, got {type(value).__name__}")


def check_items(name: str, value: Any, container: type, *types: type) -> None:
    """Raise a ValueError unless a value is a list, or tuple, of instances of some classes."""
    check_type(name, value, container)
    for item in value:
        check_type(f"an item of {name}", item, *types)


def check_stored(
    name: str,
    value: Any,
    dtypes: str | Sequence[str],
    shape: tuple[int | None, ...],
    *,
    finite: bool = True,
) -> None:
    """Raise a ValueError unless a value is an array as described.

    Parameters
    ----------
    name : str
    value : object
    dtypes : str or sequence of str
        Allowed names of the dtype.
    shape : tuple of int or None
        None stands for any length.
    finite : bool, default=True
        Whether NaN and infinity are refused.
    """
    allowed = [dtypes] if isinstance(dtypes, str) else list(dtypes)
    check_type(name, value, np.ndarray)
    fits = value.ndim == len(shape) and all(
        wanted is None or wanted == length
        for wanted, length in zip(shape, value.shape, strict=True)
    )
    if value.dtype.name not in allowed or not fits:
        raise ValueError(
            f"{name} must be {' or '.join(allowed)} of shape {shape}, got {value.dtype} of shape "
            f"{value.shape}"
        )
    if finite and not np.isfinite(value).all():
        raise ValueError(f"{name} holds NaN or infinity")


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise a ValueError unless a value is an int in a range, both ends included."""
    check_type(name, value, int)
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {str(value)[:40]}")
