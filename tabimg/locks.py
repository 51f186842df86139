"""Locks between processes: whoever holds one lets go of it when it ends, even if it is killed."""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["lock", "open_locked"]

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}


def lock(descriptor: int, *, wait: bool = False) -> None:
    """Lock an open file, or on POSIX an open folder, until its descriptor is closed.

    Parameters
    ----------
    descriptor : int
    wait : bool, default=False
        Wait while somebody else holds the lock. On Windows nothing waits.

    Raises
    ------
    BlockingIOError
        If somebody else holds it.
    OSError
        If the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _BUSY:
            raise BlockingIOError(error.errno, error.strerror) from error
        raise


def open_locked(folder: str | os.PathLike[str], *, wait: bool = False) -> int:
    """Open and `lock` a folder; closing the descriptor lets go of it.

    Raises
    ------
    OSError
        As `lock`, and as `os.open`, which on Windows opens no folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, wait=wait)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
