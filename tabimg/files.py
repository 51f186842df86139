"""What the package asks of files: space before it is used, and errors that say where it lacks."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["allocate", "writing_to"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ZEROS = bytes(2**20)


@contextmanager
def writing_to(
    folder: str | os.PathLike[str], n_bytes: int, advice: str = "give another folder"
) -> Iterator[None]:
    """Let an OSError inside name the folder that was written to, and the size that was wanted.

    Parameters
    ----------
    folder : path
    n_bytes : int
        What is to be written in all.
    advice : str, default="give another folder"
        What can be done where there is no space left; follows ``"Free some space, or "``.

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
        if error.errno in _NO_SPACE:
            told += f"{_free(folder)}. Free some space, or {advice}"
        raise (OSError(told) if error.errno is None else OSError(error.errno, told)) from error


def allocate(file: IO[bytes], n_bytes: int) -> None:
    """Reserve the space of a new file, so that a full disk is met before the work, not after it.

    Raises
    ------
    OSError
        If the disk, or the user's share of it, has no room for so much.
    """
    if hasattr(os, "posix_fallocate"):
        if n_bytes:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        return
    for start in range(0, n_bytes, len(_ZEROS)):
        file.write(_ZEROS[: n_bytes - start])
    file.seek(0)


def _free(folder: str | os.PathLike[str]) -> str:
    place = Path(os.path.abspath(folder))
    there = next((path for path in (place, *place.parents) if path.is_dir()), place)
    try:
        return f" ({_size(shutil.disk_usage(there).free)} are free)"
    except OSError:
        return ""


def _size(n_bytes: int) -> str:
    size, unit = float(n_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
