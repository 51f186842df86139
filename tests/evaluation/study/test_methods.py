"""What each method is, said in the parameters of the estimators that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from tabimg import (
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
    Unlabeled,
)
from tabimg.evaluation.data import StudyData, read_data
from tabimg.evaluation.study.methods import METHODS, Prototypes, check_names, own_methods

Make = Callable[..., MultiModalPretrainer]


@pytest.fixture
def data(frame: pd.DataFrame, amount: np.ndarray) -> StudyData:
    return read_data(frame, amount, "photo", "batch", "auto")


def prototypes(data: StudyData, pretrainer: Any = None, estimator: Any = None) -> Prototypes:
    return Prototypes.of(pretrainer, estimator, data, None)


def test_built_in_methods_differ_in_what_they_are_named_after(
    data: StudyData, make_pretrainer: Make
) -> None:
    made = prototypes(data, make_pretrainer(lambda_c=0.7, lambda_m=0.4)).built_in(METHODS)
    weights = {
        m.name: m.pretrainer and (m.pretrainer.lambda_c, m.pretrainer.lambda_m) for m in made
    }
    assert weights == {
        "scratch": None,
        "masked_only": (0.0, 0.4),
        "contrastive_only": (0.7, 0.0),
        "mt_cmtm": (0.7, 0.4),
        "shuffled_photos": (0.7, 0.4),
        "photo_at_test": (0.7, 0.4),
    }
    assert [m.name for m in made if m.shuffles_photos] == ["shuffled_photos"]
    assert [m.name for m in made if m.sees_test_photos] == ["photo_at_test"]


def test_built_in_scratch_is_the_same_network_head_and_budget(
    data: StudyData, make_pretrainer: Make
) -> None:
    own = MTCMTMRegressor(n_members=2, max_epochs=7, finetune="frozen", head="embedding")
    scratch, taught = prototypes(data, make_pretrainer(), own).built_in(["scratch", "mt_cmtm"])
    expected = taught.estimator.get_params()
    # A random encoder is never kept as it is.
    expected |= {"tabular_encoder": "mlp", "embedding_dim": 8, "finetune": "full"}
    assert scratch.estimator.get_params() == expected
    assert taught.estimator.finetune == "frozen"


def test_prototypes_declare_columns_and_leave_the_users_objects_alone(data: StudyData) -> None:
    pretrainer, estimator = MultiModalPretrainer(max_epochs=3), MTCMTMRegressor(max_epochs=2)
    made = Prototypes.of(pretrainer, estimator, data, "/photos")
    assert (made.pretrainer.image_column, made.pretrainer.group_column) == (["photo"], "batch")
    assert (made.estimator.image_column, made.estimator.group_column) == (["photo"], "batch")
    assert (made.pretrainer.image_root, made.pretrainer.max_epochs) == ("/photos", 3)
    assert (pretrainer.image_column, estimator.group_column) == (None, None)


def test_prototypes_by_default_suit_the_task(
    frame: pd.DataFrame, kind: np.ndarray, data: StudyData
) -> None:
    assert isinstance(prototypes(data).estimator, MTCMTMRegressor)
    classes = read_data(frame, kind, "photo", None, "auto")
    assert isinstance(prototypes(classes).estimator, MTCMTMClassifier)


@pytest.mark.parametrize(
    ("pretrainer", "estimator", "error", "message"),
    [
        (Ridge(), None, TypeError, "unfitted MultiModalPretrainer.*Ridge"),
        (None, MTCMTMClassifier(), TypeError, "needs estimator=MTCMTMRegressor"),
        (None, Ridge(), TypeError, "given as extra_methods"),
        (None, MTCMTMRegressor(MultiModalPretrainer()), ValueError, "to the study, as pretrainer="),
    ],
)
def test_prototypes_unsuitable_are_errors(
    data: StudyData, pretrainer: Any, estimator: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        prototypes(data, pretrainer, estimator)


def test_grid_points_carry_their_values_and_name_them(data: StudyData) -> None:
    grid = [{"lambda_c": [0.5, 1.0], "lambda_m": [2.0]}, {"mask_rate": [0.1]}]
    points = prototypes(data).grid_points(grid)
    assert [p.name for p in points] == [
        "lambda_c=0.5, lambda_m=2.0",
        "lambda_c=1.0, lambda_m=2.0",
        "mask_rate=0.1",
    ]
    np.testing.assert_equal(
        [dict(p.settings) for p in points],
        [
            {"lambda_c": 0.5, "lambda_m": 2.0, "mask_rate": np.nan},
            {"lambda_c": 1.0, "lambda_m": 2.0, "mask_rate": np.nan},
            {"lambda_c": np.nan, "lambda_m": np.nan, "mask_rate": 0.1},
        ],
    )
    assert points[2].pretrainer is not None and points[2].pretrainer.mask_rate == 0.1


def test_own_methods_are_declared_copies(data: StudyData, make_pretrainer: Make) -> None:
    made = own_methods(
        {"wide": (make_pretrainer(), MTCMTMRegressor(head="embedding")), "ridge": (None, Ridge())},
        data,
        None,
    )
    assert made[0].pretrainer is not None and made[0].pretrainer.image_column == ["photo"]
    assert made[0].estimator.group_column == "batch"
    assert made[1].pretrainer is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Ridge(), r"must be \(pretrainer or None, estimator\)"),
        ((MultiModalPretrainer(), Ridge()), "has a MultiModalPretrainer.*not fit Ridge"),
        (("runs/cars", MTCMTMRegressor()), "has a str as pretrainer"),
        ((MultiModalPretrainer(), CITabRegressor()), "not fit CITabRegressor"),
        ((None, CITabRegressor(), Unlabeled({})), "need a pretrainer"),
        ((CITabPretrainer(), CITabRegressor(), {}), r"must be Unlabeled"),
    ],
)
def test_own_methods_of_other_kinds_are_errors(data: StudyData, value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        own_methods({"mine": value}, data, None)


def test_methods_unknown_twice_or_none_are_errors(data: StudyData) -> None:
    with pytest.raises(ValueError, match=r"no 'mtcmtm' \(did you mean methods=\['mt_cmtm'\]"):
        prototypes(data).built_in(["mtcmtm"])
    with pytest.raises(ValueError, match=r"\['scratch'\] are named twice"):
        check_names(prototypes(data).built_in(["scratch", "mt_cmtm", "scratch"]))
    with pytest.raises(ValueError, match="no method to study"):
        check_names([])
