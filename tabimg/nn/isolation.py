"""Building modules apart from the process's settings: random streams, default dtype, device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
# Their dtype is the default one unless another is given.
_FLOAT_FACTORIES = (
    _ATEN.empty,
    _ATEN.zeros,
    _ATEN.ones,
    _ATEN.eye,
    _ATEN.rand,
    _ATEN.randn,
    _ATEN.linspace,
    _ATEN.logspace,
)
# Theirs is the default one if they are given numbers, one of which is a float.
_INFERRING_FACTORIES = (_ATEN.full, _ATEN.arange, _ATEN.normal)


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Build modules from their own random stream, in float32 and on the CPU.

    Parameters
    ----------
    seed : int
        Of the stream that torch draws from inside: the numbers are those after
        ``torch.manual_seed(seed)``.

    Notes
    -----
    Global streams, ``torch.set_default_dtype`` and ``torch.set_default_device`` belong to the whole
    process: other threads draw from them and rely on them. They are neither read nor changed here;
    the block affects the calling thread only. Every torch call takes longer inside: it is meant for
    construction, not for training.
    """
    with torch.device("cpu"), _Isolation(seed):
        yield


class _Isolation(TorchDispatchMode):
    """Passes its generator to whatever draws, and float32 to whatever uses the default dtype."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator(device="cpu").manual_seed(seed)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        default = torch.get_default_dtype()
        if func is _ATEN.lift_fresh.default:  # torch.tensor([0.5])
            wanted = torch.float32 if args[0].dtype == default else args[0].dtype
            return func(args[0].to(wanted))
        if _takes_default_dtype(func, args) and kwargs.get("dtype", default) in (None, default):
            kwargs["dtype"] = torch.float32
        if torch.Tag.nondeterministic_seeded in func.tags and _on_cpu(args, kwargs):
            func = _with_generator(func)
            if _has_argument(func, "generator") and kwargs.get("generator") is None:
                kwargs["generator"] = self._generator
        return func(*args, **kwargs)


def _takes_default_dtype(func: Any, args: Sequence[Any]) -> bool:
    if not _has_argument(func, "dtype"):
        return False
    if func.overloadpacket in _FLOAT_FACTORIES:
        return True
    return (
        func.overloadpacket in _INFERRING_FACTORIES
        and any(isinstance(arg, float) for arg in args)
        and not any(isinstance(arg, Tensor) for arg in args)
    )


def _on_cpu(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    devices = [arg.device for arg in args if isinstance(arg, Tensor)]
    devices.append(torch.device(kwargs.get("device") or "cpu"))
    return all(device.type == "cpu" for device in devices)


def _with_generator(func: Any) -> Callable[..., Any]:
    """Return the overload that takes a generator, if that is a different one."""
    if _has_argument(func, "generator"):
        return func
    name = func._schema.overload_name
    return getattr(func.overloadpacket, f"{name}_generator" if name else "generator", func)


def _has_argument(func: Any, name: str) -> bool:
    return name in map(attrgetter("name"), func._schema.arguments)
