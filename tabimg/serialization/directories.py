"""A directory of one JSON and one safetensors file, and a card, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors.numpy import load as arrays_from_bytes
from safetensors.numpy import save as arrays_to_bytes

from tabimg.files import open_regular, writing_to
from tabimg.serialization.decoding import Decoder
from tabimg.serialization.encoding import Encoder
from tabimg.serialization.folders import keep_mode, put_in_place, scratch_beside, sweep, sync
from tabimg.serialization.registry import SerializationError

FORMAT_VERSION = 1
STATE_FILE = "state.json"
ARRAYS_FILE = "arrays.safetensors"
# For people; nothing reads it.
CARD_FILE = "card.md"
FILES = (STATE_FILE, ARRAYS_FILE, CARD_FILE)

# More than any table's categories and texts take; a sparse file may claim any size.
MAX_STATE_BYTES = 2**30
_MAX_DIGITS = 100
# A save that replaces the directory while it is read takes only a moment.
_READ_ATTEMPTS = 5
_PAUSE_SECONDS = 0.02


def write_directory(
    directory: str | os.PathLike[str], value: object, card: str | None = None
) -> None:
    """Write a tree of values to a directory, replacing an earlier save.

    A process that reads the directory meanwhile finds the old or the new save, and so does whoever
    comes after a killed writer; what killed writers leave behind is removed.

    Parameters
    ----------
    directory : path
        Created with its parents. If it exists it must be empty or hold an earlier save and nothing
        else. A link stays a link, and permissions stay as they are.
    value : object
        Plain values, numpy arrays, registered classes and callables, arbitrarily nested.
    card : str, optional
        A page about it for people, which `read_directory` ignores.

    Raises
    ------
    FileExistsError
        If the directory holds something else.
    SerializationError
        If a value cannot be written; the message gives its place in the tree.
    OSError
        If it cannot be written, naming the folder and the size; an earlier save remains.
    """
    # A link's target is replaced.
    target = Path(os.path.realpath(directory))
    _check_replaceable(target)
    contents = _contents(value)
    if card is not None:
        contents[CARD_FILE] = card.encode()
    with writing_to(target.parent, sum(map(len, contents.values()))):
        target.parent.mkdir(parents=True, exist_ok=True)
        # First, to make room; but if the save itself is lost, the remains may be all there is.
        if (target / STATE_FILE).is_file():
            sweep(target, FILES)
        with scratch_beside(target, FILES) as scratch:
            for name, content in contents.items():
                (scratch / name).write_bytes(content)
                keep_mode(scratch / name, target / name)
                sync(scratch / name)
            keep_mode(scratch, target)
            put_in_place(scratch, target)
        sweep(target, FILES)


def read_directory(
    directory: str | os.PathLike[str], custom: Mapping[str, Any] | None = None
) -> Any:
    """Read what :func:`write_directory` wrote.

    Parameters
    ----------
    directory : path
    custom : mapping of str to object, optional
        The callables and foreign objects of the saved state, by qualified name.

    Raises
    ------
    FileNotFoundError
        If the directory or one of its files is missing.
    SerializationError
        If the directory is damaged, was written by a newer version, or needs a ``custom`` object
        (then a `CustomObjectError`); whatever its files hold, no other error is raised.
    ImportError
        If a network is built with a library that is not installed.
    """
    source = Path(directory)
    tree, arrays = _read_undisturbed(source)
    try:
        return Decoder(arrays, custom or {}, source).decode(tree)
    except (SerializationError, ImportError):
        raise
    except Exception as error:  # a tree written by others can fail in any way
        told = f"{type(error).__name__}: {error}"[:500]
        raise SerializationError(f"{source / STATE_FILE} is damaged: {told}") from error


# --- writing -----------------------------------------------------------------------------------


def _contents(value: object) -> dict[str, bytes]:
    """Return the content of each file."""
    encoder = Encoder()
    tree = encoder.encode(value, "value")
    arrays = arrays_to_bytes(encoder.arrays)
    document = {
        "format_version": FORMAT_VERSION,
        "arrays_sha256": digest_of_file(arrays),
        "value_sha256": digest_of_tree(tree),
        "value": tree,
    }
    return {ARRAYS_FILE: arrays, STATE_FILE: json.dumps(document, allow_nan=False).encode()}


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(f"{target} is a file; give a directory to save to")
    # The folder is replaced as a whole: anything else in it would be lost.
    foreign = sorted({path.name for path in target.iterdir()} - set(FILES))
    are_there = {(target / name).is_file() for name in (STATE_FILE, ARRAYS_FILE)}
    is_other_card = True not in are_there and (target / CARD_FILE).exists()
    if foreign or len(are_there) > 1 or is_other_card:
        raise FileExistsError(
            f"{target} holds files that are not of a saved tabimg estimator"
            f"{f', such as {foreign[0]!r}' if foreign else ''}; give another directory"
        )


# --- reading -----------------------------------------------------------------------------------


def _read_undisturbed(source: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Read both files of one save; start over if another save replaced it meanwhile."""
    for attempt in range(_READ_ATTEMPTS):
        before = _identity(source)
        try:
            return _read_files(source)
        except (FileNotFoundError, SerializationError):
            if attempt + 1 == _READ_ATTEMPTS or (attempt > 0 and _identity(source) == before):
                raise
            time.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _identity(source: Path) -> tuple[int, ...] | None:
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _read_files(source: Path) -> tuple[Any, dict[str, np.ndarray]]:
    state_path, arrays_path = source / STATE_FILE, source / ARRAYS_FILE
    # Both are opened before either is read: they belong to one save.
    with _open(state_path) as state, _open(arrays_path) as arrays_file:
        if os.fstat(state.fileno()).st_size > MAX_STATE_BYTES:
            raise SerializationError(f"{state_path} is damaged: no state is larger than 1 GiB")
        tree, digest = _parse(state.read(MAX_STATE_BYTES + 1), state_path)
        content = arrays_file.read()
    if digest_of_file(content) != digest:
        raise SerializationError(f"{arrays_path} is damaged: its checksum does not match")
    try:
        arrays = arrays_from_bytes(content)
    except Exception as error:
        raise SerializationError(f"{arrays_path} is damaged: {str(error)[:200]}") from error
    return tree, {name: a if a.flags.writeable else a.copy() for name, a in arrays.items()}


def _open(path: Path) -> IO[bytes]:
    """Open a regular file, or a link to one, for reading; a pipe or a device might never end."""
    try:
        return open_regular(os.path.realpath(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"{path.parent} is not a saved tabimg estimator: it holds no file {path.name!r}"
        ) from error
    except ValueError as error:
        raise SerializationError(f"{path} is not a regular file") from error


def _parse(content: bytes, path: Path) -> tuple[Any, str]:
    """Read the tree of values, and the checksum of its arrays."""
    try:
        document = json.loads(
            content,
            object_pairs_hook=_distinct,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
        )
        version = document["format_version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"format_version {version!r}")
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise SerializationError(f"{path} is damaged: {str(error)[:200]}") from error
    if version > FORMAT_VERSION:
        raise SerializationError(
            f"{path.parent} was written in format {version}; this version reads up to "
            f"{FORMAT_VERSION}: upgrade tabimg"
        )
    try:
        tree, arrays_digest = document["value"], document["arrays_sha256"]
        intact = digest_of_tree(tree) == document["value_sha256"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"{path} is damaged: it lacks {error}") from error
    if not intact:
        raise SerializationError(f"{path} is damaged: its checksum does not match")
    return tree, arrays_digest


def digest_of_file(content: bytes) -> str:
    """Detect accidental damage of a file."""
    return hashlib.sha256(content).hexdigest()


def digest_of_tree(tree: Any) -> str:
    """Detect accidental damage; no protection against somebody who rewrites both."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an entry occurs twice")
    return found


def _refuse(text: str) -> None:
    raise ValueError(f"unknown number {text}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"unknown number {text[:20]}")
    return number


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"unknown number {text[:20]}...")
    return int(text)
