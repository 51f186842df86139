"""A folder to save to, and classes that are forgotten after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tabimg.serialization import read_directory, registry, write_directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that does not exist yet, alone in an empty one."""
    return tmp_path / "saved"


@pytest.fixture
def round_trip(folder: Path) -> Callable[..., Any]:
    """Save a value and read it back."""

    def make(value: Any, custom: dict[str, Any] | None = None) -> Any:
        write_directory(folder, value)
        return read_directory(folder, custom)

    return make


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Forget the classes that a test registers."""
    classes = dict(registry.CLASSES)
    yield
    registry.CLASSES.clear()
    registry.CLASSES.update(classes)
