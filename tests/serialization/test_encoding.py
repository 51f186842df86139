"""Every kind of value, class and callable comes back as it was saved."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tabimg.serialization import (
    ARRAYS_FILE,
    SerializationError,
    qualified_name,
    read_directory,
    register,
    write_directory,
)


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
        ["$float", {"$object": "TableArchitecture"}],
    ],
    ids=repr,
)
def test_plain_value_comes_back_equal_and_of_its_type(
    round_trip: Callable[..., Any], value: Any
) -> None:
    back = round_trip(value)
    assert back == value
    assert type(back) is type(value)


def test_nan_comes_back_as_nan(round_trip: Callable[..., Any]) -> None:
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
    assert list(folder.parent.iterdir()) == []


# --- classes and callables -----------------------------------------------------------------------


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
