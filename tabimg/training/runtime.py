"""Where and how tensors are computed: device, precision, threads; and derived seeds."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from joblib import parallel_config

from tabimg.messages import bounded_errors, shorten

PRECISIONS = ("auto", "float32", "bfloat16")
# Held while state of the whole process is changed and then restored.
PROCESS_STATE = threading.RLock()


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn ``"auto"`` into the best available device, and check any other.

    Raises
    ------
    ValueError
        If the device's name is unknown or the device is not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with bounded_errors():
            resolved = torch.device(device)
            torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={shorten(device)} is not available here: {error}") from error
    return resolved


def resolve_autocast(precision: str, device: torch.device) -> torch.dtype | None:
    """Choose the dtype that the image encoder is autocast to, or None for float32.

    ``"auto"`` uses bfloat16 if the hardware supports it natively; otherwise it is emulated and
    slower than float32.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}, got {shorten(precision)}")
    if precision == "float32":
        return None
    if precision == "bfloat16":
        return torch.bfloat16
    return torch.bfloat16 if _has_native_bfloat16(device) else None


def _has_native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    has_units = bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return has_units and torch.backends.mkldnn.is_available() and _may_use_bfloat16()


def _may_use_bfloat16() -> bool:
    """Return whether oneDNN uses the units: ``ONEDNN_MAX_CPU_ISA`` may forbid newer ones."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _ThreadLimit:
    """Limit torch to one thread; nested and concurrent users restore the right number.

    OpenMP keeps one number per Python thread, so each Python thread limits and restores itself. In
    torch a new thread starts with the number that was set last: the number to restore is therefore
    the one before the first user, not the one that a later user finds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own = threading.local()
        self._users = 0
        self._before = 1

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._before = torch.get_num_threads()
            self._users += 1
            self._own.depth = getattr(self._own, "depth", 0) + 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._own.depth -= 1
                if self._own.depth == 0:
                    torch.set_num_threads(self._before)


# Small networks are slower on several threads, especially on a busy machine.
single_thread = _ThreadLimit()


@contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """Let what is independent run in this many threads; None leaves it to joblib's settings.

    Threads share the rows, and torch and scikit-learn compute outside Python's lock.
    """
    if n_jobs is None:
        yield
        return
    with parallel_config(backend="threading", n_jobs=n_jobs):
        yield


@contextmanager
def own_warning_filters() -> Iterator[None]:
    """Change warning filters as in ``warnings.catch_warnings``, one thread at a time.

    Two threads that restore the filters in the wrong order would leave them changed for good.
    scikit-learn's forests change them themselves, so they are also fitted inside.
    """
    with PROCESS_STATE, warnings.catch_warnings():
        yield


def derive_seed(seed: int, *keys: int) -> int:
    """Derive an independent seed for one use, such as an epoch, from a run's seed."""
    with bounded_errors():
        return int(np.random.SeedSequence(seed, spawn_key=keys).generate_state(1)[0])
