"""Every estimator gives the same bits, and the same warnings, for a frame of every kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tabimg import Unlabeled

pytestmark = pytest.mark.usefixtures("few_folds")

SPECIAL = {"image_column": "photo", "group_column": "lot"}


@pytest.fixture
def many(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with cells of every type and gaps among them, and with groups."""
    row = np.arange(40)
    gap = row % 7 == 0
    return frame.assign(
        photo=frame["photo"].where(row % 9 > 0, None),
        count=np.where(gap, np.nan, row % 5),
        zip=np.array([1234, 4321, 9999])[row % 3],
        code=np.array([7, 8])[row // 3 % 2],
        flag=pd.Series(np.where(gap, None, row % 2 == 0), dtype=object),
        seen=pd.Series(pd.date_range("2020", periods=40, freq="h")).mask(gap),
        wait=pd.to_timedelta(row, "s"),
        grade=pd.Series(np.where(row % 4 > 1, "good", "bad")).where(~gap).astype("category"),
        remark=pd.Series(np.array(["", " ", "x", None], dtype=object)[row % 4], dtype=object),
        void=np.nan,
        lot=pd.Series(np.where(gap, None, row // 2), dtype=object),
    )


def told(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Give a call's result and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return call(), [str(warning.message) for warning in caught]


@pytest.mark.parametrize("face", ["pretrainer", "citab"])
def test_pretrainer_embeds_a_frame_of_every_kind_alike(
    face: str, many: pd.DataFrame, to_frame: Any, make: Any
) -> None:
    unfitted = getattr(make, face)(**SPECIAL, categorical_features=["code"])

    def fit(convert: Callable[[pd.DataFrame], Any]) -> Any:
        return clone(unfitted).fit(convert(many[:30]), unlabeled=Unlabeled(convert(many[30:])))

    expected, expected_words = told(lambda: fit(lambda X: X))
    found, words = told(lambda: fit(to_frame))
    assert words == expected_words
    given = to_frame(many)
    for pretrainer in (found, expected):
        np.testing.assert_array_equal(pretrainer.transform(given), expected.transform(many))
        photos = pretrainer.transform_images(given)
        np.testing.assert_array_equal(photos, expected.transform_images(many))


def assert_predicted_alike(unfitted: Any, X: pd.DataFrame, y: pd.Series, to_frame: Any) -> None:
    given = to_frame(X)
    expected, expected_words = told(lambda: clone(unfitted).fit(X, y))
    found, words = told(lambda: clone(unfitted).fit(given, to_frame(y.to_frame("y"))["y"]))
    assert words == expected_words
    predict = "predict_proba" if hasattr(expected, "predict_proba") else "predict"
    for estimator in (found, expected):
        np.testing.assert_array_equal(
            getattr(estimator, predict)(given), getattr(expected, predict)(X)
        )


@pytest.mark.parametrize("face", ["regressor", "citab_regressor"])
def test_regressor_predicts_a_frame_of_every_kind_alike(
    face: str, many: pd.DataFrame, to_frame: Any, make: Any
) -> None:
    unfitted = getattr(make, face)(**SPECIAL, finetune="full", max_epochs=1)
    assert_predicted_alike(unfitted, many, many["pressure"].rename("y"), to_frame)


@pytest.mark.parametrize(
    ("face", "source"), [("classifier", "pretrainer"), ("citab_classifier", "citab")]
)
def test_classifier_that_pretrains_predicts_a_frame_of_every_kind_alike(
    face: str, source: str, many: pd.DataFrame, to_frame: Any, make: Any
) -> None:
    pretrainer = getattr(make, source)(**SPECIAL)
    unfitted = getattr(make, face)(pretrainer=pretrainer, finetune="frozen", max_epochs=1)
    assert_predicted_alike(unfitted, many, many["support"].rename("y"), to_frame)


def test_cohorts_in_frames_of_every_kind_are_embedded_alike(
    with_vectors: pd.DataFrame, to_frame: Any, make: Any
) -> None:
    unfitted = make.citab(cohort_column="clinic")
    expected = clone(unfitted).fit(with_vectors)
    embedding = expected.transform(with_vectors)
    given = to_frame(with_vectors)
    found = clone(unfitted).fit(given)
    np.testing.assert_array_equal(found.transform(given), embedding)
    np.testing.assert_array_equal(expected.transform(given), embedding)
    parts = dict(iter(with_vectors.groupby("clinic")))
    cohorts = {name: to_frame(part.dropna(axis=1, how="all")) for name, part in parts.items()}
    np.testing.assert_array_equal(unfitted.fit(cohorts).transform(cohorts), embedding)
