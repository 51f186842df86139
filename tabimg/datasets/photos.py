"""Where a generated data set's photos live, and how they get there."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def open_photo_folder(image_dir: str | os.PathLike[str] | None, name: str) -> Path:
    """Return the absolute folder that the photos are written to, created if missing.

    Without ``image_dir`` it is a fresh temporary folder that stays until the interpreter exits:
    frames cut from the data set hold bare paths, so no object's lifetime shows when the last path
    is out of use.

    Raises
    ------
    NotADirectoryError
        If ``image_dir`` exists and is not a folder.
    """
    if image_dir is None:
        folder = Path(tempfile.mkdtemp(prefix=f"tabimg-{name}-")).resolve()
        atexit.register(_remove_own_folder, folder, os.getpid())
        return folder
    folder = Path(image_dir).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"image_dir must be a folder, but {str(folder)!r} is a file.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remove_own_folder(folder: Path, owner: int) -> None:
    # A forked child inherits the exit handler, and must not remove its parent's photos.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def write_photos(
    folder: Path,
    stem: str,
    seed: np.random.SeedSequence,
    n_photos: int,
    draw: Callable[[int, np.random.Generator], np.ndarray],
) -> list[str]:
    """Draw and write ``n_photos`` PNG files; return their absolute paths.

    Parameters
    ----------
    folder : Path
        Where the files go.
    stem : str
        Files are called ``{stem}_00000.png`` and so on; a file of that name is replaced.
    seed : numpy.random.SeedSequence
        Photo ``i`` has the ``i``-th child stream, so that it does not depend on the other photos.
    n_photos : int
        Number of files.
    draw : callable
        ``draw(i, rng)`` returns the pixels of photo ``i``: uint8 (H, W) or (H, W, 3).
    """
    paths = []
    for i, child in enumerate(seed.spawn(n_photos)):
        path = folder / f"{stem}_{i:05d}.png"
        _write_png(path, draw(i, np.random.default_rng(child)))
        paths.append(str(path))
    return paths


def _write_png(path: Path, pixels: np.ndarray) -> None:
    # Under its final name a photo is always complete, even if two processes write it at once.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            Image.fromarray(pixels).save(file, format="PNG", compress_level=3)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
