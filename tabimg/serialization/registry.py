"""The classes and functions that a saved directory may name: nothing else is ever built."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

_T = TypeVar("_T", bound=type)
Check = Callable[[Any], None]


class SerializationError(ValueError):
    """A value cannot be written, or a saved directory cannot be read."""


class CustomObjectError(SerializationError):
    """A saved directory needs an object that the caller has to pass."""


@dataclass(frozen=True)
class Registered:
    """A class that may be built, and the check of what was built."""

    cls: type
    check: Check | None


CLASSES: dict[str, Registered] = {}
CODE: dict[str, Callable[..., Any]] = {}
ADAPTERS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {}


@overload
def register(cls: _T, *, check: Check | None = None, formerly: str | None = None) -> _T: ...
@overload
def register(cls: None = None, *, check: Check) -> Callable[[_T], _T]: ...
def register(cls: Any = None, *, check: Check | None = None, formerly: str | None = None) -> Any:
    """Let instances of a class be written and read; usable as a decorator.

    The state is what ``__getstate__`` returns (else ``__dict__``), and is restored through
    ``__setstate__`` (else into ``__dict__``); ``__init__`` is not called.

    Parameters
    ----------
    cls : type
    check : callable, optional
        Called with each instance that was read, whoever wrote the file: raises a ValueError for a
        state that no fit leaves, so that using the instance can neither fail, nor hang, nor request
        more memory than the size of the file justifies. Nested instances are checked first.
    formerly : str, optional
        The name of the class in older files, which are read as if they had its name of today.
    """
    if cls is None:
        return functools.partial(register, check=check)
    known = CLASSES.get(cls.__name__)
    if known is not None and known.cls is not cls:
        raise SerializationError(f"two classes are registered under the name {cls.__name__!r}")
    if known is None or check is not None:
        CLASSES[cls.__name__] = Registered(cls, check)
    if formerly is not None:
        CLASSES[formerly] = CLASSES[cls.__name__]
    return cls


def register_adapter(
    cls: type, to_plain: Callable[[Any], Any], from_plain: Callable[[Any], Any]
) -> None:
    """Let instances of a foreign class be written as the plain value of ``to_plain``.

    ``from_plain`` raises an error for a plain value that ``to_plain`` never returns.
    """
    ADAPTERS[cls.__name__] = (cls, to_plain, from_plain)


def register_code(value: Callable[..., Any]) -> None:
    """Let code of this package be found by its name, so that no caller has to pass it."""
    CODE[qualified_name(value)] = value


def is_own_code(value: object) -> bool:
    """Return whether a callable is registered code, with or without arguments.

    It stands for an encoder, which is built under supervision; anywhere else it is out of place.
    """
    while isinstance(value, functools.partial):
        value = value.func
    return any(value is code for code in CODE.values())


def qualified_name(value: object) -> str:
    """Name a callable, or the class of an instance, as ``module.qualname``."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
