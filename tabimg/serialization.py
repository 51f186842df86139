"""Python state as arrays (safetensors) and JSON, in a directory written whole or not at all.

The low half of persistence: it knows how to write a tree of plain values, arrays and *registered*
classes, and nothing of what those classes mean. Nothing is ever unpickled: a class is built only
if this package registered it, and a callable is only taken from the mapping the caller hands in.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

FORMAT_VERSION = 1
STATE_FILE = "state.json"
ARRAYS_FILE = "arrays.safetensors"

_T = TypeVar("_T", bound=type)
_CLASSES: dict[str, type] = {}
_CODE: dict[str, Callable[..., Any]] = {}
_ADAPTERS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {}


class SerializationError(ValueError):
    """A value cannot be written, or a saved directory cannot be read."""


def register(cls: _T) -> _T:
    """Let instances of a class be written and read; usable as a decorator.

    The state is what ``__getstate__`` gives (else ``__dict__``), and goes back in through
    ``__setstate__`` (else into ``__dict__``); ``__init__`` is not called.
    """
    known = _CLASSES.setdefault(cls.__name__, cls)
    if known is not cls:
        raise SerializationError(f"two classes are registered under the name {cls.__name__!r}")
    return cls


def register_adapter(
    cls: type, to_plain: Callable[[Any], Any], from_plain: Callable[[Any], Any]
) -> None:
    """Let instances of somebody else's class be written as the plain value of ``to_plain``."""
    _ADAPTERS[cls.__name__] = (cls, to_plain, from_plain)


def register_code(value: Callable[..., Any]) -> None:
    """Let code of this package be found by its name, so that no caller has to hand it over."""
    _CODE[qualified_name(value)] = value


def qualified_name(value: object) -> str:
    """Name a callable, or the class of an instance, as ``module.qualname``."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


# --- directories -----------------------------------------------------------------------------


def write_directory(directory: str | os.PathLike[str], value: object) -> None:
    """Write a tree of values to a directory, replacing an earlier save of ours.

    Parameters
    ----------
    directory : path
        Created with its parents. If it exists it must be empty or hold an earlier save and nothing
        else.
    value : object
        Plain values, numpy arrays, registered classes and callables, nested at will.

    Raises
    ------
    FileExistsError
        If the directory holds something else.
    SerializationError
        If a value cannot be written; the message gives its place in the tree.
    """
    # A link stays a link: what it points to is replaced.
    target = Path(os.path.realpath(directory))
    _check_replaceable(target)
    encoder = _Encoder()
    tree = encoder.encode(value, "value")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = _sibling(target)
    scratch.mkdir()
    try:
        save_file(encoder.arrays, scratch / ARRAYS_FILE)
        document = {
            "format_version": FORMAT_VERSION,
            "arrays_sha256": _digest_of_file(scratch / ARRAYS_FILE),
            "value_sha256": _digest_of_tree(tree),
            "value": tree,
        }
        (scratch / STATE_FILE).write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
        _replace_directory(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def read_directory(
    directory: str | os.PathLike[str], custom: Mapping[str, Any] | None = None
) -> Any:
    """Read what :func:`write_directory` wrote.

    Parameters
    ----------
    directory : path
    custom : mapping of str to object, optional
        The callables and foreign objects of the saved state, by qualified name.

    Raises
    ------
    FileNotFoundError
        If the directory or one of its files is missing.
    SerializationError
        If the directory is damaged, was written by a newer version, or needs a ``custom`` object.
    """
    source = Path(directory)
    for name in (STATE_FILE, ARRAYS_FILE):
        if not (source / name).is_file():
            raise FileNotFoundError(
                f"{source} is not a saved tabimg estimator: it holds no file {name!r}"
            )
    tree, arrays_digest = _read_state(source / STATE_FILE)
    if _digest_of_file(source / ARRAYS_FILE) != arrays_digest:
        raise SerializationError(f"{source / ARRAYS_FILE} is damaged: its checksum does not fit")
    try:
        arrays = load_file(source / ARRAYS_FILE)
    except (SafetensorError, OSError) as error:
        raise SerializationError(f"{source / ARRAYS_FILE} is damaged: {error}") from error
    try:
        return _Decoder(arrays, custom or {}, source).decode(tree)
    except SerializationError:
        raise
    except Exception as error:  # a tree that we did not write can go wrong in any way
        raise SerializationError(f"{source / STATE_FILE} is damaged: {error!r}") from error


def _read_state(path: Path) -> tuple[Any, str]:
    """Read the tree of values, and the checksum of the arrays that belong to it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = int(document["format_version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SerializationError(f"{path} is damaged: {error}") from error
    if version > FORMAT_VERSION:
        raise SerializationError(
            f"{path.parent} was written in format {version}; this version reads up to "
            f"{FORMAT_VERSION}: upgrade tabimg"
        )
    try:
        tree, arrays_digest = document["value"], document["arrays_sha256"]
        intact = _digest_of_tree(tree) == document["value_sha256"]
    except (KeyError, TypeError) as error:
        raise SerializationError(f"{path} is damaged: it lacks {error}") from error
    if not intact:
        raise SerializationError(f"{path} is damaged: its checksum does not fit")
    return tree, arrays_digest


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _digest_of_tree(tree: Any) -> str:
    """Tell chance damage; it is no protection against somebody who rewrites both."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(f"{target} is a file; give a directory to save to")
    # The folder is replaced as a whole: anything else in it would be lost.
    foreign = sorted({path.name for path in target.iterdir()} - {STATE_FILE, ARRAYS_FILE})
    if foreign or (target / STATE_FILE).is_file() != (target / ARRAYS_FILE).is_file():
        raise FileExistsError(
            f"{target} holds files that are not of a saved tabimg estimator"
            f"{f', such as {foreign[0]!r}' if foreign else ''}; give another directory"
        )


def _replace_directory(scratch: Path, target: Path) -> None:
    """Rename the finished folder into place; an old one is moved aside first, then removed."""
    if not target.exists():
        os.replace(scratch, target)
        return
    old = _sibling(target)
    os.replace(target, old)
    try:
        os.replace(scratch, target)
    except BaseException:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sibling(target: Path) -> Path:
    """Name a new hidden folder beside the target, on the same file system."""
    return target.parent / f".{target.name}-{uuid.uuid4().hex}"


# --- values ----------------------------------------------------------------------------------


class _Encoder:
    """Turn a tree into JSON values; arrays go aside under a name, once each."""

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
        if _CLASSES.get(name) is type(value):
            return {"$object": name, "state": self.encode(_state_of(value), f"{where}.{name}")}
        if name in _ADAPTERS and _ADAPTERS[name][0] is type(value):
            return {"$adapted": name, "state": self.encode(_ADAPTERS[name][1](value), where)}
        if type(value).__module__ == "builtins" and not callable(value):
            # Data, not code: nobody could hand it over when loading.
            raise SerializationError(f"{where}: cannot save a value of type {name}")
        return self._encode_custom(value, where)

    def _encode_custom(self, value: object, where: str) -> Any:
        name = qualified_name(value)
        if self._custom.setdefault(name, value) is not value:
            raise SerializationError(
                f"{where}: two different objects share the name {name!r}, so that load() could "
                "not tell them apart; use distinct, named functions"
            )
        return {"$custom": name}


class _Decoder:
    """The way back, with the callables and foreign objects taken from ``custom``."""

    def __init__(
        self, arrays: dict[str, np.ndarray], custom: Mapping[str, Any], source: Path
    ) -> None:
        self._arrays = arrays
        self._custom = {**_CODE, **custom}
        self._source = source

    def decode(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.decode(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        tag = next((key for key in tree if key.startswith("$")), None)
        decode = getattr(self, f"_decode_{str(tag)[1:]}", None)
        if decode is None:
            raise SerializationError(f"{self._source / STATE_FILE} is damaged: unknown tag {tag!r}")
        return decode(tree[tag], tree)

    def _decode_float(self, text: str, _: dict) -> float:
        return float(text)

    def _decode_tuple(self, items: list, _: dict) -> tuple:
        return tuple(self.decode(item) for item in items)

    def _decode_set(self, items: list, _: dict) -> set:
        return {self.decode(item) for item in items}

    def _decode_dict(self, pairs: list, _: dict) -> dict:
        return {self.decode(key): self.decode(value) for key, value in pairs}

    def _decode_path(self, text: str, _: dict) -> Path:
        return Path(text)

    def _decode_bytes(self, text: str, _: dict) -> bytes:
        return base64.b64decode(text)

    def _decode_partial(self, tree: Any, _: dict) -> functools.partial:
        # Only what the caller handed over is wrapped: "$custom" is the one source of callables.
        function, args, keywords = self.decode(tree)
        return functools.partial(function, *args, **keywords)

    def _decode_time(self, tree: Any, outer: dict) -> np.ndarray:
        return self.decode(tree).astype(np.dtype(outer["dtype"]))

    def _decode_scalar(self, tree: Any, _: dict) -> np.generic:
        return self.decode(tree)[0]

    def _decode_array(self, name: str, tree: dict) -> np.ndarray:
        if name not in self._arrays:
            raise SerializationError(
                f"{self._source / ARRAYS_FILE} lacks the array {name!r}: the directory is damaged"
            )
        return self._arrays[name].reshape(tree["shape"])

    def _decode_items(self, items: list, tree: dict) -> np.ndarray:
        values = np.empty(len(items), dtype=object)
        for i, item in enumerate(items):  # item by item: an array may be one of them
            values[i] = self.decode(item)
        return values.astype(np.dtype(tree["dtype"])).reshape(tree["shape"])

    def _decode_object(self, name: str, tree: dict) -> Any:
        if name not in _CLASSES:
            raise SerializationError(
                f"{self._source} holds a {name!r}, which this version of tabimg does not know"
            )
        cls = _CLASSES[name]
        instance: Any = object.__new__(cls)
        state = self.decode(tree["state"])
        # Somebody else's __setstate__ expects a pickle, version stamp and all.
        if hasattr(cls, "__setstate__") and _is_ours(cls):
            instance.__setstate__(state)
        else:
            instance.__dict__.update(state)
        return instance

    def _decode_adapted(self, name: str, tree: dict) -> Any:
        if name not in _ADAPTERS:
            raise SerializationError(f"{self._source} holds an unknown {name!r}")
        return _ADAPTERS[name][2](self.decode(tree["state"]))

    def _decode_custom(self, name: str, _: dict) -> Any:
        if name not in self._custom:
            raise SerializationError(
                f"{self._source} uses {name!r}, which is code and was saved by name only. Hand it "
                f"over: load(directory, custom={{{name!r}: the_object}})"
            )
        return self._custom[name]


def _state_of(value: Any) -> dict[str, Any]:
    getstate = getattr(type(value), "__getstate__", None)
    # Python 3.11 gives every object a default __getstate__; 3.10 does not.
    state = dict(value.__dict__) if getstate is None else value.__getstate__()
    if not isinstance(state, dict):
        raise SerializationError(f"the state of {type(value).__name__} is not a dict")
    # scikit-learn stamps its version for pickles; ours are not pickles.
    state.pop("_sklearn_version", None)
    return state


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def _random_state_to_plain(value: np.random.RandomState) -> dict[str, Any]:
    return value.get_state(legacy=False)


def _random_state_from_plain(state: dict[str, Any]) -> np.random.RandomState:
    value = np.random.RandomState()
    value.set_state(state)
    return value


register_adapter(np.random.RandomState, _random_state_to_plain, _random_state_from_plain)
