"""A disk without room is told by its folder and the size that was wanted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tabimg.files import allocate, writing_to


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
    with pytest.raises(OSError, match="1 bytes to .*: broken"), writing_to(tmp_path, 1):
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


@pytest.mark.parametrize("n_bytes", [0, 1, 2**20 + 3])
@pytest.mark.parametrize("has_fallocate", [True, False])
def test_allocated_file_has_its_size_on_disk_and_is_written_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_bytes: int, has_fallocate: bool
) -> None:
    if not has_fallocate:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with open(tmp_path / "file", "wb") as file:
        allocate(file, n_bytes)
        assert file.tell() == 0
    status = os.stat(tmp_path / "file")
    assert status.st_size == n_bytes
    if hasattr(status, "st_blocks"):
        assert status.st_blocks * 512 >= n_bytes
