"""A disk without room is told by its folder and the size that was wanted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tabimg.files import allocate, open_regular, writing_to


@pytest.mark.parametrize(
    ("n_bytes", "size"),
    [(0, "0 bytes"), (999, "999 bytes"), (45_000_000, "45.0 MB"), (3 * 10**15, "3000.0 TB")],
)
def test_full_disk_error_names_folder_and_size(tmp_path: Path, n_bytes: int, size: str) -> None:
    with pytest.raises(OSError, match="No space left") as caught, writing_to(tmp_path, n_bytes):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC
    assert f"cannot write {size} to {tmp_path}" in str(caught.value)


def test_error_keeps_its_class_and_its_reason(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="denied"), writing_to(tmp_path, 1):
        raise PermissionError(errno.EACCES, "denied")
    with pytest.raises(OSError, match=r"1 bytes to .*: broken"), writing_to(tmp_path, 1):
        raise OSError("broken")


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing_to(tmp_path, 1):
        raise KeyError("x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", 28)])
def test_disk_without_room_is_told_with_free_space_and_advice(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "not" / "made"
    with (
        pytest.raises(OSError, match=r" are free\). Free some space, or set x") as caught,
        writing_to(folder, 1, "set x"),
    ):
        raise OSError(number, os.strerror(number))
    assert str(folder) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no space")
@pytest.mark.parametrize("n_bytes", [0, 1, 2**20 + 3])
def test_allocated_file_has_its_size_on_disk_and_is_written_from_its_start(
    tmp_path: Path, n_bytes: int
) -> None:
    with open(tmp_path / "file", "wb") as file:
        allocate(file, n_bytes)
        assert file.tell() == 0
    status = os.stat(tmp_path / "file")
    assert status.st_size == n_bytes
    assert status.st_blocks * 512 >= n_bytes


def cannot_reserve(descriptor: int, offset: int, length: int) -> None:
    raise OSError(errno.EOPNOTSUPP, "not supported")


@pytest.mark.skipif(not hasattr(os, "fstatvfs"), reason="this system does not tell its free space")
def test_file_too_large_is_refused_where_space_cannot_be_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in (
        lambda: monkeypatch.setattr(os, "posix_fallocate", cannot_reserve, raising=False),
        lambda: monkeypatch.delattr(os, "posix_fallocate"),
    ):
        change()
        with open(tmp_path / "file", "wb") as file:
            allocate(file, 1000)
            with pytest.raises(OSError, match="No space left") as caught:
                allocate(file, 2**70)
        assert caught.value.errno == errno.ENOSPC


def test_regular_file_is_opened_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"abc"
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "link", "pipe"):
        with pytest.raises(ValueError, match="not a regular file"):
            open_regular(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")
