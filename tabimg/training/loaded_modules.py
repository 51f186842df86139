"""Modules that were read from a file, checked against their arrays as they are built."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import UninitializedParameter

from tabimg.serialization.checks import check_type

# An architecture's numbers are widths and counts, bounded by its arrays; a few appear in no array.
MAX_FREE_NUMBER = 8192
# Parameters may be set twice, as lazy layers do.
_SLACK = 3
_PLAIN_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "int | None": (int, type(None)),
}


def check_fitted(fitted: Any) -> None:
    """Raise an error unless a `FittedModule`'s architecture builds a module that its arrays fit.

    Building stops at the first parameter that the arrays cannot fill, before its memory is touched:
    neither absurd widths nor absurd counts take more time or memory than the file justifies.
    """
    if vars(fitted).keys() != {"architecture", "arrays", "_live"}:
        raise ValueError("a fitted module has an architecture and arrays, and nothing else")
    architecture, arrays = fitted.architecture, fitted.arrays
    check_type("arrays", arrays, dict)
    for name, array in arrays.items():
        check_type("the name of an array", name, str)
        check_type(name, array, np.ndarray)
    lengths = [n for array in arrays.values() for n in array.shape]
    _check_numbers(architecture, max([MAX_FREE_NUMBER, *lengths]))
    with _no_larger_than(arrays):
        module = fitted.on(torch.device("cpu"))
    _check_arrays(arrays, module.state_dict())


def check_architecture(architecture: Any) -> None:
    """Raise a ValueError for an architecture whose plain fields do not have the declared types.

    Its other fields are checked when it is built.
    """
    for field in dataclasses.fields(architecture):
        types = _PLAIN_TYPES.get(str(field.type))
        if types is not None:
            check_type(field.name, getattr(architecture, field.name), *types)


def _parts(value: Any) -> list[Any]:
    """List what an architecture is made of, one level down."""
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, functools.partial):
        return [*value.args, *value.keywords.values()]
    return list(value) if isinstance(value, (tuple, list)) else []


def _check_numbers(architecture: Any, most: int) -> None:
    if isinstance(architecture, (int, float)) and not -1 <= architecture <= most:
        raise ValueError(f"an architecture holds the number {str(architecture)[:40]}")
    for part in _parts(architecture):
        _check_numbers(part, most)


@contextmanager
def _no_larger_than(arrays: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Stop this thread from building a module with more parameters than the arrays fill."""
    n_left = _SLACK * (len(arrays) + 10)
    size_left = _SLACK * (sum(array.size for array in arrays.values()) + 10_000)
    thread = threading.get_ident()

    def watch(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal n_left, size_left
        if parameter is None or threading.get_ident() != thread:
            return
        n_left -= 1
        if not isinstance(parameter, UninitializedParameter):
            size_left -= parameter.numel()
        if min(n_left, size_left) < 0:
            raise ValueError("an architecture builds a larger network than its arrays fill")

    hook = register_module_parameter_registration_hook(watch)
    try:
        yield
    finally:
        hook.remove()


def _check_arrays(arrays: Mapping[str, np.ndarray], state: Mapping[str, torch.Tensor]) -> None:
    odd = sorted(arrays.keys() ^ state.keys())
    if odd:
        raise ValueError(f"arrays and network differ in {odd[:3]}")
    for name, tensor in state.items():
        array = arrays[name]
        wanted = "f" if tensor.is_floating_point() else "b" if tensor.dtype == torch.bool else "iu"
        if array.shape != tuple(tensor.shape) or array.dtype.kind not in wanted:
            raise ValueError(
                f"{name} must be of shape {tuple(tensor.shape)}, got {array.dtype} of shape "
                f"{array.shape}"
            )
        if wanted != "f":
            continue
        with np.errstate(over="ignore"):
            if not np.isfinite(array.astype(np.float32)).all():
                raise ValueError(f"{name} holds NaN or infinity")
        if name.endswith("running_var") and (array < 0).any():
            raise ValueError(f"{name} holds a negative variance")
