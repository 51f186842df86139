"""Look for the files of photos before the first is opened."""

from __future__ import annotations

import errno
import os
import stat

import numpy as np

from tabimg.image.cells import is_address
from tabimg.image.path_hints import explain, near_name
from tabimg.image.reader import ImageReadError
from tabimg.image.sources import RowImages

N_NAMED = 3
NOT_THERE = "does not exist"
# What systems report for names that no file can have; the reader says more of other errors.
_NO_SUCH_NAME = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


class MissingImagesError(ImageReadError, FileNotFoundError):
    """Files that rows list do not exist; ``cause`` is the whole message."""

    def __str__(self) -> str:
        return self.cause


def look_for_files(images: RowImages, on_bad_image: str | None) -> dict[int, ImageReadError]:
    """Look for the file of each photo that a row lists; none is opened.

    Parameters
    ----------
    images : RowImages
    on_bad_image : {"raise", "warn", "skip"} or None
        None is "raise" for callers that have neither such a parameter nor ``image_loader``: the
        message names neither.

    Returns
    -------
    dict of int to ImageReadError
        What is missing, by id.

    Raises
    ------
    MissingImagesError
        If a file is missing under "raise" or None, or all files are under any ``on_bad_image``.
    """
    used, first = np.unique(images.ids, return_index=True)
    absent: dict[int, str] = {}
    for index in used[np.argsort(first)].tolist() if images.vectors is None else []:
        source = images.sources[index]
        cause = _absence(source) if isinstance(source, str) else None
        if cause is not None:
            absent[index] = cause
    if absent and (on_bad_image in ("raise", None) or len(absent) == len(used)):
        error = images.error_of(next(iter(absent)), "")
        has_policy = on_bad_image is not None
        message = _message(images, absent, len(used), has_policy)
        raise MissingImagesError(message, error.source, error.rows, error.where)
    return {index: images.error_of(index, cause) for index, cause in absent.items()}


def _absence(path: str) -> str | None:
    """Say why a path leads to no file; None if there is something to open."""
    if is_address(path):
        return "is an address, not a file"
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return NOT_THERE if error.errno in _NO_SUCH_NAME else None
    except ValueError:  # no text for a path, as the reader will say
        return None
    return "is a folder, not a file" if stat.S_ISDIR(mode) else None


def _near(path: str, cause: str) -> str:
    return near_name(path) if cause == NOT_THERE else ""


def _message(images: RowImages, absent: dict[int, str], n_used: int, has_policy: bool) -> str:
    entries = [
        f"{images.describe_rows(images.rows_of(index).tolist())}: "
        f"{images.describe_source(index)} {cause}{_near(str(images.sources[index]), cause)}"
        for index, cause in list(absent.items())[:N_NAMED]
    ]
    if len(absent) > N_NAMED:
        entries.append(f"and {len(absent) - N_NAMED} more")
    text = (
        f"{len(absent)} of {n_used} photos {'is' if len(absent) == 1 else 'are'} missing: "
        f"{'; '.join(entries)}."
    )
    given = [images.given[index] if len(images.given) else "" for index in absent]
    paths = [str(images.sources[index]) for index in absent]
    all_missing = len(absent) == n_used
    hint = explain(given, paths, all_missing=all_missing, has_loader=has_policy)
    return " ".join(filter(None, (text, hint, _advice(all_missing, has_policy))))


def _advice(all_missing: bool, has_policy: bool) -> str:
    if not has_policy:
        return "Correct the paths, or leave the cells of rows without a photo empty (None)."
    if all_missing:
        return "If all photos are missing, on_bad_image='warn' and 'skip' raise as well."
    return (
        "Correct the paths, leave these rows' cells empty (None), or set on_bad_image='warn' or "
        "'skip' to go on without these photos."
    )
