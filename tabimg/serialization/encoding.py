"""From a tree of values to JSON values; arrays are set aside."""

from __future__ import annotations

import base64
import functools
import math
from pathlib import PurePath
from typing import Any

import numpy as np

from tabimg.serialization.registry import ADAPTERS, CLASSES, SerializationError, qualified_name


class Encoder:
    """Turn a tree into JSON values; arrays are set aside under a name, once each."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}
        self._originals: list[np.ndarray] = []  # keeps ids alive, so that they stay unique
        self._custom: dict[str, object] = {}

    def encode(self, value: Any, where: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, np.ndarray):
            return self._encode_array(value, where)
        if isinstance(value, np.generic):
            return {"$scalar": self._encode_array(np.asarray(value)[None], where)}
        if type(value) is list:
            return [self.encode(v, f"{where}[{i}]") for i, v in enumerate(value)]
        if type(value) in (tuple, set):
            items = [self.encode(v, f"{where}[{i}]") for i, v in enumerate(value)]
            return {f"${type(value).__name__}": items}
        if type(value) is dict:
            pairs = [
                [self.encode(k, f"{where} key"), self.encode(v, f"{where}[{k!r}]")]
                for k, v in value.items()
            ]
            return {"$dict": pairs}
        if isinstance(value, PurePath):
            return {"$path": str(value)}
        if type(value) is bytes:
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        if type(value) is functools.partial:
            parts = (value.func, value.args, value.keywords)
            return {"$partial": self.encode(parts, where)}
        return self._encode_object(value, where)

    def _encode_array(self, array: np.ndarray, where: str) -> Any:
        if array.dtype.kind in "mM":
            ticks = self._encode_array(array.astype(np.int64), where)
            return {"$time": ticks, "dtype": array.dtype.str}
        if array.dtype.kind in "OUS":
            return {
                "$items": [self.encode(v, where) for v in array.ravel().tolist()],
                "dtype": array.dtype.str,
                "shape": list(array.shape),
            }
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise SerializationError(f"{where}: cannot save an array of dtype {array.dtype}")
        if id(array) not in self._names:
            name = f"a{len(self._names)}"
            self._names[id(array)] = name
            self._originals.append(array)
            # safetensors writes the buffer as it lies in memory.
            self.arrays[name] = np.ascontiguousarray(array)
        return {"$array": self._names[id(array)], "shape": list(array.shape)}

    def _encode_object(self, value: Any, where: str) -> Any:
        name = type(value).__name__
        if name in CLASSES and CLASSES[name].cls is type(value):
            return {"$object": name, "state": self.encode(_state_of(value), f"{where}.{name}")}
        if name in ADAPTERS and ADAPTERS[name][0] is type(value):
            return {"$adapted": name, "state": self.encode(ADAPTERS[name][1](value), where)}
        labels = _labels(value)
        if labels is not None:
            return self.encode(labels, where)
        if type(value).__module__ == "builtins" and not callable(value):
            # Data, not code: nobody could pass it when loading.
            raise SerializationError(f"{where}: cannot save a value of type {name}")
        return self._encode_custom(value, where)

    def _encode_custom(self, value: object, where: str) -> Any:
        name = qualified_name(value)
        if self._custom.setdefault(name, value) is not value:
            raise SerializationError(
                f"{where}: two different objects share the name {name!r}, and load() could "
                "not tell them apart; use distinct, named functions"
            )
        return {"$custom": name}


def _labels(value: Any) -> list[Any] | None:
    """List what an Index, a Series or an Arrow array holds, such as columns' labels.

    They are loaded as a list, so that loading needs none of their libraries.
    """
    if type(value).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow"):
        for method in ("to_pylist", "to_list"):
            if hasattr(value, method):
                return getattr(value, method)()
    return None


def _state_of(value: Any) -> dict[str, Any]:
    getstate = getattr(type(value), "__getstate__", None)
    # Python 3.11 gives every object a default __getstate__; 3.10 does not.
    state = dict(value.__dict__) if getstate is None else value.__getstate__()
    if not isinstance(state, dict):
        raise SerializationError(f"the state of {type(value).__name__} is not a dict")
    # scikit-learn stamps its version for pickles; these are not pickles.
    state.pop("_sklearn_version", None)
    return state
