"""Open the files of photos: regular ones only, and without blocking."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from tabimg.image.refusal import RefusedImage

KINDS = {
    stat.S_IFDIR: "it is a directory, not a file",
    stat.S_IFIFO: "it is a named pipe (FIFO), not a file",
    stat.S_IFSOCK: "it is a socket, not a file",
    stat.S_IFCHR: "it is a device, not a file",
    stat.S_IFBLK: "it is a device, not a file",
}


def path_status(path: str) -> os.stat_result | None:
    """Return the status of what a path leads to, through links, without opening it.

    Returns
    -------
    os.stat_result or None
        None if nothing is found. That includes names that no file can have: too long, with a NUL,
        or with a lone surrogate.
    """
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def why_no_file(path: str, folders: bool = False) -> str | None:
    """Say why a path cannot be opened as a photo's file; None if it can.

    Parameters
    ----------
    path : str
    folders : bool, default=False
        Whether a folder will do, as for an image loader that reads a series of slices.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "the file does not exist (relative paths start at image_root)"
    except ValueError:
        return "no file can have this name: it holds a NUL or a lone surrogate"
    except OSError as error:
        return f"the file cannot be reached ({error.strerror})"
    if stat.S_ISREG(mode) or (folders and stat.S_ISDIR(mode)):
        return None
    return KINDS.get(stat.S_IFMT(mode), "it is not a regular file")


def open_regular(path: str) -> BinaryIO:
    """Open a regular file for reading.

    Raises
    ------
    RefusedImage
        If the path leads to a folder, a named pipe, a socket, a device, or nowhere.
    OSError
        If the file cannot be opened.
    """
    # Opening a device may already have an effect, so it is checked first.
    reason = why_no_file(path)
    if reason is not None:
        raise RefusedImage(reason)
    # Without waiting for the other end of a pipe, in case the path leads to one by now.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedImage("it is not a regular file")
    return os.fdopen(descriptor, "rb")
