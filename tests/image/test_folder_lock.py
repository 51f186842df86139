"""One run at a time changes a folder; a run that was killed or stopped keeps nobody out."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import tabimg.image.folder_lock as module
from tabimg.image.folder_lock import folder_lock


def test_lock_is_held_by_one_and_leaves_no_file(tmp_path: Path) -> None:
    with folder_lock(tmp_path, needed=True) as held:
        assert held
        with folder_lock(tmp_path, needed=False) as second:
            assert not second
    assert list(tmp_path.iterdir()) == []
    with folder_lock(tmp_path, needed=False) as held:
        assert held


def test_lock_that_is_needed_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with folder_lock(tmp_path, needed=True) as held:
            order.append(f"second {held}")

    with folder_lock(tmp_path, needed=True):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second True"]


def test_lock_of_a_run_that_has_stopped_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.1)
    with (
        folder_lock(tmp_path, needed=True),
        folder_lock(tmp_path, needed=True) as second,
    ):
        assert not second


def test_lock_file_of_a_killed_run_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with folder_lock(tmp_path, needed=True) as held:
        assert held
    assert list(tmp_path.iterdir()) == []


def refuse(number: int) -> Callable[..., None]:
    def raising(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    return raising


def test_folder_without_right_to_write_is_an_error_where_the_lock_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "open", refuse(errno.EACCES))
    with pytest.raises(PermissionError), folder_lock(tmp_path, needed=True):
        pass
    with folder_lock(tmp_path, needed=False) as held:
        assert not held


def test_file_system_without_locks_lets_everybody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "lock", refuse(errno.ENOSYS))
    with folder_lock(tmp_path, needed=True) as held:
        assert held
