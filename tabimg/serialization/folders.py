"""Folders that replace another in one step, and what killed writers leave next to them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
import sys
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tabimg.locks import open_locked

# Two folders swap names in the kernel, so that neither name is ever free.
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2
# Errors of a file system that cannot swap, or of a name that is free.
_CANNOT_SWAP = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)
_ATTEMPTS = 10


@contextlib.contextmanager
def scratch_beside(target: Path, names: Collection[str]) -> Iterator[Path]:
    """Make a hidden folder next to a target; it is removed at the end with its content.

    The folder is locked for as long as its writer lives, which distinguishes it from those that
    killed writers left behind.

    Parameters
    ----------
    target : Path
    names : collection of str
        The files that may be put into it: nothing else is ever removed.
    """
    scratch, lock = _locked_folder(target)
    try:
        yield scratch
    finally:
        remove_folder(scratch, names)
        if lock is not None:
            os.close(lock)


def sweep(target: Path, names: Collection[str]) -> None:
    """Remove what killed writers left next to a target; folders of living writers stay.

    Where folders cannot be locked, as on Windows, nothing is removed.
    """
    ours = re.compile(rf"\.{re.escape(target.name)}-[0-9a-f]{{32}}")
    for path in target.parent.iterdir():
        if ours.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                lock = open_locked(path)
                remove_folder(path, names)
                os.close(lock)


def put_in_place(scratch: Path, target: Path) -> None:
    """Put a finished folder in the place of another, or in an empty place.

    Where two folders can swap names, as on nearly every file system of Linux and macOS, the target
    exists at every moment. Afterwards ``scratch`` names the folder that was replaced, if there was
    one.
    """
    sync(scratch)
    for _ in range(_ATTEMPTS):
        try:
            if not target.exists():
                os.rename(scratch, target)
            elif not _swap(scratch, target):
                _move_aside(scratch, target)
        except OSError as error:
            # Another process was first, or removed it: look again.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
        else:
            break
    else:
        raise FileExistsError(f"{target} is being written to by others all the time")
    sync(target.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk, where the system offers that."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # Windows cannot open a folder
        return
    try:
        os.fsync(number)
    except OSError as error:
        # Some file systems cannot do it for a folder.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def keep_mode(path: Path, old: Path) -> None:
    """Return a new file or folder the permissions of the one that it will replace, if any."""
    with contextlib.suppress(OSError):
        os.chmod(path, stat.S_IMODE(old.stat().st_mode))


def remove_folder(folder: Path, names: Collection[str]) -> None:
    """Remove some files of a folder, and the folder unless it holds anything else."""
    with contextlib.suppress(OSError):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _locked_folder(target: Path) -> tuple[Path, int | None]:
    while True:
        path = target.parent / f".{target.name}-{uuid.uuid4().hex}"
        path.mkdir()
        try:
            lock = open_locked(path)
        except FileNotFoundError:
            continue  # swept away between the two steps
        except BlockingIOError:
            continue  # about to be
        except OSError:
            return path, None  # no locks here: nobody can sweep either
        if path.exists():
            return path, lock
        os.close(lock)


def _swap(one: Path, other: Path) -> bool:
    """Let two folders swap names; return whether the system can."""
    swap = _system_call()
    if swap is None:
        return False
    if swap(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_SWAP:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _system_call() -> Callable[[bytes, bytes], int] | None:
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return lambda one, other: library.renamex_np(one, other, _RENAME_SWAP)
        rename = library.renameat2
    except (AttributeError, OSError, TypeError):
        return None
    return lambda one, other: rename(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)


def _move_aside(scratch: Path, target: Path) -> None:
    """Replace a folder in two steps, with a moment in between without a folder."""
    aside = target.parent / f".{target.name}-{uuid.uuid4().hex}"
    os.rename(target, aside)
    try:
        os.rename(scratch, target)
    except BaseException:
        os.rename(aside, target)
        raise
    os.rename(aside, scratch)
