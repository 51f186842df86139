"""A lock on a folder that several runs share: one holder at a time, none after a kill."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tabimg.locks import lock

LOCK_NAME = "lock"
POLL_SECONDS = 0.05
# A holder that writes nothing for this long has been stopped, or its machine is gone.
STALLED_SECONDS = 120.0


@contextmanager
def folder_lock(folder: Path, *, needed: bool) -> Iterator[bool]:
    """Hold the lock of a folder.

    The operating system releases it when a run is killed. File systems without locks grant it to
    everybody, so its holder must do no lasting harm to another.

    Parameters
    ----------
    folder : Path
    needed : bool
        Wait while another run holds the lock, for as long as that run writes to the folder.

    Yields
    ------
    bool
        Whether the lock is held.

    Raises
    ------
    OSError
        If the lock is needed, and the folder cannot be written to.
    """
    path = folder / LOCK_NAME
    try:
        descriptor = _take(path)
        while descriptor is None and needed and not _is_stalled(folder):
            time.sleep(POLL_SECONDS)
            descriptor = _take(path)
    except OSError:
        if needed:
            raise
        descriptor = None
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        # While still locked, so that nobody else's file is removed.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _take(path: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EEXIST, f"{path.name!r} in it is not a regular file: remove it")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        lock(descriptor)
        # The last holder may have removed the file between the two lines above.
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:  # a file system without locks
        return descriptor
    os.close(descriptor)
    return None


def _is_stalled(folder: Path) -> bool:
    newest = 0.0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, entry.stat(follow_symlinks=False).st_mtime)
    return time.time() - newest > STALLED_SECONDS
