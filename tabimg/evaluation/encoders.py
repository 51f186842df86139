"""Pre-train once a fold, and keep the encoder for every budget, draw and head, and for later."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from tabimg.estimators import MultiModalPretrainer
from tabimg.evaluation.cells import write_text
from tabimg.serialization import qualified_name, read_directory, write_directory

ENCODERS_FOLDER = "encoders"


@dataclass(frozen=True)
class Encoder:
    """A fitted pretrainer and the seconds that its fit took."""

    pretrainer: MultiModalPretrainer
    seconds: float


def obtain_encoder(
    prototype: MultiModalPretrainer,
    pairs: pd.DataFrame,
    train: np.ndarray,
    fingerprint: str,
    folder: Path | None,
) -> Encoder:
    """Load the encoder of this fingerprint, or pre-train it on the training rows and keep it.

    Parameters
    ----------
    prototype : MultiModalPretrainer
        Unfitted, with its random state.
    pairs : DataFrame
        All rows with their photos.
    train : int array
        Positions of the training rows.
    fingerprint : str
        Of the prototype and the training rows.
    folder : Path or None
        Of the study; encoders are kept in its ``encoders`` folder, each as `tabimg.save` writes
        it, with a JSON file beside it that holds the seconds. None keeps nothing.
    """
    place = None if folder is None else folder / ENCODERS_FOLDER / fingerprint
    note = None if place is None else place.with_suffix(".json")
    # The note is written last: without it the encoder is not finished.
    if place is not None and note is not None and note.exists() and place.exists():
        fitted = read_directory(place, dict(_code_of(prototype)))
        return Encoder(fitted, json.loads(note.read_text(encoding="utf-8"))["pretrain_seconds"])
    started = time.perf_counter()
    fitted = clone(prototype).fit(pairs.iloc[train])
    seconds = time.perf_counter() - started
    if place is not None and note is not None:
        write_directory(place, fitted)
        write_text(note, json.dumps({"pretrain_seconds": seconds}) + "\n")
    return Encoder(fitted, seconds)


def _code_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Name the functions and foreign objects among parameters, as a saved encoder asks for them."""
    if isinstance(value, MultiModalPretrainer):
        value = list(value.get_params(deep=False).values())
    if isinstance(value, functools.partial):
        value = [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _code_of(item)
    elif isinstance(value, dict):
        yield from _code_of(list(value.values()))
    elif callable(value) or hasattr(value, "__dict__"):
        yield qualified_name(value), value
