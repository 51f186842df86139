"""Short keys that change whenever an image would be decoded to other pixels."""

from __future__ import annotations

import hashlib
import os
import pickle
import types

import numpy as np
from PIL import Image

from tabimg.image.orientation import orientation_of
from tabimg.image.reader import ImageLoader, ImageSource
from tabimg.image.sources import RowImages

KEY_BYTES = 16


def source_key(source: ImageSource) -> bytes:
    """Key of one image.

    A path is keyed by its name, size and modification time (ns), without reading the file; a
    missing file has a key of its own. Bytes are keyed by content, PIL images by their pixels.

    Parameters
    ----------
    source : str, bytes or PIL.Image.Image

    Returns
    -------
    bytes
        16 bytes.
    """
    if isinstance(source, bytes):
        return _digest(b"bytes", source)
    if isinstance(source, Image.Image):
        return _pil_key(source)
    return path_key(path_bytes(source))


def path_bytes(path: str | os.PathLike[str]) -> bytes:
    """Encode a path as the operating system does, or in any way if no file can have it."""
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        return os.fspath(path).encode("utf-8", "surrogatepass")


def path_key(path: bytes) -> bytes:
    """Key of the file that lies at a path now, as in :func:`source_key`."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # no system has a path with a NUL in it
        return _digest(b"missing", path)
    return _digest(b"file", path, f"{status.st_size},{status.st_mtime_ns}".encode())


def loader_key(loader: ImageLoader | None) -> bytes | None:
    """Key of an image loader, or None if there is no key that holds in another process.

    A plain function is keyed by its module, name and compiled code; anything else by its pickle.
    A function that closes over values, or that cannot be pickled, has no key.

    Parameters
    ----------
    loader : callable or None

    Returns
    -------
    bytes or None
        16 bytes.
    """
    if loader is None:
        return _digest(b"pillow")
    if isinstance(loader, types.FunctionType):
        if loader.__closure__:
            return None
        code = loader.__code__
        constants = [c for c in code.co_consts if not isinstance(c, types.CodeType)]
        described = repr((loader.__defaults__, loader.__kwdefaults__, constants, code.co_names))
        name = f"{loader.__module__}.{loader.__qualname__}"
        return _digest(b"function", name.encode(), code.co_code, described.encode())
    try:
        return _digest(b"pickle", pickle.dumps(loader))
    except Exception:  # objects may refuse to be pickled with any class of error
        return None


def image_fingerprint(images: RowImages) -> str:
    """Key of the images of a table: which row has which, and what they hold.

    Parameters
    ----------
    images : RowImages

    Returns
    -------
    str
        Hex digest. It stays the same as long as the rows list the same images and no file changes
        its size or modification time; images that no row lists do not count.
    """
    used, renumbered = np.unique(images.ids, return_inverse=True)
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    if images.vectors is None:
        keys = [source_key(images.sources[index]) for index in used.tolist()]
    else:
        keys = [_digest(b"vector", images.vectors[index].tobytes()) for index in used.tolist()]
    # Ids may be in the order of appearance in another set, so their order must not count.
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    for index in order.tolist():
        digest.update(keys[index])
    digest.update(rank[renumbered.reshape(-1)].tobytes())
    digest.update(images.offsets.tobytes())
    return digest.hexdigest()


def _pil_key(image: Image.Image) -> bytes:
    try:
        pixels = image.tobytes()
    except Exception:  # the decoder behind a lazily opened image may fail in any way
        return _digest(b"unreadable PIL image")
    palette = image.palette.tobytes() if image.palette is not None else b""
    orientation = orientation_of(image)
    described = repr((image.mode, image.size, image.info.get("transparency"), orientation))
    return _digest(b"PIL", described.encode(), palette, pixels)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
