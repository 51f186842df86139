"""How an estimator comes to its encoder: nowhere, by a fit, frozen, from a directory."""

from __future__ import annotations

from abc import ABC
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import check_is_fitted, check_memory

from tabimg.estimators.parameters import draw_seed
from tabimg.image import image_fingerprint
from tabimg.inputs import Unlabeled
from tabimg.inputs.categorical import declares_categories
from tabimg.inputs.frames import as_column_list, is_frame, require_columns, without_columns
from tabimg.inputs.rows import Rows, take_apart
from tabimg.messages import listing, shorten, warn
from tabimg.serialization import CustomObjectError, read_directory, register
from tabimg.serialization.checks import check_type
from tabimg.training.runtime import derive_seed


def _check_frozen(frozen: FrozenEstimator) -> None:
    check_type("a frozen estimator", frozen.estimator, BaseEstimator)


register(FrozenEstimator, check=_check_frozen)


@dataclass(frozen=True)
class FitInputs:
    """What the fit of a pretrainer inside another estimator is given.

    ``handed_down`` are parameters on which the pretrainer has no word of its own.
    """

    X: Any
    has_photos: bool
    fit_params: Mapping[str, Any]
    handed_down: Mapping[str, Any]


def find_source(pretrainer: Any, wanted: type[Any]) -> Any:
    """Give the pretrainer itself, or the fitted one behind a frozen estimator or a directory.

    None stays None: training from scratch.

    Parameters
    ----------
    pretrainer : wanted, FrozenEstimator, str, Path or None
    wanted : type
        The pretrainer's class.

    Raises
    ------
    TypeError
        If it is something else than a pretrainer.
    sklearn.exceptions.NotFittedError
        If it is frozen but was never fitted.
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


def check_pretrainer(pretrainer: Any, wanted: type[Any]) -> None:
    """Raise a TypeError for what cannot be a pretrainer."""
    known = (wanted, FrozenEstimator, str, Path)
    if pretrainer is not None and not isinstance(pretrainer, known):
        raise TypeError(
            f"pretrainer must be None, a {wanted.__name__}, FrozenEstimator(fitted pretrainer) "
            f"or the directory of a saved one, got {type(pretrainer).__name__}"
        )


def check_columns_of_source(source: Any, table: Any) -> None:
    """Check that a table has the columns that a pretrainer was fitted on.

    Raises
    ------
    ValueError
        Naming the columns that are missing or too many.
    """
    names = getattr(source, "feature_names_in_", None)
    if names is None or not is_frame(table):
        n_columns = np.shape(table)[1]
        if n_columns != source.n_features_in_:
            raise ValueError(
                f"the pretrainer was fitted on {source.n_features_in_} columns; X has {n_columns}"
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
    """Fit a clone of a pretrainer, through joblib's memory where one is given.

    Raises
    ------
    ValueError
        If the pretrainer is fitted already and the frame holds no photos to fit it anew.
    """
    if hasattr(pretrainer, "network_"):
        _report_refit(inputs.has_photos)
    fresh = clone(pretrainer).set_params(**inputs.handed_down)
    if fresh.random_state is None and random_state is not None:
        # One random_state then decides the whole fit.
        fresh.set_params(random_state=draw_seed(check_random_state(random_state)))
    cached_fit = check_memory(memory).cache(_fit)
    photos = _photo_fingerprint(fresh, inputs) if memory is not None else ""
    return cached_fit(fresh, inputs.X, dict(inputs.fit_params), photos)


def _fit(pretrainer: Any, X: Any, fit_params: dict[str, Any], photos: str) -> Any:
    """Fit; ``photos`` only makes joblib's memory notice a changed file."""
    return pretrainer.fit(X, **fit_params)


def _report_refit(has_photos: bool) -> None:
    advice = (
        "the pretrainer is fitted already and would be fitted anew, its weights lost. To use it as "
        "it is, wrap it: pretrainer=FrozenEstimator(pretrainer) (sklearn.frozen)"
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


class PretrainedEstimator(BaseEstimator, ABC):
    """An estimator with a pretrainer: one to be fitted along, or one that is fitted already.

    Its parameters ``pretrainer``, ``image_column``, ``group_column``, ``memory`` and
    ``random_state`` are set in the subclass, ``pretrainer_`` in its ``fit``.
    """

    pretrainer_class: ClassVar[type[Any]]
    pretrainer: Any
    pretrainer_: Any
    image_column: Any
    group_column: Any
    categorical_features: Any
    memory: Any
    random_state: Any

    def _declared(self, name: str, source: Any) -> Any:
        """Give a parameter that names columns: our own word counts before the pretrainer's."""
        own = getattr(self, name)
        return getattr(source, name, None) if own is None else own

    def _special_columns(self, source: Any) -> tuple[Any, Any]:
        """Which columns hold photos and groups."""
        return self._declared("image_column", source), self._declared("group_column", source)

    def _take_apart(
        self, X: Any, source: Any, image_paths: Sequence[Any] | None = None, frame: str = "X"
    ) -> Rows:
        """Split off what is no feature."""
        return take_apart(X, *self._special_columns(source), image_paths, frame)

    def _declared_here(self, source: Any) -> list[Hashable]:
        """List the columns that our own parameters take out of X, and a source knows nothing of."""
        return as_column_list(self.image_column) if source.image_column is None else []

    def _require_own_columns(self, X: Any, source: Any, image_paths: Sequence[Any] | None) -> None:
        """Check that the columns are there that our own parameters declare, or a fit to come."""
        # A fitted pretrainer that would be fitted anew gets its own message.
        is_fresh = source is self.pretrainer and not hasattr(source, "network_")
        says_otherwise = self._says_otherwise("image_column", source)
        if image_paths is None and (is_fresh or says_otherwise):
            wanted = as_column_list(self._declared("image_column", source))
            require_columns(X, wanted, "image_column")
        if self._says_otherwise("group_column", source):
            require_columns(X, [self.group_column], "group_column")

    def _says_otherwise(self, name: str, source: Any) -> bool:
        """Tell whether our own word on a column is another than the pretrainer's.

        Raises
        ------
        ValueError
            If the pretrainer has a word on it and is to be fitted here: both read the same frame.
        """
        own, theirs = (as_column_list(getattr(x, name, None)) for x in (self, source))
        if not own or own == theirs:
            return False
        if theirs and source is self.pretrainer:
            raise ValueError(
                f"{name}={shorten(getattr(self, name))}, but the pretrainer, which is fitted on "
                f"the same frame, has {name}={shorten(getattr(source, name))}: set one of them"
            )
        return True

    def _pretrained(
        self,
        source: Any,
        X: Any,
        rows: Rows,
        routed: dict[str, Any],
        seed: int,
    ) -> Any:
        """Give the fitted pretrainer: pre-train, or take what there is."""
        will_pretrain = source is not None and source is self.pretrainer
        if source is None or not will_pretrain:
            return source
        # Photos that only our own parameter declares are none of the pretrainer's business.
        unknown = self._declared_here(source)
        own = self.categorical_features
        hands_down = declares_categories(own) and not declares_categories(
            source.categorical_features
        )
        given = FitInputs(
            without_columns(X, unknown),
            rows.has_photos,
            self._known(routed),
            {"categorical_features": own} if hands_down else {},
        )
        random_state = None if self.random_state is None else derive_seed(seed, 3) % (2**31)
        return fit_pretrainer(source, given, self.memory, random_state)

    def _known(self, routed: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in routed.items() if value is not None}

    def _route(
        self, sample_weight: Any, image_paths: Any, unlabeled: Unlabeled | None
    ) -> dict[str, Any]:
        """Find what the pretrainer's fit is to be given."""
        given = {"image_paths": image_paths, "unlabeled": unlabeled}
        if not get_config()["enable_metadata_routing"] or not isinstance(
            self.pretrainer, self.pretrainer_class
        ):
            return given
        given["sample_weight"] = sample_weight
        return dict(process_routing(self, "fit", **self._known(given)).pretrainer.fit)
