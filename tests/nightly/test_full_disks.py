"""A disk that is really full: an error with words, nothing half-written, earlier photos there."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tabimg.image import RowImages, build_image_cache

pytestmark = pytest.mark.nightly

SIZE = 64
DISK_BYTES = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(options, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to mount a small disk: {error}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grey_loader(path: str) -> np.ndarray:
    return np.full((8, 8), int(path[-3:]), dtype=np.uint8)


def images_of(numbers: range) -> RowImages:
    return RowImages.from_cells([[f"/photos/{number:03}" for number in numbers]])


@pytest.mark.parametrize("memory_limit", [0, 2**29], ids=["disk", "memory"])
@pytest.mark.parametrize("can_reserve", [True, False])
def test_photos_fill_a_disk_up_to_its_end_and_no_further(
    small_disk: Path, memory_limit: int, can_reserve: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_reserve:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        monkeypatch.delattr(os, "fstatvfs", raising=False)
    n_refused = n_held = 0
    for n_images in range(1, 120, 7):
        images = images_of(range(n_images))
        options = {"loader": grey_loader, "cache_dir": small_disk, "memory_limit": memory_limit}
        try:
            cache, _ = build_image_cache(images, SIZE, **options)  # type: ignore[arg-type]
        except OSError as error:
            assert error.errno == errno.ENOSPC
            assert str(small_disk) in str(error) and "larger disk" in str(error)
            assert not list(small_disk.rglob("*.tmp"))
            n_refused += 1
        else:
            values = cache.gather(np.arange(n_images))
            assert (values == np.arange(n_images).reshape(-1, 1, 1, 1)).all()
            n_held = n_images
            cache.close()
        files = [path for path in small_disk.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} <= {".npy", ".npz"}
        assert len(files) == 2 * len({path.stem for path in files})
    cache, _ = build_image_cache(images_of(range(n_held)), SIZE, **options)  # type: ignore[arg-type]
    values = cache.gather(np.arange(n_held))
    assert (values == np.arange(n_held).reshape(-1, 1, 1, 1)).all()
    assert n_held >= 36 and n_refused >= 5
    print(
        f"a disk of {DISK_BYTES} bytes held {n_held} photos of {3 * SIZE**2}, {n_refused} refused"
    )


def test_temporary_photos_that_do_not_fit_are_refused(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    for n_images in (10, 200, 80):
        images = images_of(range(n_images))
        if n_images < 85:
            build_image_cache(images, SIZE, loader=grey_loader, memory_limit=0)[0].close()
            continue
        with pytest.raises(OSError, match=f"2.5 MB to {small_disk}.*TMPDIR") as caught:
            build_image_cache(images, SIZE, loader=grey_loader, memory_limit=0)
        assert caught.value.errno == errno.ENOSPC
    print("temporary photos: 200 of 12288 bytes refused on a disk of 2**20, 80 held")
