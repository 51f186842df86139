"""From JSON values and arrays, whoever wrote them, to a tree of values."""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tabimg.serialization.registry import (
    ADAPTERS,
    CLASSES,
    CODE,
    CustomObjectError,
    SerializationError,
    qualified_name,
)

_TEXT_DTYPE = re.compile(r"[<>|=]?(O|[US]\d{1,7})")
_TIME_DTYPE = re.compile(r"[<>|=]?[mM]8\[\d{0,9}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]")
_SPECIAL_FLOATS = ("nan", "inf", "-inf")
# Short texts in an array of a wide dtype take more memory than the file; this is the limit.
_MAX_TEXT_BYTES = 2**26


class Decoder:
    """The way back, with the callables and foreign objects taken from ``custom``.

    Parameters
    ----------
    arrays : dict of str to ndarray
    custom : mapping of str to object
        By qualified name. An object given here also replaces a registered class of that name.
    source : Path
        The directory, for messages.
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], custom: Mapping[str, Any], source: Path
    ) -> None:
        self._arrays = arrays
        self._given = custom
        self._source = source
        # By tag: how it is read, and the entries that accompany it.
        self._tags: dict[str, tuple[Callable[[Any, dict], Any], tuple[str, ...]]] = {
            "$float": (self._float, ()),
            "$tuple": (self._tuple, ()),
            "$set": (self._set, ()),
            "$dict": (self._dict, ()),
            "$path": (self._path, ()),
            "$bytes": (self._bytes, ()),
            "$partial": (self._partial, ()),
            "$scalar": (self._scalar, ()),
            "$custom": (self._custom, ()),
            "$time": (self._time, ("dtype",)),
            "$array": (self._array, ("shape",)),
            "$items": (self._items, ("dtype", "shape")),
            "$object": (self._object, ("state",)),
            "$adapted": (self._adapted, ("state",)),
        }

    def decode(self, tree: Any) -> Any:
        """Read a tree; any exception other than SerializationError means that it is damaged."""
        if isinstance(tree, list):
            return [self.decode(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        tag = next((key for key in tree if key in self._tags), None)
        if tag is None:
            raise SerializationError(f"{self._source} is damaged: unknown tag in {list(tree)[:3]}")
        decode, beside = self._tags[tag]
        if tree.keys() != {tag, *beside}:
            raise SerializationError(f"{self._source} is damaged: {tag} has other entries")
        return decode(tree[tag], tree)

    def _float(self, text: Any, _: dict) -> float:
        if text not in _SPECIAL_FLOATS:
            raise ValueError(f"unknown number {str(text)[:20]!r}")
        return float(text)

    def _tuple(self, items: Any, _: dict) -> tuple:
        return tuple(self._list(items))

    def _set(self, items: Any, _: dict) -> set:
        return set(self._list(items))

    def _list(self, items: Any) -> list:
        if not isinstance(items, list):
            raise ValueError("items are not a list")
        return self.decode(items)

    def _dict(self, pairs: Any, _: dict) -> dict:
        decoded = {self.decode(key): self.decode(value) for key, value in pairs}
        if len(decoded) != len(pairs):
            raise ValueError("a key occurs twice")
        return decoded

    def _path(self, text: Any, _: dict) -> Path:
        return Path(text)

    def _bytes(self, text: Any, _: dict) -> bytes:
        return base64.b64decode(text, validate=True)

    def _partial(self, tree: Any, _: dict) -> functools.partial:
        # Only what the caller passed is wrapped: "$custom" is the only source of callables.
        function, args, keywords = self.decode(tree)
        if not callable(function) or isinstance(function, tuple(r.cls for r in CLASSES.values())):
            raise ValueError("a partial wraps no function")
        return functools.partial(function, *args, **keywords)

    def _time(self, tree: Any, outer: dict) -> np.ndarray:
        ticks = self.decode(tree)
        if not isinstance(ticks, np.ndarray) or ticks.dtype != np.int64:
            raise ValueError("times are not whole numbers")
        return ticks.astype(_dtype(outer["dtype"], _TIME_DTYPE))

    def _scalar(self, tree: Any, _: dict) -> np.generic:
        array = self.decode(tree)
        if not isinstance(array, np.ndarray) or array.shape != (1,):
            raise ValueError("a scalar is not an array of one entry")
        return array[0]

    def _array(self, name: Any, tree: dict) -> np.ndarray:
        if name not in self._arrays:
            raise SerializationError(
                f"{self._source} is damaged: there is no array {str(name)[:20]!r}"
            )
        return self._arrays[name].reshape(_shape(tree["shape"]))

    def _items(self, items: Any, tree: dict) -> np.ndarray:
        found = self._list(items)
        dtype = _dtype(tree["dtype"], _TEXT_DTYPE)
        values = np.empty(len(found), dtype=object)
        for i, item in enumerate(found):  # item by item: an array may be one of them
            values[i] = item
        if dtype.kind != "O":
            kind = str if dtype.kind == "U" else bytes
            if not all(isinstance(item, kind) for item in found):
                raise ValueError(f"an item is not of dtype {dtype}")
            if dtype.itemsize * len(found) > _MAX_TEXT_BYTES + 64 * sum(map(len, found)):
                raise ValueError(f"dtype {dtype} is wider than any of its items")
        return values.astype(dtype).reshape(_shape(tree["shape"]))

    def _object(self, name: Any, tree: dict) -> Any:
        if name not in CLASSES:
            raise SerializationError(
                f"{self._source} holds a {str(name)[:80]!r}, which this version of tabimg does "
                "not know"
            )
        cls, check = CLASSES[name].cls, CLASSES[name].check
        if qualified_name(cls) in self._given:
            return self._given[qualified_name(cls)]
        state = self.decode(tree["state"])
        _check_names(cls, state)
        instance: Any = object.__new__(cls)
        # A foreign __setstate__ expects a pickle, version stamp and all.
        if hasattr(cls, "__setstate__") and _is_ours(cls):
            instance.__setstate__(state)
        else:
            instance.__dict__.update(state)
        if check is not None:
            check(instance)
        return instance

    def _adapted(self, name: Any, tree: dict) -> Any:
        if name not in ADAPTERS:
            raise SerializationError(f"{self._source} holds an unknown {str(name)[:80]!r}")
        return ADAPTERS[name][2](self.decode(tree["state"]))

    def _custom(self, name: Any, _: dict) -> Any:
        found = self._given.get(name, CODE.get(name))
        if found is None:
            raise CustomObjectError(
                f"{self._source} uses {name!r}, which is code and was saved by name only. Pass it: "
                f"load(directory, custom={{{name!r}: the_object}})"
            )
        return found


def _check_names(cls: Any, state: Any) -> None:
    """Check that a state sets only what belongs to a class, and hides none of its methods."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError(f"the state of {cls.__name__} is not a mapping of names")
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    # A field with a default may be younger than the save.
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    further = state.keys() - {field.name for field in fields}
    # What is not frozen, such as an estimator, has fields to begin with and may learn more.
    is_frozen = bool(fields) and cls.__dataclass_params__.frozen
    odd = sorted((further if is_frozen else set()) | (needed - state.keys()))
    if odd:
        raise ValueError(f"{cls.__name__} lacks, or has further, entries: {odd[:5]}")
    hidden = [name for name in further if hasattr(cls, name) or name.startswith("__")]
    if hidden:
        raise ValueError(f"an entry of {cls.__name__} hides its {hidden[0]!r}")


def _dtype(text: Any, allowed: re.Pattern[str]) -> np.dtype:
    if not isinstance(text, str) or not allowed.fullmatch(text):
        raise ValueError(f"unexpected dtype {str(text)[:40]!r}")
    return np.dtype(text)


def _shape(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or not all(type(n) is int and n >= 0 for n in given):
        raise ValueError(f"{str(given)[:40]} is not a shape")
    if len(given) > 32 or math.prod(given) > 2**62:
        raise ValueError("a shape is too large")
    return tuple(given)


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]
