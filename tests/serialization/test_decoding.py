"""Damaged, foreign and hostile saves are told, and nothing of them is run."""

from __future__ import annotations

import json
import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tabimg.serialization import (
    ARRAYS_FILE,
    FORMAT_VERSION,
    STATE_FILE,
    SerializationError,
    read_directory,
    register,
    write_directory,
)
from tabimg.serialization.directories import digest_of_tree


def tampered(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON document of a save."""
    document = json.loads((folder / STATE_FILE).read_text())
    change(document)
    # Whoever rewrites a state on purpose rewrites its checksum too.
    document["value_sha256"] = digest_of_tree(document.get("value"))
    (folder / STATE_FILE).write_text(json.dumps(document))


def test_nothing_is_ever_unpickled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_directory(folder, {"a": [np.arange(3), "x", (1,)], "b": np.array(["t", None])})

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    read_directory(folder)
    written = (folder / STATE_FILE).read_bytes() + (folder / ARRAYS_FILE).read_bytes()
    assert b"\x80\x04" not in written


def test_pickle_in_place_of_the_files_is_not_run(folder: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(folder / "owned"),)

    write_directory(folder, [np.arange(3)])
    (folder / ARRAYS_FILE).write_bytes(pickle.dumps(Attack()))
    with pytest.raises(SerializationError, match=r"arrays\.safetensors is damaged"):
        read_directory(folder)
    assert not (folder / "owned").exists()


@pytest.mark.parametrize("name", [STATE_FILE, ARRAYS_FILE])
def test_missing_file_is_error_naming_it(folder: Path, name: str) -> None:
    write_directory(folder, [np.arange(3)])
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"not a saved tabimg estimator.*{name}"):
        read_directory(folder)


def test_missing_directory_is_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a saved tabimg estimator"):
        read_directory(folder)


@pytest.mark.parametrize("name", [STATE_FILE, ARRAYS_FILE])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_file_is_error_naming_it(folder: Path, name: str, share: float) -> None:
    write_directory(folder, {"a": np.arange(100.0), "b": list(range(50))})
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(SerializationError, match=f"{name} is damaged"):
        read_directory(folder)


@pytest.mark.parametrize("name", [STATE_FILE, ARRAYS_FILE])
def test_single_flipped_bit_is_error_naming_the_file(folder: Path, name: str) -> None:
    write_directory(folder, {"a": np.arange(100.0), "b": 123456})
    content = bytearray((folder / name).read_bytes())
    place = content.index(b"123456") + 5 if name == STATE_FILE else len(content) - 4
    content[place] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(SerializationError, match=f"{name} is damaged: its checksum"):
        read_directory(folder)


@pytest.mark.parametrize("document", ["[]", "3", "{}", '{"format_version": 1}', '{"value": 1}'])
def test_state_of_another_form_is_error(folder: Path, document: str) -> None:
    write_directory(folder, 1)
    (folder / STATE_FILE).write_text(document)
    with pytest.raises(SerializationError, match="is damaged"):
        read_directory(folder)


def test_newer_format_is_error_that_tells_to_upgrade(folder: Path) -> None:
    write_directory(folder, 1)
    tampered(folder, lambda document: document.update(format_version=FORMAT_VERSION + 1))
    with pytest.raises(SerializationError, match=rf"format {FORMAT_VERSION + 1}.*upgrade tabimg"):
        read_directory(folder)


@pytest.mark.parametrize(
    "tree",
    [
        {"$object": "Popen", "state": {"$dict": []}},
        {"$object": "RandomState", "state": {"$dict": []}},
        {"$adapted": "Popen", "state": None},
        {"$adapted": "RandomState", "state": 3},
        {"$adapted": "RandomState", "state": {"$dict": []}},
        {"$unknown": 1},
        {"$init__": 1},
        {"$": 1},
        {"no tag": 1},
        {"$array": "a7", "shape": [3]},
        {"$array": "a0", "shape": [4]},
        {"$array": "a0"},
        {"$tuple": 5},
        {"$dict": [[1]]},
        {"$dict": [[[1], 2]]},
        {"$float": "one"},
        {"$items": ["x"], "dtype": "<f8", "shape": [1]},
        {"$items": [], "dtype": "nonsense", "shape": [0]},
        {"$scalar": 5},
        {"$bytes": "not base64"},
        {"$partial": {"$tuple": ["print", {"$tuple": []}, {"$dict": []}]}},
        {"$object": "TableArchitecture", "state": 5},
        {"$object": "TableArchitecture", "state": {"$dict": []}},
        {"$object": ["TableArchitecture"], "state": {"$dict": []}},
        {"$object": "Augmentation", "state": {"$dict": [["blur", 0], ["from_param", 1]]}},
        {"$object": "FrozenEstimator", "state": {"$dict": [["fit", 1]]}},
        {"$object": "FrozenEstimator", "state": {"$dict": [["estimator", 1]]}},
        {"$object": "FrozenEstimator", "state": {"$dict": [["__class__", 1]]}},
        {"$array": "a0", "shape": [-1]},
        {"$array": "a0", "shape": [True, 3]},
        {"$array": "a0", "shape": [10**30, 0]},
        {"$array": "a0", "shape": [0] * 100},
        {"$array": "a0", "shape": [3], "more": 1},
        {"$array": ["a0"], "shape": [3]},
        {"$items": [], "dtype": "<U1", "shape": [10**12]},
        {"$items": ["x"] * 5, "dtype": "<U9999999", "shape": [5]},
        {"$items": ["x"], "dtype": "V1000000000", "shape": [1]},
        {"$items": ["x"], "dtype": "i4,i4", "shape": [1]},
        {"$items": [3], "dtype": "<U1", "shape": [1]},
        {"$items": "xy", "dtype": "|O", "shape": [2]},
        {"$time": {"$array": "a0", "shape": [3]}, "dtype": "<M8[parsec]"},
        {"$time": {"$array": "a0", "shape": [3]}, "dtype": "<f8"},
        {"$time": 3, "dtype": "<M8[s]"},
        {"$float": "1e999"},
        {"$float": "infinity"},
        {"$float": 1},
        {"$dict": [["a", 1], ["a", 2]]},
        {"$scalar": {"$array": "a0", "shape": [3]}},
        {"$set": [[1]]},
        {"$path": 3},
        {"$custom": ["x"]},
        {"$partial": {"$tuple": [{"$object": "NgramEncoder"}, {"$tuple": []}, {"$dict": []}]}},
    ],
    ids=lambda tree: json.dumps(tree)[:60],
)
def test_tree_that_we_did_not_write_is_error(folder: Path, tree: Any) -> None:
    write_directory(folder, [np.arange(3)])
    tampered(folder, lambda document: document.update(value=[tree]))
    with pytest.raises(SerializationError):
        read_directory(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"pos": 10**6},
        {"pos": -1},
        {"key": np.zeros(3, dtype=np.uint32)},
        {"key": np.zeros(624, dtype=np.int64)},
        {"key": 5},
    ],
    ids=str,
)
def test_random_state_that_none_has_is_error(folder: Path, change: dict[str, Any]) -> None:
    """numpy itself would read beyond the end of the key."""
    plain = np.random.RandomState(0).get_state(legacy=False)
    plain["state"].update(change)
    write_directory(folder, plain)
    tampered(folder, lambda d: d.update(value={"$adapted": "RandomState", "state": d["value"]}))
    with pytest.raises(SerializationError, match="is damaged"):
        read_directory(folder)


@pytest.mark.usefixtures("forgotten")
def test_check_of_a_class_is_made_when_it_is_read(folder: Path) -> None:
    def check(point: Any) -> None:
        if point.x < 0:
            raise OverflowError("left of everything")

    @register(check=check)
    @dataclass(frozen=True)
    class Point:
        x: float
        y: float = 0.5

    write_directory(folder, Point(1.0))
    # A field with a default may be missing: it is younger than the save.
    tampered(folder, lambda d: d["value"]["state"]["$dict"].pop())
    assert read_directory(folder) == Point(1.0)
    write_directory(folder, Point(-1.0))
    with pytest.raises(SerializationError, match="left of everything"):
        read_directory(folder)


def test_tree_of_endless_depth_is_error(folder: Path) -> None:
    write_directory(folder, 1)
    deep = "[" * 100_000 + "]" * 100_000
    (folder / STATE_FILE).write_text(f'{{"format_version": 1, "value": {deep}}}')
    with pytest.raises(SerializationError, match="is damaged"):
        read_directory(folder)


@pytest.mark.parametrize("name", [STATE_FILE, ARRAYS_FILE])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(folder: Path, name: str, kind: str) -> None:
    write_directory(folder, 1)
    (folder / name).unlink()
    if kind == "fifo":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        listener = socket.socket(socket.AF_UNIX)
        path = Path(tempfile.mkdtemp()) / "s"  # a socket's path must be short
        listener.bind(str(path))
        (folder / name).symlink_to(path)
    with pytest.raises(SerializationError, match=f"{name} is not a regular file"):
        read_directory(folder)


def test_links_to_regular_files_are_followed(folder: Path, tmp_path: Path) -> None:
    write_directory(folder, [1, np.arange(3)])
    for name in (STATE_FILE, ARRAYS_FILE):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    assert read_directory(folder)[0] == 1


def test_link_that_leads_nowhere_is_no_save(folder: Path) -> None:
    write_directory(folder, 1)
    (folder / STATE_FILE).unlink()
    (folder / STATE_FILE).symlink_to(folder / "gone")
    with pytest.raises(FileNotFoundError, match="not a saved tabimg estimator"):
        read_directory(folder)
    (folder / STATE_FILE).unlink()
    (folder / STATE_FILE).symlink_to(folder / STATE_FILE)
    with pytest.raises(SerializationError, match="not a regular file"):
        read_directory(folder)


@pytest.mark.parametrize(
    "text",
    ["1e999", "-1e999", "NaN", "Infinity", "1" + "0" * 5000, '{"a": 1, "a": 2}', '"\\ud800"'],
    ids=lambda text: text[:10],
)
def test_number_or_entry_that_json_cannot_mean_is_error(folder: Path, text: str) -> None:
    write_directory(folder, "PLACE")
    content = (folder / STATE_FILE).read_text()
    (folder / STATE_FILE).write_text(content.replace('"PLACE"', text))
    with pytest.raises(SerializationError):
        read_directory(folder)


@pytest.mark.parametrize("version", [True, "1", None, 1.0, 0, -1, [1]], ids=repr)
def test_format_version_that_is_none_is_error(folder: Path, version: Any) -> None:
    write_directory(folder, 1)
    tampered(folder, lambda document: document.update(format_version=version))
    with pytest.raises(SerializationError, match="is damaged"):
        read_directory(folder)


def test_state_of_absurd_size_is_error_before_it_is_read(folder: Path) -> None:
    write_directory(folder, 1)
    os.truncate(folder / STATE_FILE, 2**40)  # sparse: takes no room
    with pytest.raises(SerializationError, match="1 GiB"):
        read_directory(folder)
