"""Folders among the parameters: refused before anything is read or trained."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabimg.inputs.parameter_checks import check_folder

NOBODY = 65534


@pytest.fixture
def read_only() -> Iterator[Path]:
    """Give a folder in which this user may not write; the superuser stops being one meanwhile."""
    # Not in `tmp_path`, whose parents belong to one user.
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        folder = Path(made)
        (folder / "kept").mkdir()
        folder.chmod(0o555)
        is_superuser = os.geteuid() == 0
        if is_superuser:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if is_superuser:
                os.seteuid(0)
            folder.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_folder_that_cannot_be_made_is_refused_by_its_parameter(read_only: Path) -> None:
    for name in ("new", "several/levels"):
        with pytest.raises(
            PermissionError, match=rf"cache_dir: no folder can be made in '{read_only}'"
        ):
            check_folder("cache_dir", read_only / name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_folder_that_exists_is_accepted_without_a_right_to_write(read_only: Path) -> None:
    # All that is wanted of it may be there already.
    check_folder("cache_dir", read_only)
    check_folder("cache_dir", read_only / "kept")


def test_folder_that_can_be_made_is_left_to_be_made(tmp_path: Path) -> None:
    check_folder("cache_dir", tmp_path / "several" / "levels")
    assert not (tmp_path / "several").exists()
