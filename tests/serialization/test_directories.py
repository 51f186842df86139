"""State files: every kind of value comes back, damage is told, nothing else is lost."""

from __future__ import annotations

import errno
import functools
import json
import math
import os
import pickle
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tabimg.serialization import (
    ARRAYS_FILE,
    FORMAT_VERSION,
    STATE_FILE,
    SerializationError,
    directories,
    folders,
    qualified_name,
    read_directory,
    register,
    registry,
    write_directory,
)
from tabimg.serialization.directories import digest_of_tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "saved"


@pytest.fixture
def round_trip(folder: Path) -> Callable[..., Any]:
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


def tampered(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON document of a save."""
    document = json.loads((folder / STATE_FILE).read_text())
    change(document)
    # Whoever rewrites a state on purpose rewrites its checksum too.
    document["value_sha256"] = digest_of_tree(document.get("value"))
    (folder / STATE_FILE).write_text(json.dumps(document))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**70),
        1.5,
        1 / 3,
        5e-324,
        math.inf,
        -math.inf,
        "",
        "grün \n\0 \U0001f600",
        b"",
        b"\x00\xff",
        [],
        [1, [2.5, None]],
        (),
        (1, ("a", [2])),
        set(),
        {1, 2, 3},
        {},
        {"a": 1, 2: "b", (1, 2): None, None: 0, True: [1]},
        {"$array": "a0", "$dict": {"$custom": "x"}},
        Path("some") / "where",
        ["$float", {"$object": "TableRecipe"}],
    ],
    ids=repr,
)
def test_plain_value_comes_back_equal_and_of_its_type(
    round_trip: Callable[..., Any], value: Any
) -> None:
    back = round_trip(value)
    assert back == value
    assert type(back) is type(value)


def test_nan_comes_back(round_trip: Callable[..., Any]) -> None:
    assert math.isnan(round_trip([math.nan])[0])


def test_dict_keeps_its_order(round_trip: Callable[..., Any]) -> None:
    assert list(round_trip({"b": 1, "a": 2, "c": 3})) == ["b", "a", "c"]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20.0)[::3],
        np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
        np.array(3.5, dtype=np.float32),
        np.zeros((0, 4)),
        np.array([True, False]),
        np.array([1.5, np.nan, -np.inf], dtype=np.float16),
        np.array([2**63 + 5], dtype=np.uint64),
        np.array([-128, 127], dtype=np.int8),
        np.array(["a", "größer", ""]),
        np.array([b"ab", b""]),
        np.array(["2020-02-29T12:00", "NaT"], dtype="datetime64[ns]"),
        np.array([5, -1], dtype="timedelta64[s]"),
        np.array([["x", None], [1, 2.5]], dtype=object),
        np.array([], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_array_comes_back_bit_equal(round_trip: Callable[..., Any], array: np.ndarray) -> None:
    back = round_trip({"array": array})["array"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_array_of_the_other_byte_order_keeps_its_values(round_trip: Callable[..., Any]) -> None:
    assert round_trip(np.arange(4).astype(">i4")).tolist() == [0, 1, 2, 3]


def test_object_array_may_hold_arrays_and_tuples(round_trip: Callable[..., Any]) -> None:
    array = np.empty(3, dtype=object)
    array[0], array[1], array[2] = np.arange(3), (1, 2), (3, 4)
    back = round_trip(array)
    assert back[0].tolist() == [0, 1, 2]
    assert back[1:].tolist() == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    "scalar",
    [
        np.float32(0.1),
        np.int8(-3),
        np.bool_(True),
        np.str_("a"),
        np.datetime64("2020-01-01"),
        np.uint64(2**64 - 1),
    ],
    ids=repr,
)
def test_numpy_scalar_comes_back_with_its_dtype(
    round_trip: Callable[..., Any], scalar: np.generic
) -> None:
    back = round_trip(scalar)
    assert back == scalar
    assert back.dtype == scalar.dtype


def test_random_state_goes_on_with_its_stream(round_trip: Callable[..., Any]) -> None:
    state = np.random.RandomState(3)
    state.normal(size=3)  # leaves a second normal number in store
    back = round_trip(state)
    assert back.normal(size=5).tolist() == state.normal(size=5).tolist()


def test_shared_array_is_stored_once_and_equal_ones_are_kept_apart(
    round_trip: Callable[..., Any], folder: Path
) -> None:
    array = np.arange(1000.0)
    back = round_trip({"one": array, "same": [array], "equal": array.copy()})
    assert len(load_file(folder / ARRAYS_FILE)) == 2
    assert (folder / ARRAYS_FILE).stat().st_size < 2 * array.nbytes + 1000
    assert np.array_equal(back["one"], back["same"][0])
    assert np.shares_memory(back["one"], back["same"][0])
    assert not np.shares_memory(back["one"], back["equal"])


def test_loaded_arrays_can_be_written_to(round_trip: Callable[..., Any]) -> None:
    back = round_trip([np.arange(3)])[0]
    back[0] = 7
    assert back.tolist() == [7, 1, 2]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, 2 + 1j]}, r"value\['a'\]\[1\].*complex"),
        ([frozenset([1])], r"value\[0\].*frozenset"),
        ((range(3),), r"value\[0\].*range"),
        ({"big": np.zeros(2, dtype=np.complex64)}, r"value\['big'\].*complex64"),
        (np.zeros(2, dtype=[("a", int)]), "value.*dtype"),
        (json, "value.*module"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_value_that_cannot_be_written_is_error_naming_its_place(
    folder: Path, value: Any, place: str
) -> None:
    with pytest.raises(SerializationError, match=place):
        write_directory(folder, value)
    assert not folder.parent.exists() or files_below(folder.parent) == []


# --- classes and callables ---------------------------------------------------------------------


@pytest.mark.usefixtures("forgotten")
def test_registered_class_comes_back_without_its_init(round_trip: Callable[..., Any]) -> None:
    @register
    @dataclass(frozen=True)
    class Point:
        x: float
        name: str

        def __post_init__(self) -> None:
            created.append(self.name)

    created: list[str] = []
    back = round_trip([Point(1.5, "a")])
    assert created == ["a"]
    assert back == [Point(1.5, "a")]


@pytest.mark.usefixtures("forgotten")
def test_registered_class_uses_its_own_state_methods(round_trip: Callable[..., Any]) -> None:
    @register
    class Lazy:
        def __init__(self) -> None:
            self.kept, self.live = 3, object()

        def __getstate__(self) -> dict[str, Any]:
            return {"kept": self.kept}

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.kept, self.live = state["kept"], None

    # The class is told from foreign ones by its package.
    Lazy.__module__ = "tabimg.example"
    back = round_trip(Lazy())
    assert (back.kept, back.live) == (3, None)


@pytest.mark.usefixtures("forgotten")
def test_register_refuses_two_classes_of_one_name() -> None:
    first, second = type("Twin", (), {}), type("Twin", (), {})
    assert register(first) is first
    assert register(first) is first
    with pytest.raises(SerializationError, match=r"two classes .*'Twin'"):
        register(second)


def encode_image() -> str:
    return "encoded"


class Loader:
    def __init__(self, gain: float) -> None:
        self.gain = gain

    def __call__(self, path: str) -> float:
        return self.gain


def test_callable_is_saved_by_name_and_handed_over_when_reading(
    round_trip: Callable[..., Any], folder: Path
) -> None:
    name = qualified_name(encode_image)
    assert round_trip({"encoder": encode_image}, {name: encode_image})["encoder"] is encode_image
    with pytest.raises(SerializationError, match=f"uses '{name}'.*saved by name only.*custom="):
        read_directory(folder)
    replacement = object()
    assert read_directory(folder, {name: replacement})["encoder"] is replacement


def test_class_object_and_instance_are_saved_by_the_name_of_the_class(
    round_trip: Callable[..., Any],
) -> None:
    loader = Loader(2.0)
    assert round_trip([Loader], {qualified_name(Loader): Loader}) == [Loader]
    assert round_trip([loader, loader], {qualified_name(loader): loader}) == [loader, loader]
    assert qualified_name(loader) == qualified_name(Loader)


def test_two_objects_of_one_name_cannot_be_told_apart(folder: Path) -> None:
    with pytest.raises(SerializationError, match=r"value\[1\]: two different .*Loader"):
        write_directory(folder, [Loader(1.0), Loader(2.0)])


def test_partial_is_saved_as_its_function_and_arguments(round_trip: Callable[..., Any]) -> None:
    """Two equal copies, as clone makes them, are no conflict."""
    makers = [functools.partial(Loader, gain=gain) for gain in (2.0, 2.0, 3.0)]
    back = round_trip(makers, {qualified_name(Loader): Loader})
    assert [maker().gain for maker in back] == [2.0, 2.0, 3.0]


# --- hostile and damaged input -----------------------------------------------------------------


def test_nothing_is_unpickled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        {"$object": "TableRecipe", "state": 5},
        {"$object": "TableRecipe", "state": {"$dict": []}},
        {"$object": ["TableRecipe"], "state": {"$dict": []}},
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


# --- writing whole or not at all -----------------------------------------------------------------


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
    with pytest.raises(SerializationError, match=f"{name} is no regular file"):
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
    with pytest.raises(SerializationError, match="no regular file"):
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
