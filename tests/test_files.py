"""A disk without room is told by its folder and the size that was wanted."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tabimg.files import writing_to


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
