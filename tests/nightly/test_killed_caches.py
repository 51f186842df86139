"""Runs that are killed while they keep photos: nothing is left over, and no pixel is wrong."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tabimg.image import RowImages, build_image_cache, read_image

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]

SIZE = 16
N_PHOTOS = 60
# Each of these can be the last thing that a run does. Reads are among them, and do no harm.
FILE_EVENTS = ("open", "os.", "fcntl.", "mmap.", "tempfile.")
N_AT_RANDOM = 60
SOME = [3, 17, 29]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(N_PHOTOS):
        noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{seed}.png")
    return folder


def images_of(photos: Path, n_images: int = N_PHOTOS) -> RowImages:
    return RowImages.from_cells([[f"{number}.png" for number in range(n_images)]], root=photos)


def build(photos: Path, kept: Path, memory_limit: int) -> None:
    """Build a cache and check its pixels."""
    images = images_of(photos)
    cache, _ = build_image_cache(images, SIZE, cache_dir=kept, memory_limit=memory_limit)
    expected = [read_image(images.sources[index], SIZE) for index in SOME]
    np.testing.assert_array_equal(cache.gather(np.array(SOME)), expected)


def start_over(photos: Path, kept: Path) -> None:
    """Keep two thirds of the photos, and touch a third of those."""
    shutil.rmtree(kept, ignore_errors=True)
    build_image_cache(images_of(photos, N_PHOTOS * 2 // 3), SIZE, cache_dir=kept)
    for number in range(N_PHOTOS * 2 // 9):
        os.utime(photos / f"{number}.png")


def in_child(task: Callable[[], None], killed_after: float | None = None) -> bool:
    """Run a task in a child; say whether it was killed."""
    child = os.fork()
    if not child:
        task()
        os._exit(0)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def die_at(event: int) -> None:
    """Kill this process when it does its next so many things with files."""
    left = event

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if name.startswith(FILE_EVENTS):
            left -= 1
            if left < 0:
                signal.raise_signal(signal.SIGKILL)

    sys.addaudithook(hook)


def assert_next_run_clears_up(photos: Path, kept: Path, memory_limit: int) -> int:
    """Build again, and check that each photo lies there once; give what the killed run left."""
    complete = {path.stem for path in kept.rglob("*.npz")}
    left = [path for path in kept.rglob("*") if path.is_file() and path.stem not in complete]
    n_bytes = sum(path.stat().st_size for path in left)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(photos, kept, memory_limit)
    files = [path for path in kept.rglob("*") if path.is_file()]
    pixels = [path for path in files if path.suffix == ".npy"]
    assert {path.with_suffix(".npz") for path in pixels} | set(pixels) == set(files)
    stored = sum((path.stat().st_size - 128) // (3 * SIZE**2) for path in pixels)
    assert N_PHOTOS <= stored <= N_PHOTOS * 9 // 8
    return n_bytes


@pytest.mark.parametrize("memory_limit", [0, 2**29], ids=["disk", "memory"])
def test_run_killed_at_any_use_of_a_file_leaves_nothing(
    photos: Path, tmp_path: Path, memory_limit: int
) -> None:
    kept = tmp_path / "kept"
    killed, n_bytes, event = True, 0, 0

    def dying() -> None:
        die_at(event)
        build(photos, kept, memory_limit)

    while killed:
        start_over(photos, kept)
        killed = in_child(dying)
        n_bytes += assert_next_run_clears_up(photos, kept, memory_limit)
        event += 1
    print(f"{event - 1} runs killed, one at each use of a file: {n_bytes} bytes left, all cleared")
    assert event > 50


@pytest.mark.parametrize("memory_limit", [0, 2**29], ids=["disk", "memory"])
def test_run_killed_at_any_moment_leaves_nothing(
    photos: Path, tmp_path: Path, memory_limit: int
) -> None:
    kept, rng = tmp_path / "kept", random.Random(0)
    start_over(photos, kept)
    start = time.perf_counter()
    in_child(lambda: build(photos, kept, memory_limit))
    longest = time.perf_counter() - start
    n_killed = n_bytes = 0
    while n_killed < N_AT_RANDOM:
        start_over(photos, kept)
        n_killed += in_child(lambda: build(photos, kept, memory_limit), rng.uniform(0, longest))
        n_bytes += assert_next_run_clears_up(photos, kept, memory_limit)
    print(f"{n_killed} runs killed at random moments: {n_bytes} bytes left, all cleared")


def test_photos_beyond_memory_of_a_killed_run_leave_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    killed, event = True, 0

    def dying() -> None:
        die_at(event)
        build_image_cache(images_of(photos), SIZE, memory_limit=0)

    while killed:
        killed = in_child(dying)
        # Where files cannot be made without a name, an empty one may stay.
        assert sum(path.stat().st_size for path in temporary.iterdir()) == 0
        event += 1
    print(
        f"{event - 1} runs killed, one at each use of a file: nothing left in the system's folder"
    )
