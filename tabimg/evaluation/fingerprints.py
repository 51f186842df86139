"""Digests of settings and data, by which finished work is recognised."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tabimg.evaluation.foundation import CIRCUMSTANCES

# To be increased when a change of the protocol changes the meaning of cells.
PROTOCOL = 2
# The names of classes when results were first stored: fingerprints use these.
_NAMES_IN_RESULTS = {
    "tabimg.estimators.mtcmtm_classifier.MTCMTMClassifier": (
        "tabimg.estimators.classifier.MTCMTMClassifier"
    ),
    "tabimg.estimators.mtcmtm_pretrainer.MultiModalPretrainer": (
        "tabimg.estimators.pretrainer.MultiModalPretrainer"
    ),
    "tabimg.estimators.mtcmtm_regressor.MTCMTMRegressor": (
        "tabimg.estimators.regressor.MTCMTMRegressor"
    ),
    "tabimg.evaluation.baselines.estimators.BaselineClassifier": (
        "tabimg.evaluation.baselines.BaselineClassifier"
    ),
    "tabimg.evaluation.baselines.estimators.BaselineRegressor": (
        "tabimg.evaluation.baselines.BaselineRegressor"
    ),
}
# Parameters that came after results were stored: at these values nothing has changed.
_ADDED_LATER = [("micro_batch_size", None), ("excluded_members", None)]


def fingerprint(*parts: Any) -> str:
    """Digest of strings, numbers, arrays, and lists and dicts of them; 32 hex digits.

    It is the same in another process and on another machine.
    """
    text = json.dumps([PROTOCOL, *map(describe, parts)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def describe(value: Any) -> Any:
    """Describe parameters in plain values; functions and classes by name, arrays by digest.

    Estimators are described by their class and parameters, except those that only say where or how
    fast to compute.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float, np.number, np.bool_)):
        number = float(value)  # 1 and 1.0 are the same setting
        return int(number) if number.is_integer() else number
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray):
        return _describe_array(value)
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, functools.partial):
        return [describe(value.func), describe(value.args), describe(value.keywords)]
    if hasattr(value, "__qualname__"):
        name = f"{value.__module__}.{value.__qualname__}"
        return _NAMES_IN_RESULTS.get(name, name)
    if hasattr(value, "get_params"):
        state = value.get_params(deep=False)
    else:
        state = getattr(value, "__dict__", {})
    kept = {
        name: item
        for name, item in state.items()
        if name not in CIRCUMSTANCES and (name, item) not in _ADDED_LATER
    }
    return {"class": describe(type(value)), **describe(kept)}


def _describe_array(array: np.ndarray) -> str:
    if array.dtype.kind == "f":
        # One bit pattern per value: NaN has many, zero has two.
        array = np.where(np.isnan(array), np.nan, array + 0.0).astype("<f8")
    elif array.dtype.kind in "biu":
        array = array.astype("<i8")
    content = array.tobytes() if array.dtype.kind in "fi" else repr(array.tolist()).encode()
    return hashlib.blake2b(repr(array.shape).encode() + content, digest_size=16).hexdigest()
