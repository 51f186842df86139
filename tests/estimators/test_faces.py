"""The call shapes that other people's code relies on, as they are written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import tabimg
from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer, Unlabeled


def test_pretrainer_fitted_with_photos_embeds_the_table_alone(
    frame: pd.DataFrame, make: Any
) -> None:
    pre = make.pretrainer(lambda_c=1.0, lambda_m=1.0, mask_rate=0.3)
    embedding = pre.fit(frame).transform(frame.drop(columns="photo"))
    assert embedding.shape == (40, 8)
    assert embedding.dtype == np.float32
    assert np.isfinite(embedding).all()
    assert len(np.unique(embedding, axis=0)) == 40


def test_pretrainer_in_pipeline_is_cross_validated(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    scores = cross_val_score(make_pipeline(make.pretrainer(), Ridge()), frame, target, cv=3)
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 3


@pytest.mark.slow
def test_pretrainer_in_pipeline_is_searched_in_two_processes(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    pipeline = make_pipeline(make.pretrainer(), Ridge())
    grid = {
        "multimodalpretrainer__lambda_c": [0.0, 1.0],
        "multimodalpretrainer__mask_rate": [0.2, 0.4],
    }
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(frame, target)
    assert len(set(search.cv_results_["mean_test_score"])) == 4


def test_fused_regressor_pretrains_then_predicts_from_the_table(
    frame: pd.DataFrame, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = MTCMTMRegressor(pretrainer=make.pretrainer(), finetune="frozen", random_state=0)
    prediction = regressor.fit(frame, target).predict(table)
    assert prediction.shape == (40,)
    assert np.corrcoef(prediction, target)[0, 1] > 0.5


def test_fused_regressor_is_searched_over_the_pretrainers_parameters(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(pretrainer=make.pretrainer(), finetune="frozen")
    grid = {
        "pretrainer__lambda_c": [0.0, 1.0],
        "pretrainer__lambda_m": [0.5, 1.0],
        "pretrainer__mask_rate": [0.2, 0.4],
    }
    search = GridSearchCV(regressor, grid, cv=2, n_jobs=2, error_score="raise").fit(frame, target)
    assert len(set(search.cv_results_["mean_test_score"])) == 8
    assert (
        search.best_estimator_.pretrainer_.lambda_c == search.best_params_["pretrainer__lambda_c"]
    )


def test_classifier_takes_a_frozen_pretrainer(
    frame: pd.DataFrame, labels: np.ndarray, fitted: MultiModalPretrainer, make: Any
) -> None:
    table = frame.drop(columns="photo")
    classifier = make.classifier(pretrainer=FrozenEstimator(fitted), finetune="frozen")
    assert classifier.fit(frame, labels).score(table, labels) > 0.5
    assert classifier.fit(table, labels).score(frame, labels) > 0.5


def test_classifier_takes_a_saved_directory(
    table: pd.DataFrame, labels: np.ndarray, tmp_path: Path, make: Any
) -> None:
    pre = make.pretrainer(image_column=None, image_encoder="resnet18").fit(table)
    tabimg.save(pre, tmp_path / "runs" / "cars")
    saved = MTCMTMClassifier(
        pretrainer=str(tmp_path / "runs" / "cars"), finetune="frozen", random_state=0
    )
    live = MTCMTMClassifier(pretrainer=FrozenEstimator(pre), finetune="frozen", random_state=0)
    np.testing.assert_array_equal(
        saved.fit(table, labels).predict_proba(table), live.fit(table, labels).predict_proba(table)
    )


def test_classifier_without_pretrainer_trains_from_scratch(
    table: pd.DataFrame, labels: np.ndarray
) -> None:
    classifier = MTCMTMClassifier(max_epochs=2, random_state=0).fit(table, labels)
    assert classifier.pretrainer_ is None
    assert "network" in classifier.weights_ and "embedding" not in classifier.weights_
    assert set(classifier.predict(table)) <= set(labels)


def test_pretrainer_without_image_column_models_masked_cells_only(table: pd.DataFrame) -> None:
    pre = MultiModalPretrainer(max_epochs=1, random_state=0).fit(table)
    assert pre.transform(table).shape == (40, 256)
    assert "train_masked" in pre.history_[0]
    assert "train_contrastive" not in pre.history_[0]


def test_pretrainer_takes_paths_beside_a_bare_array(frame: pd.DataFrame, make: Any) -> None:
    array = frame[["width", "pressure"]].to_numpy()
    pre = make.pretrainer(image_column=None).fit(array, image_paths=list(frame["photo"]))
    assert "train_contrastive" in pre.history_[0]
    assert pre.transform(array).shape == (40, 8)


def test_fit_takes_unlabeled_pairs(frame: pd.DataFrame, labels: np.ndarray, make: Any) -> None:
    classifier = make.classifier(pretrainer=make.pretrainer(), finetune="frozen")
    classifier.fit(frame[:20], labels[:20], unlabeled=Unlabeled(frame[20:]))
    assert classifier.predict(frame).shape == (40,)
