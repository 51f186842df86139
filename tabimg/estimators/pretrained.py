"""How an estimator gets its pretrainer: fitted, frozen, from a directory, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_memory

from tabimg.estimators.photo_predictor import check_photos_to_learn_from
from tabimg.image import image_fingerprint
from tabimg.inputs.categorical import declares_categories
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.frames import is_frame, without_columns
from tabimg.inputs.parameter_checks import check_choice, draw_seed
from tabimg.inputs.rows import Rows
from tabimg.locks import open_locked
from tabimg.messages import listing, warn
from tabimg.serialization import CustomObjectError, read_directory, register
from tabimg.serialization.checks import check_type
from tabimg.training.processes import current_processes
from tabimg.training.runtime import derive_seed

FINETUNE_MODES = ("auto", "full", "frozen", "gradual")


def _check_frozen(frozen: FrozenEstimator) -> None:
    check_type("a frozen estimator", frozen.estimator, BaseEstimator)


register(FrozenEstimator, check=_check_frozen)


@dataclass(frozen=True)
class FitInputs:
    """The inputs of a pretrainer's fit inside another estimator.

    ``handed_down`` are parameters that the pretrainer does not set itself.
    """

    X: Any
    has_photos: bool
    fit_params: Mapping[str, Any]
    handed_down: Mapping[str, Any]


def find_pretrainer(pretrainer: Any, wanted: type[Any]) -> Any:
    """Return the pretrainer itself, or the fitted one in a frozen estimator or a directory.

    None stays None: training from scratch.

    Parameters
    ----------
    pretrainer : wanted, FrozenEstimator, str, Path or None
    wanted : type
        The pretrainer's class.

    Raises
    ------
    TypeError
        If it is not a pretrainer.
    sklearn.exceptions.NotFittedError
        If it is frozen but not fitted.
    tabimg.serialization.SerializationError
        If the directory is damaged, or needs code or folders that `load` takes as ``custom``.
    """
    if isinstance(pretrainer, (str, Path)):
        loaded = _load(pretrainer)
        found = loaded.estimator if isinstance(loaded, FrozenEstimator) else loaded
        where = f"the directory {str(pretrainer)!r}"
    elif isinstance(pretrainer, FrozenEstimator):
        found, where = pretrainer.estimator, "FrozenEstimator(...)"
    else:
        return pretrainer
    if not isinstance(found, wanted):
        raise TypeError(
            f"pretrainer= needs a {wanted.__name__}; {where} holds a {type(found).__name__}"
        )
    check_is_fitted(found, "network_")
    return found


def _load(directory: str | Path) -> Any:
    try:
        return read_directory(directory)
    except CustomObjectError as error:
        raise CustomObjectError(
            f"{error}; pretrainer={str(directory)!r} takes no custom=, so give "
            "pretrainer=FrozenEstimator(load(directory, custom=...))"
        ) from error


def check_finetune(estimator: Any) -> None:
    """Check an estimator's way to fine-tune, and that its other parameters go with it.

    Raises
    ------
    ValueError
    """
    check_choice("finetune", estimator.finetune, FINETUNE_MODES)
    if estimator.warm_start and estimator.finetune == "auto":
        raise ValueError(
            "warm_start continues networks, but finetune='auto' blends them with other models: "
            "set finetune='full', or warm_start=False"
        )
    if estimator.pretrainer is None and estimator.finetune in ("frozen", "gradual"):
        raise ValueError(
            f"finetune={estimator.finetune!r} needs a pre-trained encoder, and pretrainer is None"
        )


def check_pretrainer(pretrainer: Any, wanted: type[Any]) -> None:
    """Raise a TypeError for what cannot be a pretrainer."""
    known = (wanted, FrozenEstimator, str, Path)
    if pretrainer is not None and not isinstance(pretrainer, known):
        raise TypeError(
            f"pretrainer must be None, a {wanted.__name__}, FrozenEstimator(fitted pretrainer) "
            f"or the directory of a saved one, got {type(pretrainer).__name__}"
        )


def check_columns_of(pretrainer: Any, table: Any) -> None:
    """Check that a table has the columns that a pretrainer was fitted on.

    Raises
    ------
    ValueError
        Naming the missing and the unknown columns.
    """
    names = getattr(pretrainer, "feature_names_in_", None)
    if names is None or not is_frame(table):
        n_columns = np.shape(table)[1]
        if n_columns != pretrainer.n_features_in_:
            raise ValueError(
                f"the pretrainer was fitted on {pretrainer.n_features_in_} columns; X has "
                f"{n_columns}"
            )
        return
    missing = [name for name in names if name not in list(table.columns)]
    unknown = [name for name in table.columns if name not in list(names)]
    if missing or unknown:
        raise ValueError(
            "X must have the columns that the pretrainer was fitted on; "
            f"missing: [{listing(missing)}], not known to it: [{listing(unknown)}]"
        )


def fit_pretrainer(pretrainer: Any, inputs: FitInputs, memory: Any, random_state: Any) -> Any:
    """Fit a clone of a pretrainer, through joblib's memory if one is given.

    Raises
    ------
    ValueError
        If the pretrainer is already fitted and the frame holds no photos to refit it with.
    """
    if hasattr(pretrainer, "network_"):
        _report_refit(inputs.has_photos)
    fresh = clone(pretrainer).set_params(**inputs.handed_down)
    if fresh.random_state is None and random_state is not None:
        # One random_state then decides the whole fit.
        fresh.set_params(random_state=draw_seed(check_random_state(random_state)))
    if memory is None:
        return _fit(fresh, inputs.X, dict(inputs.fit_params), "")
    memory = check_memory(memory)
    given = (fresh, inputs.X, dict(inputs.fit_params), _photo_fingerprint(fresh, inputs))
    if current_processes().size > 1:  # which fit together, and cannot wait for each other
        return memory.cache(_fit)(*given)
    with _one_at_a_time(memory.location, joblib.hash(given)):
        return memory.cache(_fit)(*given)


def _fit(pretrainer: Any, X: Any, fit_params: dict[str, Any], photos: str) -> Any:
    """Fit; ``photos`` only makes joblib's memory notice changed files."""
    return pretrainer.fit(X, **fit_params)


@contextmanager
def _one_at_a_time(location: Any, key: str) -> Iterator[None]:
    """Let the second of two equal fits, in any process, wait for what the first one keeps."""
    handle = None
    with suppress(OSError, TypeError):  # no locks on folders here, or no folder: both fit
        folder = Path(location, "tabimg-fits", key)
        folder.mkdir(parents=True, exist_ok=True)
        handle = open_locked(folder, wait=True)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _report_refit(has_photos: bool) -> None:
    advice = (
        "the pretrainer is already fitted; fitting it again loses its weights. To use it as it is, "
        "wrap it: pretrainer=FrozenEstimator(pretrainer) (sklearn.frozen)"
    )
    if not has_photos:
        raise ValueError(f"{advice}. The data hold no photos to fit it with")
    warn(advice)


def _photo_fingerprint(pretrainer: Any, inputs: FitInputs) -> str:
    unlabeled = inputs.fit_params.get("unlabeled")
    given = [(inputs.X, inputs.fit_params.get("image_paths"))]
    if unlabeled is not None:
        given.append((unlabeled.frame, unlabeled.image_paths))
    return "-".join(image_fingerprint(pretrainer._images_of(*each)) for each in given)


def pretrained(
    estimator: Any,
    pretrainer: Any,
    declared: DeclaredColumns,
    X: Any,
    given: Rows,
    routed: Mapping[str, Any],
    seed: int,
) -> Any:
    """Return the fitted pretrainer of an estimator, pre-training it unless it is already fitted.

    Parameters
    ----------
    estimator : FineTunedEstimator
    pretrainer : PhotoPretrainer or None
        As `find_pretrainer` returned it.
    declared : DeclaredColumns
    X : as given to its `fit`
    given : Rows
        ``X`` taken apart.
    routed : mapping
        Further arguments of the pretrainer's `fit`.
    seed : int
    """
    is_ready = pretrainer is None or pretrainer is not estimator.pretrainer
    check_photos_to_learn_from(estimator.predict_modality, pretrainer, given, is_ready)
    if is_ready:
        return pretrainer
    _warn_of_dropped_encoder(estimator, pretrainer, given)
    own = estimator.categorical_features
    hands_down = declares_categories(own) and not declares_categories(
        pretrainer.categorical_features
    )
    inputs = FitInputs(
        # The pretrainer must not see columns that only the estimator declares.
        without_columns(X, declared.unknown_to_pretrainer()),
        given.has_photos,
        {name: value for name, value in routed.items() if value is not None},
        {"categorical_features": own} if hands_down else {},
    )
    random_state = None if estimator.random_state is None else derive_seed(seed, 3) % (2**31)
    return fit_pretrainer(pretrainer, inputs, estimator.memory, random_state)


def _warn_of_dropped_encoder(estimator: Any, pretrainer: Any, given: Rows) -> None:
    """Warn if a blend is to learn from photos that nothing will see after the pre-training."""
    if pretrainer.keep_image_encoder or estimator.finetune != "auto" or not given.has_photos:
        return
    if given.images(pretrainer.image_root).vectors is None:
        warn(
            "keep_image_encoder=False drops the pretrainer's image encoder before finetune='auto' "
            "learns from photos: it will have neither imputed photo features nor students. Set "
            "keep_image_encoder=True in this fit"
        )
