"""Files: disk space checked before it is used, and errors that name the folder and the size."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["NO_SPACE", "allocate", "open_regular", "writing_to"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


@contextmanager
def writing_to(
    folder: str | os.PathLike[str], n_bytes: int, advice: str = "give another folder"
) -> Iterator[None]:
    """Make an OSError inside name the folder being written to, and the size needed.

    Parameters
    ----------
    folder : path
    n_bytes : int
        The total to be written.
    advice : str, default="give another folder"
        What to do if there is no space left; follows ``"Free some space, or "``.

    Raises
    ------
    OSError
        With the same ``errno``, and hence of the same class, as the one inside.

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
        if error.errno in NO_SPACE:
            told += f"{_free(folder)}. Free some space, or {advice}"
        raise (OSError(told) if error.errno is None else OSError(error.errno, told)) from error


def allocate(file: IO[bytes], n_bytes: int) -> None:
    """Reserve the space of a new file, so that a full disk shows before the work, not after it.

    If space cannot be reserved, it is at least checked, where the system allows that.

    Parameters
    ----------
    file : binary file
        Open for writing. Its position does not change.
    n_bytes : int

    Raises
    ------
    OSError
        If the disk, or the user's share of it, has no room for so much.
    """
    if n_bytes and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
            return
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
    if hasattr(os, "fstatvfs"):
        disk = os.fstatvfs(file.fileno())
        if disk.f_bavail * disk.f_frsize < n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file for reading, and nothing that could block, respond or lead elsewhere.

    Raises
    ------
    ValueError
        If the path is a link, a folder, a pipe, a socket or a device.
    OSError
        As `open`.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise ValueError("it is not a regular file")
    # Guards against another process replacing the file meanwhile. Windows lacks the first two.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, os.O_RDONLY | flags), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ValueError("it is not a regular file")


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
