"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Give the folder of a real photo set by its name, or skip the test with the reason.

    The sets are no part of the repository. ``TABIMG_DATA`` names the folder that holds one
    folder a set, each with a ``table.csv`` whose ``image`` column is relative to that folder.
    """

    def folder(name: str) -> Path:
        root = os.environ.get("TABIMG_DATA")
        if not root:
            pytest.skip(f"needs the real set {name!r}: TABIMG_DATA is not set")
        path = Path(root) / name
        if not (path / "table.csv").is_file():
            pytest.skip(f"needs the real set {name!r}: TABIMG_DATA={root} does not hold it")
        return path

    return folder
