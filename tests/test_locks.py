"""A lock is one holder's until it closes the file or folder, or is killed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tabimg.locks import lock, open_locked

fcntl = pytest.importorskip("fcntl")


def test_folder_is_locked_by_one_at_a_time(tmp_path: Path) -> None:
    first = open_locked(tmp_path)
    with pytest.raises(BlockingIOError):
        open_locked(tmp_path)
    os.close(first)
    os.close(open_locked(tmp_path))


def test_lock_is_waited_for_where_that_is_asked(tmp_path: Path) -> None:
    first = open_locked(tmp_path)
    second: list[int] = []
    thread = threading.Thread(target=lambda: second.append(open_locked(tmp_path, wait=True)))
    thread.start()
    thread.join(0.2)
    assert second == []
    os.close(first)
    thread.join()
    os.close(second.pop())


def test_killed_process_holds_no_lock(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from tabimg.locks import open_locked\n"
        "open_locked(sys.argv[1])\n"
        "print('held', flush=True)\n"
        "input()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            open_locked(tmp_path)
        process.kill()
        process.wait()
        os.close(open_locked(tmp_path))


def test_busy_lock_reads_alike_on_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        def raising(*args: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", raising)

    with (tmp_path / "file").open("w") as file:
        for number in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            refuse(number)
            with pytest.raises(BlockingIOError):
                lock(file.fileno())
        refuse(errno.ENOLCK)
        with pytest.raises(OSError, match=os.strerror(errno.ENOLCK)) as caught:
            lock(file.fileno())
        assert not isinstance(caught.value, BlockingIOError)
