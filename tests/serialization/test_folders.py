"""A save is written whole or not at all, and nothing else is lost."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tabimg.serialization import (
    ARRAYS_FILE,
    STATE_FILE,
    directories,
    folders,
    read_directory,
    write_directory,
)


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parents_are_made_and_an_earlier_save_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "saved"
    write_directory(folder, {"a": np.arange(3)})
    write_directory(folder, "second")
    assert read_directory(folder) == "second"
    assert files_below(folder) == sorted([STATE_FILE, ARRAYS_FILE])
    assert files_below(folder.parent) == ["saved"]


def test_empty_directory_is_taken(folder: Path) -> None:
    folder.mkdir()
    write_directory(str(folder), 5)
    assert read_directory(str(folder)) == 5


@pytest.mark.parametrize(
    "names",
    [["notes.txt"], [STATE_FILE], [ARRAYS_FILE], [STATE_FILE, ARRAYS_FILE, "notes.txt"]],
    ids=str,
)
def test_directory_with_anything_else_is_refused_and_left_alone(
    folder: Path, names: list[str]
) -> None:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("precious")
    with pytest.raises(FileExistsError, match="give another directory"):
        write_directory(folder, 1)
    assert {path.read_text() for path in folder.iterdir()} == {"precious"}
    assert files_below(folder.parent) == ["saved"]


def test_file_in_place_of_the_directory_is_refused(folder: Path) -> None:
    folder.write_text("precious")
    with pytest.raises(FileExistsError, match="is a file"):
        write_directory(folder, 1)
    assert folder.read_text() == "precious"


def test_link_to_a_save_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    write_directory(target, 1)
    link.symlink_to(target, target_is_directory=True)
    write_directory(link, 2)
    assert link.is_symlink()
    assert read_directory(target) == read_directory(link) == 2
    assert files_below(tmp_path) == ["link", "target"]


def test_working_directory_can_be_saved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_directory(".", 1)
    assert read_directory(tmp_path / "here") == 1


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("can_swap", [True, False])
def test_failure_at_any_step_leaves_the_old_or_the_new_save_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, can_swap: bool
) -> None:
    """Each call of the system that changes something fails once, in turn."""
    if not can_swap:
        monkeypatch.setattr(folders, "_system_call", lambda: None)
    write_directory(folder, "old")
    found = []
    for failing in range(100):
        write_directory(folder, "old")
        with monkeypatch.context() as patch:
            calls = _fail_at(patch, failing, error)
            try:
                write_directory(folder, "new")
            except type(error):
                pass
        found.append(read_directory(folder))
        # What is not removed now is when somebody writes there again.
        write_directory(folder, "next")
        assert files_below(folder.parent) == ["saved"]
        if calls[0] <= failing:
            break
    assert found[0] == "old"
    assert found[-1] == "new"
    assert set(found) == {"old", "new"}
    assert len(found) > 8


def _fail_at(patch: pytest.MonkeyPatch, failing: int, error: BaseException) -> list[int]:
    """Let the call of that number, of those that change something, fail; count the calls."""
    count = [0]

    def wrap(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] - 1 == failing:
                raise error
            return original(*args, **kwargs)

        patch.setattr(owner, name, call)

    for owner, name in [
        (Path, "mkdir"),
        (Path, "write_bytes"),
        (os, "chmod"),
        (os, "fsync"),
        (os, "rename"),
        (folders, "_swap"),
        (Path, "unlink"),
        (Path, "rmdir"),
    ]:
        wrap(owner, name)
    return count


def test_full_disk_is_error_of_folder_and_size_and_the_earlier_save_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_directory(folder, "old")

    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match=r"4\.\d MB .*No space left") as caught:
            write_directory(folder, np.zeros(500_000))
    assert caught.value.errno == errno.ENOSPC
    assert str(folder.parent) in str(caught.value)
    assert read_directory(folder) == "old"
    assert files_below(folder.parent) == ["saved"]


def test_failure_of_a_first_save_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        write_directory(folder, [np.arange(3)])
    assert files_below(folder.parent) == []


@pytest.mark.parametrize("can_swap", [True, False])
def test_reader_beside_a_writer_always_finds_a_whole_save(
    folder: Path, monkeypatch: pytest.MonkeyPatch, can_swap: bool
) -> None:
    if not can_swap:
        monkeypatch.setattr(folders, "_system_call", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda number: None)  # quicker, and hence a harder test
    write_directory(folder, [0, np.zeros(100)])
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            write_directory(folder, [number, np.full(100, float(number))])
            # Without a swap there is a moment without a save: not all of the time.
            time.sleep(0.0 if can_swap else 0.01)

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            for _ in range(100):
                number, array = read_directory(folder)
                assert (array == number).all()
        finally:
            stop.set()
        writer.result()
    assert files_below(folder.parent) == ["saved"]


def test_save_that_is_replaced_between_the_files_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_directory(folder, ["old", np.arange(3)])
    opened = directories._open

    def open_and_replace(path: Path) -> Any:
        file = opened(path)
        if path.name == STATE_FILE and not calls:
            calls.append(path)
            write_directory(folder, ["new", np.arange(4)])
        return file

    calls: list[Path] = []
    monkeypatch.setattr(directories, "_open", open_and_replace)
    value, array = read_directory(folder)
    assert (value, len(array)) == ("new", 4)


def test_remains_of_killed_writers_are_swept_and_those_of_living_ones_stay(folder: Path) -> None:
    write_directory(folder, "old")
    dead = folder.parent / f".saved-{'0' * 32}"
    dead.mkdir()
    (dead / STATE_FILE).write_text("{")
    others = [f".saved-{'0' * 31}", f".other-{'0' * 32}"]
    for name in others:
        (folder.parent / name).mkdir()
    with folders.scratch_beside(folder, directories.FILES) as living:
        write_directory(folder, "new")
        assert files_below(folder.parent) == sorted(["saved", living.name, *others])
    write_directory(folder, "newer")
    assert files_below(folder.parent) == sorted(["saved", *others])


def test_killed_process_leaves_the_old_save_and_its_scratch_is_swept(folder: Path) -> None:
    write_directory(folder, "old")
    child = os.fork()
    if child == 0:  # quicker than a new interpreter
        directories.put_in_place = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        write_directory(folder, "new")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(files_below(folder.parent)) == 2
    assert read_directory(folder) == "old"
    write_directory(folder, "newer")
    assert files_below(folder.parent) == ["saved"]


def test_permissions_of_an_earlier_save_are_kept(folder: Path) -> None:
    write_directory(folder, 1)
    folder.chmod(0o750)
    (folder / STATE_FILE).chmod(0o640)
    write_directory(folder, 2)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert (folder / STATE_FILE).stat().st_mode & 0o777 == 0o640
