"""Fitted estimators as directories that can be moved, kept and read without running their code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from tabimg import __version__
from tabimg.estimators import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)
from tabimg.estimators.user_members import holds_user_models
from tabimg.model_card import model_card
from tabimg.serialization import SerializationError, read_directory, write_directory

SAVED = (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)


def save(estimator: BaseEstimator, directory: str | os.PathLike[str]) -> None:
    """Save a fitted estimator as a directory of one JSON and one safetensors file, and a card.

    Parameters
    ----------
    estimator : pretrainer, classifier or regressor of tabimg, or FrozenEstimator of one
        Fitted. Its parameters, weights and everything it learned are saved; photos are not.
    directory : path
        Created with its parents; an earlier save there is replaced, as a whole or not at all.

    Raises
    ------
    TypeError
        If the estimator is of another class, or holds estimators of yours (``members``).
    sklearn.exceptions.NotFittedError
    FileExistsError
        If the directory holds anything other than a saved estimator.

    Notes
    -----
    ``card.md`` tells people what the model is: columns and their kinds, numbers of rows and
    categories, classes, parameters, held-out losses, limits and licences. It holds no cell, no
    category and no path. `load` ignores it; the next save into the directory writes it anew.

    Functions and foreign objects among the parameters (your own encoder factory, an image loader, a
    callback) are saved by qualified name only; pass them to `load`.
    """
    found = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    if not isinstance(found, SAVED):
        raise TypeError(
            f"save() takes a fitted estimator of tabimg, got {type(found).__name__}; for a "
            "Pipeline around one use joblib or skops"
        )
    check_is_fitted(estimator)
    if getattr(found, "members", None) or holds_user_models(found):
        raise TypeError(
            "save() keeps no estimators of other libraries, and this one has members= of yours: "
            "use joblib.dump, and load such a file only if you trust it, or fit with members=None"
        )
    write_directory(directory, estimator, model_card(found, __version__))


def load(directory: str | os.PathLike[str], custom: Mapping[str, Any] | None = None) -> Any:
    """Load an estimator that `save` wrote; it predicts bit-equally.

    Parameters
    ----------
    directory : path
    custom : mapping of str to object, optional
        The functions and foreign objects of the saved estimator, by qualified name, e.g.
        ``{"my_module.my_encoder": my_encoder}``. The error message names those that are missing.

    Returns
    -------
    estimator

    Raises
    ------
    FileNotFoundError
        If there is no saved estimator.
    tabimg.serialization.SerializationError
        If it is damaged, was written by a newer version, or needs a ``custom`` object.
    ImportError
        If its image encoder is another library's, such as timm's, which is not installed.

    Notes
    -----
    Nothing is unpickled: only classes of this package are built, and only its own encoders and code
    that the caller passes are run, here and in prediction. Everything read is checked, down to a
    prediction for made-up rows, so that a tampered file is refused here.

    ``cache_dir`` comes back as None: using an estimator must not write where a file says. A
    `SentenceEncoder` of a local folder is read only if ``custom`` provides one, as
    ``{"tabimg.headers.sentence_encoder.SentenceEncoder": SentenceEncoder(folder)}``.
    """
    loaded = read_directory(directory, custom)
    found = loaded.estimator if isinstance(loaded, FrozenEstimator) else loaded
    if not isinstance(found, SAVED):
        raise SerializationError(
            f"{directory} holds a {type(found).__name__}, not an estimator of tabimg"
        )
    try:
        check_is_fitted(found)
    except NotFittedError as error:
        raise SerializationError(f"{directory} holds no fitted estimator") from error
    return loaded
