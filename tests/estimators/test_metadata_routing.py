"""Photos, unlabeled rows and weights as routed metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from tabimg import Unlabeled


@pytest.fixture(autouse=True)
def routing() -> Iterator[None]:
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def rows(table: pd.DataFrame) -> np.ndarray:
    return table[["width", "pressure"]].to_numpy()


@pytest.fixture
def paths(frame: pd.DataFrame) -> np.ndarray:
    return frame["photo"].to_numpy(dtype=object)


def test_image_paths_are_routed_through_pipeline_and_cross_validation(
    rows: np.ndarray, paths: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.pretrainer(image_column=None, image_loader=photo_log.loader)
    pipeline = make_pipeline(pre.set_fit_request(image_paths=True), Ridge())
    train, test = np.arange(25), np.arange(25, 40)
    result = cross_validate(
        pipeline, rows, np.arange(40.0), cv=[(train, test)], params={"image_paths": paths}
    )
    assert np.isfinite(result["test_score"]).all()
    assert photo_log.names() == [f"{row:02d}.png" for row in train]


def test_image_paths_are_routed_to_a_fused_estimator_and_its_pretrainer(
    rows: np.ndarray, paths: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.pretrainer(image_column=None, image_loader=photo_log.loader)
    regressor = make.regressor(
        pretrainer=pre.set_fit_request(image_paths=True), finetune="frozen"
    ).set_fit_request(image_paths=True)
    train, test = np.arange(25), np.arange(25, 40)
    search = GridSearchCV(
        regressor, {"pretrainer__lambda_c": [0.5, 1.0]}, cv=[(train, test)], refit=False
    )
    search.fit(rows, np.arange(40.0), image_paths=paths)
    assert photo_log.names() == 2 * [f"{row:02d}.png" for row in train]


def test_unlabeled_rows_are_routed_whole(
    frame: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.pretrainer(image_loader=photo_log.loader).set_fit_request(unlabeled=True)
    for estimator in (
        make_pipeline(pre, Ridge()),
        make.regressor(pretrainer=pre, finetune="frozen").set_fit_request(unlabeled=True),
    ):
        before = len(photo_log.names())
        cross_validate(
            estimator,
            frame[:20],
            target[:20],
            cv=[(np.arange(10), np.arange(10, 20))],
            params={"unlabeled": Unlabeled(frame[20:])},
        )
        expected = {f"{row:02d}.png" for row in [*range(10), *range(20, 40)]}
        assert set(photo_log.names()[before:]) == expected


def test_sample_weight_reaches_the_pretrainer_only_on_request(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    weight = np.linspace(0.1, 3.0, len(frame))
    embeddings = {}
    for request in (True, False):
        pre = make.pretrainer().set_fit_request(sample_weight=request)
        regressor = make.regressor(pretrainer=pre, finetune="frozen")
        regressor.set_fit_request(sample_weight=True).fit(frame, target, sample_weight=weight)
        embeddings[request] = regressor.pretrainer_.transform(frame)
    np.testing.assert_array_equal(embeddings[False], make.pretrainer().fit(frame).transform(frame))
    np.testing.assert_array_equal(
        embeddings[True], make.pretrainer().fit(frame, sample_weight=weight).transform(frame)
    )
    assert not np.array_equal(embeddings[True], embeddings[False])


def test_metadata_without_a_request_is_refused(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(pretrainer=make.pretrainer(), finetune="frozen")
    with pytest.raises(UnsetMetadataPassedError, match="unlabeled"):
        cross_validate(
            regressor, frame, target, params={"unlabeled": Unlabeled(frame)}, error_score="raise"
        )


def test_fused_estimator_is_consumer_and_router(make: Any) -> None:
    pre = make.pretrainer().set_fit_request(image_paths=True)
    regressor = make.regressor(pretrainer=pre).set_fit_request(sample_weight=True)
    router = regressor.get_metadata_routing()
    assert router.consumes("fit", ["image_paths", "sample_weight", "other"]) == {
        "image_paths",
        "sample_weight",
    }
