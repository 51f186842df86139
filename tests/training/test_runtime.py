"""Devices, precision, threads, filters of warnings and seeds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tabimg.training.runtime import (
    derive_seed,
    own_warning_filters,
    resolve_autocast,
    resolve_device,
    single_thread,
)

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_resolve_device_auto_takes_what_is_there() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected


def test_resolve_device_accepts_name_and_device() -> None:
    assert resolve_device("cpu") == resolve_device(CPU) == CPU


@pytest.mark.parametrize("device", ["gpu", "cuda:99", ""])
def test_resolve_device_unusable_name_is_error_naming_it(device: str) -> None:
    with pytest.raises(ValueError, match=f"device='{device}'"):
        resolve_device(device)


def test_resolve_autocast_of_each_precision() -> None:
    assert resolve_autocast("float32", CPU) is None
    assert resolve_autocast("bfloat16", CPU) is torch.bfloat16
    assert resolve_autocast("auto", CPU) in (None, torch.bfloat16)
    with pytest.raises(ValueError, match=r"precision must be one of .*'float16'"):
        resolve_autocast("float16", CPU)


def test_resolve_autocast_auto_is_float32_where_the_kernels_are_kept_from_bfloat16() -> None:
    """As on a processor that lacks the units: the older kernels emulate bfloat16, slowly."""
    script = (
        "import torch; from tabimg.training.runtime import resolve_autocast; "
        "print(resolve_autocast('auto', torch.device('cpu')))"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


@pytest.mark.usefixtures("two_threads")
def test_single_thread_nested_restores_at_the_outermost_exit() -> None:
    with single_thread():
        with single_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_single_thread_restores_after_an_error() -> None:
    with pytest.raises(KeyError), single_thread():
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_single_thread_overlapping_in_python_threads_restores_each_of_them() -> None:
    """The first leaves while the second is inside; the second began to use torch inside."""
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    seen: dict[str, int] = {}

    def first() -> None:
        with single_thread():
            first_in.set()
            second_in.wait(10)
        seen["first, after"] = torch.get_num_threads()
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with single_thread():
            seen["second, inside"] = torch.get_num_threads()
            second_in.set()
            first_out.wait(10)
            seen["second, first gone"] = torch.get_num_threads()
        seen["second, after"] = torch.get_num_threads()

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == {
        "first, after": 2,
        "second, inside": 1,
        "second, first gone": 1,
        "second, after": 2,
    }
    assert torch.get_num_threads() == 2


def test_own_warning_filters_of_overlapping_threads_leave_none_behind() -> None:
    def ignore(number: int) -> None:
        with own_warning_filters():
            warnings.filterwarnings("ignore", message=f"number {number}")
            threading.Event().wait(0.002)

    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ignore, range(20)))
    assert warnings.filters == before


def test_derive_seed_differs_by_key_and_stays_the_same() -> None:
    seeds = {derive_seed(1), derive_seed(1, 0), derive_seed(1, 1), derive_seed(2, 1)}
    assert len(seeds) == 4
    assert derive_seed(1, 1) == derive_seed(1, 1)
