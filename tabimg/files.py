"""Errors of writing that say which folder has no room, and for how much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["writing_to"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@contextmanager
def writing_to(folder: str | os.PathLike[str], n_bytes: int) -> Iterator[None]:
    """Let an OSError inside name the folder that was written to, and the size that was wanted.

    Parameters
    ----------
    folder : path
    n_bytes : int
        What is to be written in all.

    Raises
    ------
    OSError
        Of the same ``errno``, and hence of the same class, as the one inside.

    Examples
    --------
    >>> with writing_to("runs/photos", 3_000_000):
    ...     pass
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        told = f"cannot write {_size(n_bytes)} to {Path(folder)}: {reason}"
        raise (OSError(told) if error.errno is None else OSError(error.errno, told)) from error


def _size(n_bytes: int) -> str:
    size, unit = float(n_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
