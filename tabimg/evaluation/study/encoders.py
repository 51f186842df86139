"""Pre-train once per fold; keep the encoder and the photos' embeddings for all that follows."""

from __future__ import annotations

import functools
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from tabimg.estimators import Unlabeled
from tabimg.evaluation.data import components
from tabimg.evaluation.foundation import PhotoPretrainer
from tabimg.evaluation.study.cells import write_text
from tabimg.serialization import qualified_name, read_directory, write_directory

ENCODERS_FOLDER = "encoders"
# Of photos, as columns.
N_FEATURES = 32


@dataclass(frozen=True, eq=False)
class PretrainedEncoder:
    """A fitted pretrainer and the other results of its pre-training.

    Parameters
    ----------
    pretrainer : PhotoPretrainer
        Fitted, without its image encoder: only the table is needed from here on.
    photos : float32 array of shape (n_train, d'), or None
        The embedding of each training row's first photo, NaN for rows without one. None if
        pre-training used no photos.
    seconds : float
        Time for pre-training and for embedding the photos.
    features : float32 array of shape (n_rows, n_features), or None
        Principal components, of training rows, of all rows' photos, test rows included; None unless
        they were asked for.
    """

    pretrainer: PhotoPretrainer
    photos: np.ndarray | None
    seconds: float
    features: np.ndarray | None = None


def obtain_encoder(
    prototype: PhotoPretrainer,
    pairs: pd.DataFrame,
    train: np.ndarray,
    fingerprint: str,
    folder: Path | None,
    further: Unlabeled | None = None,
    with_features: bool = False,
) -> PretrainedEncoder:
    """Load the encoder of this fingerprint, or pre-train it on the training rows and keep it.

    Parameters
    ----------
    prototype : PhotoPretrainer
        Unfitted, with its random state.
    pairs : DataFrame
        All rows with their photos.
    train : int array
        Positions of the training rows.
    fingerprint : str
        Of the prototype and the training rows.
    folder : Path or None
        Of the study; encoders are kept in its ``encoders`` folder, each as `tabimg.save` writes
        it, next to the photos' embeddings (.npy) and a note (.json). None keeps nothing.
    further : Unlabeled, optional
        Further pairs for pre-training.
    with_features : bool
        Whether the photos of all rows are wanted as features.
    """
    place = _place(fingerprint, folder)
    if place is not None and is_kept(fingerprint, folder, with_features):
        return _load(place, prototype, with_features)
    started = time.perf_counter()
    fresh = clone(prototype).set_params(keep_image_encoder=True)
    fitted = fresh.fit(pairs.iloc[train], unlabeled=further)
    sees_photos = fitted.network_.architecture.image is not None
    photos = features = None
    if sees_photos and with_features:
        embedded = fitted.transform_images(pairs)
        photos, features = embedded[train], _features(embedded, train)
    elif sees_photos:
        photos = fitted.transform_images(pairs.iloc[train])
    # The image encoder is most of the size, and only its embeddings are needed.
    fitted.set_params(keep_image_encoder=False)
    fitted._keep(fitted.network_.build(), fitted.network_.architecture)
    encoder = PretrainedEncoder(fitted, photos, time.perf_counter() - started, features)
    if place is not None:
        _save(place, encoder)
    return encoder


def is_kept(fingerprint: str, folder: Path | None, with_features: bool = False) -> bool:
    """Return whether a folder holds the finished encoder of this fingerprint."""
    place = _place(fingerprint, folder)
    if place is None or not _note(place).exists() or not place.exists():
        return False
    return not with_features or _features_file(place).exists()


def _features(embedded: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Reduce embeddings to components of training rows; a row without a photo has their mean."""
    mean, spread = np.nanmean(embedded[train], axis=0), np.nanstd(embedded[train], axis=0)
    standardised = (embedded - mean) / np.where(spread > 0, spread, 1.0)
    return components(np.nan_to_num(standardised), train, N_FEATURES, seed=0)


def _place(fingerprint: str, folder: Path | None) -> Path | None:
    return None if folder is None else folder / ENCODERS_FOLDER / fingerprint


def _save(place: Path, encoder: PretrainedEncoder) -> None:
    write_directory(place, encoder.pretrainer)
    for array, path in (
        (encoder.photos, _photos(place)),
        (encoder.features, _features_file(place)),
    ):
        if array is not None:
            _save_array(array, path)
    # The note is written last: without it the encoder is not finished.
    note = {"pretrain_seconds": encoder.seconds, "sees_photos": encoder.photos is not None}
    write_text(_note(place), json.dumps(note) + "\n")


def _save_array(array: np.ndarray, path: Path) -> None:
    scratch = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.npy")
    try:
        np.save(scratch, array, allow_pickle=False)
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def _load(place: Path, prototype: PhotoPretrainer, with_features: bool) -> PretrainedEncoder:
    note = json.loads(_note(place).read_text(encoding="utf-8"))
    fitted = read_directory(place, dict(_code_of(prototype)))
    photos = np.load(_photos(place), allow_pickle=False) if note["sees_photos"] else None
    features = None
    if with_features and note["sees_photos"]:
        features = np.load(_features_file(place), allow_pickle=False)
    return PretrainedEncoder(fitted, photos, note["pretrain_seconds"], features)


def _note(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _features_file(place: Path) -> Path:
    return place.with_name(f"{place.name}-features.npy")


def _photos(place: Path) -> Path:
    return place.with_name(f"{place.name}.npy")


def _code_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the functions and foreign objects among parameters, by the names in a saved encoder."""
    if isinstance(value, PhotoPretrainer):
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
