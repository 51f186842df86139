"""Photos beyond the memory limit: on disk without a name; a full disk is an error with words."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from tabimg.image import ImageReadError, RowImages, build_image_cache, read_image

SIZE = 8
ON_DISK = {"memory_limit": 0}
IN_MEMORY: dict[str, int] = {}
MakePhotos = Callable[[int], Path]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def images_of(folder: Path) -> RowImages:
    names = sorted(path.name for path in folder.iterdir())
    return RowImages.from_cells([names], root=folder)


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_temporary_pixels_are_right_and_have_no_name(
    make_photos: MakePhotos, temporary: Path
) -> None:
    images = images_of(make_photos(4))
    with build_image_cache(images, SIZE, **ON_DISK)[0] as cache:
        # What has no name needs no sweeping, however the run ends.
        assert list(temporary.iterdir()) == []
        assert isinstance(cache.pixels, np.memmap)
        expected = [read_image(source, SIZE) for source in images.sources]
        np.testing.assert_array_equal(cache.gather(np.array([3, 0])), [expected[3], expected[0]])
    cache.close()
    assert len(cache) == 0


def test_build_that_fails_leaves_no_temporary_file(
    make_photos: MakePhotos, temporary: Path
) -> None:
    photos = make_photos(3)
    images = images_of(photos)
    (photos / "2.png").write_bytes(b"")
    with pytest.raises(ImageReadError):
        build_image_cache(images, SIZE, **ON_DISK)
    assert list(temporary.iterdir()) == []


def test_folders_that_killed_runs_of_earlier_versions_left_are_removed(
    make_photos: MakePhotos, temporary: Path
) -> None:
    left = temporary / "tabimg-images-a1b2c3d4"
    left.mkdir()
    (left / "pixels.npy").write_bytes(bytes(1000))
    others = temporary / "tabimg-images-mine", temporary / "tabimg-images-e5f6g7h8"
    for other in others:
        other.mkdir()
        (other / "notes.txt").write_text("kept")
    build_image_cache(images_of(make_photos(1)), SIZE, **ON_DISK)
    assert sorted(temporary.iterdir()) == sorted(others)


# A full disk


@contextmanager
def no_reserve(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the system have no room when space is reserved."""

    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        yield


@contextmanager
def limited_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a disk with a quota."""
    resource = pytest.importorskip("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def limited_size_met_late(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a disk with a quota that cannot reserve space."""
    with limited_size(monkeypatch), monkeypatch.context() as patch:
        patch.delattr(os, "posix_fallocate", raising=False)
        yield


FULL = pytest.mark.parametrize("full", [no_reserve, limited_size, limited_size_met_late])
NO_ROOM = {errno.ENOSPC, errno.EFBIG}


@FULL
def test_full_temporary_disk_is_an_error_that_names_folder_size_and_remedies(
    make_photos: MakePhotos,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    decoded: list[str],
    full: Callable[[pytest.MonkeyPatch], AbstractContextManager[None]],
) -> None:
    images = images_of(make_photos(4))
    with full(monkeypatch), pytest.raises(OSError, match=r"cache_dir.*TMPDIR") as caught:
        build_image_cache(images, SIZE, **ON_DISK)
    assert caught.value.errno in NO_ROOM
    assert f"cannot write 896 bytes to {temporary}: " in str(caught.value)
    assert list(temporary.iterdir()) == []
    # Space is reserved before the work, where it can be.
    assert len(decoded) == (0 if full is not limited_size_met_late else 1)
    build_image_cache(images, SIZE, **ON_DISK)[0].close()


@FULL
@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_full_disk_of_kept_photos_is_an_error_and_leaves_the_earlier_ones(
    make_photos: MakePhotos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    decoded: list[str],
    where: dict[str, int],
    full: Callable[[pytest.MonkeyPatch], AbstractContextManager[None]],
) -> None:
    images = images_of(make_photos(9))
    kept = tmp_path / "kept"
    build_image_cache(images.take(np.arange(5)), SIZE, cache_dir=kept, **where)[0].close()
    before = files_under(kept)
    with full(monkeypatch), pytest.raises(OSError, match="larger disk") as caught:
        build_image_cache(images, SIZE, cache_dir=kept, **where)
    assert caught.value.errno in NO_ROOM
    assert f"cannot write 896 bytes to {kept}" in str(caught.value)
    assert files_under(kept) == before
    n_before = len(decoded)
    with build_image_cache(images, SIZE, cache_dir=kept, **where)[0] as cache:
        expected = [read_image(source, SIZE) for source in images.sources]
        np.testing.assert_array_equal(cache.pixels, expected)
    assert len(decoded) == n_before + 4


@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_folder_that_cannot_be_made_is_an_error_that_names_it(
    make_photos: MakePhotos, tmp_path: Path, where: dict[str, int]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .* to .*file") as caught:
        build_image_cache(images_of(make_photos(2)), SIZE, cache_dir=tmp_path / "file", **where)
    assert caught.value.errno is not None
