"""The methods that a study compares: how each is pre-trained and fitted."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import has_fit_parameter

from tabimg.estimators import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer, Unlabeled
from tabimg.evaluation.baselines import CORE_BASELINES, EXTRA_BASELINES, make_baseline
from tabimg.evaluation.data import StudyData
from tabimg.evaluation.foundation import FineTunedEstimator, PhotoPretrainer
from tabimg.evaluation.study.encoders import PretrainedEncoder
from tabimg.messages import shorten

# What each method changes in the pre-training.
ABLATIONS: dict[str, dict[str, float]] = {
    "masked_only": {"lambda_c": 0.0},
    "contrastive_only": {"lambda_m": 0.0},
    "mt_cmtm": {},
    "shuffled_photos": {},
}
# Not a method but what it could gain at most: nobody has the photo at prediction.
PHOTO_AT_TEST = "photo_at_test"
METHODS = ("scratch", *ABLATIONS, PHOTO_AT_TEST)
NAMES = {"methods": METHODS, "baselines": (*CORE_BASELINES, *EXTRA_BASELINES)}
# This much of a wrong name is compared with the right ones.
SHOWN = 80


@dataclass(frozen=True, eq=False)
class StudyMethod:
    """A row of the table of results.

    Parameters
    ----------
    name : str
    estimator : estimator
        Unfitted.
    pretrainer : PhotoPretrainer or None
        Unfitted; None needs no pre-training.
    shuffles_photos : bool, default=False
        Pair each training row with the photo of another one: the control that separates the effect
        of the photos' content from that of their mere presence.
    sees_test_photos : bool, default=False
        Take photo features as columns, in training and at test.
    further : Unlabeled or None, default=None
        Pairs for the pre-training of every fold, in addition to the fold's training rows.
    settings : mapping of str to value
        Further columns of the table of scores.
    """

    name: str
    estimator: Any
    pretrainer: PhotoPretrainer | None = None
    shuffles_photos: bool = False
    sees_test_photos: bool = False
    further: Unlabeled | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def table(self, encoder: PretrainedEncoder | None, data: StudyData) -> pd.DataFrame:
        """Return the rows as the method sees them at prediction, (n_rows, n_columns)."""
        if not self.sees_test_photos or encoder is None or encoder.features is None:
            return data.table
        names = [f"photo feature {number}" for number in range(encoder.features.shape[1])]
        features = pd.DataFrame(encoder.features, index=data.table.index, columns=names)
        return pd.concat([data.table, features], axis=1)

    def fit(
        self,
        encoder: PretrainedEncoder | None,
        train: np.ndarray,
        labelled: np.ndarray,
        data: StudyData,
        seed: int,
    ) -> Any:
        """Fit the estimator on the labelled rows.

        Parameters
        ----------
        encoder : PretrainedEncoder or None
        train : int array
            Positions of the fold's training rows.
        labelled : int array
            Positions of the training rows whose label may be used.
        data : StudyData
        seed : int

        Returns
        -------
        fitted estimator

        Notes
        -----
        If pre-training used photos, the labelled rows come with their embeddings, and the other
        training rows come as `Unlabeled` pairs, for ``finetune="auto"`` to distil from. No other
        method sees a photo, but for "photo_at_test", which has features of it among its columns.
        """
        estimator = clone(self.estimator)
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=seed)
        target = data.target[labelled]
        if self.sees_test_photos:
            table = data.with_groups(self.table(encoder, data))
            return estimator.fit(table.iloc[labelled], target)
        if isinstance(estimator, FineTunedEstimator):
            vectors = None if encoder is None else encoder.photos
            pairs = data.with_photo_vectors(train, vectors)
            others = np.setdiff1d(train, labelled)
            teaches = vectors is not None and len(others) > 0 and estimator.finetune == "auto"
            unlabeled = Unlabeled(pairs.iloc[others]) if teaches else None
            if encoder is not None:
                estimator.set_params(pretrainer=FrozenEstimator(encoder.pretrainer))
            return estimator.fit(pairs.iloc[labelled], target, unlabeled=unlabeled)
        by_group = data.group_column is not None and has_fit_parameter(estimator, "groups")
        groups = {"groups": data.groups[labelled]} if by_group else {}
        return estimator.fit(data.table.iloc[labelled], target, **groups)


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The unfitted pretrainer and estimator from which all variants of a method are made.

    The study's photo and group columns are set on both. Make it with `of`.
    """

    pretrainer: MultiModalPretrainer
    estimator: FineTunedEstimator

    @classmethod
    def of(
        cls,
        pretrainer: MultiModalPretrainer | None,
        estimator: Any,
        data: StudyData,
        image_root: Any,
    ) -> Prototypes:
        """Take the user's prototypes, or the defaults, and set the columns of the data.

        Raises
        ------
        TypeError, ValueError
            For a prototype of another class or for the other task, or an estimator that has its own
            pretrainer.
        """
        if pretrainer is None:
            pretrainer = MultiModalPretrainer()
        own = MTCMTMClassifier if data.task == "classification" else MTCMTMRegressor
        estimator = own() if estimator is None else estimator
        _check_pretrainer(pretrainer)
        _check_estimator(estimator, own)
        return cls(
            declare_on_pretrainer(pretrainer, data, image_root),
            declare_on_estimator(estimator, data),
        )

    def built_in(self, names: Iterable[str]) -> list[StudyMethod]:
        """Make methods by name; names as in `METHODS`."""
        return [self._make(name) for name in _checked_names("methods", names)]

    def grid_points(self, grid: Any) -> list[StudyMethod]:
        """Make a method per point of one or several grids over pre-training parameters.

        Its settings are the values of all parameters of the grids, NaN for those that the point
        does not change.
        """
        points = list(ParameterGrid(grid))
        varied = list(dict.fromkeys(name for point in points for name in point))
        for name in varied:
            _check_parameter(name, self.pretrainer)
        return [
            replace(
                self._pretrained(", ".join(f"{k}={v}" for k, v in point.items()), point),
                settings={name: point.get(name, np.nan) for name in varied},
            )
            for point in points
        ]

    def _make(self, name: str) -> StudyMethod:
        if name == "scratch":
            return StudyMethod(name, self._from_scratch())
        if name == PHOTO_AT_TEST:
            estimator = self._from_scratch().set_params(image_column=None)
            return replace(self._pretrained(name, {}), estimator=estimator, sees_test_photos=True)
        return self._pretrained(name, ABLATIONS[name], shuffles=name == "shuffled_photos")

    def _pretrained(
        self, name: str, changes: Mapping[str, Any], shuffles: bool = False
    ) -> StudyMethod:
        pretrainer = clone(self.pretrainer).set_params(**changes)
        return StudyMethod(name, self.estimator, pretrainer, shuffles)

    def _from_scratch(self) -> FineTunedEstimator:
        """The same network, head and budget without pre-training."""
        estimator = clone(self.estimator)
        estimator.set_params(
            tabular_encoder=self.pretrainer.tabular_encoder,
            embedding_dim=self.pretrainer.embedding_dim,
        )
        if estimator.finetune in ("frozen", "gradual"):  # they need a pre-trained encoder
            estimator.set_params(finetune="full")
        return estimator


def baseline_methods(names: Sequence[str], task: str) -> list[StudyMethod]:
    """Make the baselines by name."""
    names = _checked_names("baselines", names)
    return [StudyMethod(name, make_baseline(name, task)) for name in names]


def own_methods(extras: Mapping[str, Any], data: StudyData, image_root: Any) -> list[StudyMethod]:
    """Make the user's own methods from (pretrainer or None, estimator), and `Unlabeled` or not.

    Raises
    ------
    TypeError
        If a value has another form, a pretrainer comes with an estimator that does not take it, or
        a classifier has no probabilities.
    """
    methods = []
    for name, pair in extras.items():
        if not (isinstance(pair, tuple) and len(pair) in (2, 3)):
            raise TypeError(
                f"extra_methods[{shorten(name)}] must be (pretrainer or None, estimator), or "
                "(pretrainer, estimator, Unlabeled(...)) with further pairs for pre-training"
            )
        pretrainer, estimator, further = (*pair, None)[:3]
        is_ours = isinstance(estimator, FineTunedEstimator)
        if further is not None and (pretrainer is None or not isinstance(further, Unlabeled)):
            raise TypeError(
                f"extra_methods[{shorten(name)}]: further pairs must be Unlabeled(...), and need a "
                "pretrainer"
            )
        if pretrainer is not None:
            wanted = getattr(estimator, "pretrainer_class", None)
            if wanted is None or not isinstance(pretrainer, wanted):
                raise TypeError(
                    f"extra_methods[{shorten(name)}] has a {type(pretrainer).__name__} as "
                    f"pretrainer, which does not fit {type(estimator).__name__}"
                )
            pretrainer = declare_on_pretrainer(pretrainer, data, image_root)
        if data.task == "classification" and not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"extra_methods[{shorten(name)}]: {type(estimator).__name__} has no predict_proba, "
                "which AUC and log loss need; sklearn.calibration.CalibratedClassifierCV adds one"
            )
        if is_ours:
            estimator = declare_on_estimator(estimator, data)
        methods.append(StudyMethod(str(name), clone(estimator), pretrainer, further=further))
    return methods


def check_names(methods: Sequence[StudyMethod]) -> None:
    """Raise a ValueError if there is no method, or two with the same name."""
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ValueError(
            f"the methods {twice} are named twice: give each its own name"
            if twice
            else "there is no method to study: name one in methods, baselines or extra_methods"
        )


def declare_on_pretrainer(pretrainer: Any, data: StudyData, image_root: Any) -> Any:
    """Copy a pretrainer with the photo and group columns of the data."""
    declared = clone(pretrainer).set_params(
        image_column=data.image_columns, group_column=data.group_column
    )
    root = declared.image_root if image_root is None else image_root
    return declared.set_params(image_root=_from_anywhere(root))


def _from_anywhere(image_root: Any) -> Any:
    """Make a folder's path absolute, for processes with another working directory."""
    if image_root is None or (
        isinstance(image_root, (str, os.PathLike)) and os.path.isdir(os.path.expanduser(image_root))
    ):
        return os.path.abspath(os.path.expanduser(image_root or ""))
    return image_root


def declare_on_estimator(estimator: FineTunedEstimator, data: StudyData) -> FineTunedEstimator:
    """Copy an estimator with the photo columns, which are not features, and the group column."""
    return clone(estimator).set_params(
        image_column=data.image_columns, group_column=data.group_column
    )


def _checked_names(parameter: str, names: Any) -> list[str]:
    """Check the names given as ``methods`` or ``baselines``, and say where others belong.

    Raises
    ------
    TypeError, ValueError
        For one name instead of a sequence, estimators instead of names, and unknown names.
    """
    if isinstance(names, str):
        raise TypeError(f"{parameter} must be a sequence of names, such as [{shorten(names)}]")
    names = list(names)
    other = "baselines" if parameter == "methods" else "methods"
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"{parameter} takes names, got {type(name).__name__}; give an estimator under a "
                "name of your choice, extra_methods={'mine': (None, estimator)}"
            )
        if name in NAMES[parameter]:
            continue
        if name in NAMES[other]:
            raise ValueError(
                f"{parameter}: {shorten(name)} is one of the {other}, give it there: "
                f"{other}=[{shorten(name)}]"
            )
        raise ValueError(
            f"{parameter}: there is no {shorten(name)}{_meant(name)}. {parameter} are "
            f"{NAMES[parameter]}, {other} are {NAMES[other]}; your own estimators go into "
            "extra_methods"
        )
    return names


def _meant(name: str) -> str:
    """Guess the name of a method or baseline."""
    homes = {known: home for home, all_known in NAMES.items() for known in all_known}
    reading = name[:SHOWN].strip().lower().replace("-", "_").replace(" ", "_")
    near = difflib.get_close_matches(reading, list(homes), n=1)
    return f" (did you mean {homes[near[0]]}=[{shorten(near[0])}]?)" if near else ""


def _check_parameter(name: str, pretrainer: MultiModalPretrainer) -> None:
    """Raise a ValueError unless a pretrainer has a parameter."""
    known = sorted(pretrainer.get_params())
    if name not in known:
        near = difflib.get_close_matches(str(name)[:SHOWN], known, n=1)
        hint = f"; did you mean {shorten(near[0])}?" if near else f"; it has {known}"
        raise ValueError(f"grid: MultiModalPretrainer has no parameter {shorten(name)}{hint}")


def _check_pretrainer(pretrainer: Any) -> None:
    if not isinstance(pretrainer, MultiModalPretrainer):
        raise TypeError(
            "pretrainer must be an unfitted MultiModalPretrainer, which the study fits in each "
            f"fold, got {type(pretrainer).__name__}"
        )


def _check_estimator(estimator: Any, wanted: type[FineTunedEstimator]) -> None:
    if not isinstance(estimator, wanted):
        raise TypeError(
            f"this target needs estimator={wanted.__name__}(...), got {type(estimator).__name__}; "
            "other estimators are given as extra_methods"
        )
    if estimator.pretrainer is not None:
        raise ValueError("give the estimator's pretrainer to the study, as pretrainer=...")
