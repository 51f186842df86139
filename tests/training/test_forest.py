"""Forests as plain arrays, against the scikit-learn forests that they were made of."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from tabimg.serialization import read_directory, write_directory
from tabimg.table import EncodedTable
from tabimg.training import forest
from tabimg.training.blocks import Blocks, LabelledRows
from tabimg.training.forest import ForestCandidate, ForestModel, fit_forest
from tabimg.training.runtime import derive_seed
from tabimg.training.splits import grouped_folds
from tabimg.training.tasks import Classification, Regression

CPU = torch.device("cpu")
KINDS = ["random_forest", "extra_trees"]
CLASSIFIERS = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}
REGRESSORS = {"random_forest": RandomForestRegressor, "extra_trees": ExtraTreesRegressor}
N_TREES = 2 * forest.TREES_AT_ONCE


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit two batches of trees."""
    monkeypatch.setattr(forest, "N_TREES", N_TREES)


def draw(n_rows: int, seed: int) -> np.ndarray:
    """Draw float32 columns; one of whole numbers, so that many cells are alike."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_rows, 4)).astype(np.float32)
    features[:, 0] = rng.integers(0, 4, n_rows)
    return features


def blocks_of(features: np.ndarray) -> Blocks:
    table = EncodedTable(features, np.zeros((len(features), 0), dtype=np.int64))
    return Blocks(table, {"columns": features})


def predict(model: ForestModel, features: np.ndarray, task: Any) -> np.ndarray:
    return model.predict(blocks_of(features), task, CPU)


def references(classes: Any, seed: int, X: Any, y: Any, weight: Any, **settings: Any) -> list[Any]:
    """Fit the two scikit-learn forests that are one forest of ours."""
    return [
        classes(
            n_estimators=forest.TREES_AT_ONCE,
            random_state=derive_seed(seed, first) % 2**31,
            **settings,
        ).fit(X, y, sample_weight=weight)
        for first in (0, forest.TREES_AT_ONCE)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_regression_predicts_what_scikit_learn_predicts(
    kind: str, n_outputs: int, weighted: bool
) -> None:
    X, new = draw(80, 0), draw(300, 1)
    rng = np.random.default_rng(2)
    y = (X[:, :1] + rng.standard_normal((80, n_outputs))).astype(np.float32)
    weight = rng.uniform(0.1, 3.0, 80).astype(np.float32) if weighted else np.ones(80)
    task = Regression(n_outputs, "mse")
    model = fit_forest(kind, X, y, weight, task, seed=7)
    fits = references(REGRESSORS[kind], 7, X, y if n_outputs > 1 else y[:, 0], weight)
    expected = np.mean([f.predict(new).reshape(300, n_outputs) for f in fits], axis=0)
    np.testing.assert_allclose(predict(model, new, task), expected, rtol=0, atol=1e-12)
    if weighted:
        plain = fit_forest(kind, X, y, np.ones(80), task, seed=7)
        assert not np.allclose(predict(plain, new, task), expected, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("present", [[0, 1], [0, 1, 2], [1, 3, 4], [2]])
def test_classification_predicts_what_scikit_learn_predicts_but_for_one_vote(
    kind: str, present: list[int]
) -> None:
    """The task has five classes; trees know those that are present."""
    X, new = draw(90, 0), draw(300, 1)
    rng = np.random.default_rng(2)
    y = np.array(present)[(X[:, 1] > 0).astype(int) % len(present)]
    y[:20] = rng.choice(present, 20)
    weight, task = rng.uniform(0.1, 3.0, 90), Classification(5)
    got = predict(fit_forest(kind, X, y, weight, task, seed=7), new, task)
    fits = references(CLASSIFIERS[kind], 7, X, y, weight)
    votes = np.zeros((300, 5))
    votes[:, np.unique(y)] = np.mean([f.predict_proba(new) for f in fits], axis=0)
    np.testing.assert_allclose(got, (N_TREES * votes + 0.2) / (N_TREES + 1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, atol=1e-12)
    assert got.min() > 0


def test_settings_are_those_of_scikit_learn() -> None:
    X, new = draw(80, 0), draw(100, 1)
    y, task = X[:, 1], Regression(1, "mse")
    settings = {"min_samples_leaf": 5, "max_features": 0.5}
    model = fit_forest("extra_trees", X, y, np.ones(80), task, 7, **settings)
    fits = references(ExtraTreesRegressor, 7, X, y, np.ones(80), **settings)
    expected = np.mean([f.predict(new) for f in fits], axis=0)
    np.testing.assert_allclose(predict(model, new, task)[:, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_trees_of_many_rows_see_some_of_them(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, task = draw(200, 0), draw(200, 3)[:, 1], Regression(1, "mse")
    whole = fit_forest(kind, X, y, np.ones(200), task, seed=7)
    monkeypatch.setattr(forest, "MAX_ROWS_A_TREE", 30)
    model = fit_forest(kind, X, y, np.ones(200), task, seed=7)
    fits = references(REGRESSORS[kind], 7, X, y, np.ones(200), bootstrap=True, max_samples=30)
    expected = np.mean([f.predict(X) for f in fits], axis=0)
    np.testing.assert_allclose(predict(model, X, task)[:, 0], expected, rtol=0, atol=1e-12)
    assert len(model.feature) < 0.3 * len(whole.feature)
    assert len(model.feature) <= N_TREES * (2 * 30 - 1)


def test_row_alone_is_predicted_as_in_a_batch() -> None:
    X, new = draw(80, 0), draw(200, 1)
    for task, y in ((Classification(3), X[:, 0].astype(int) % 3), (Regression(1, "mse"), X[:, 1])):
        model = fit_forest("random_forest", X, y, np.ones(80), task, seed=0)
        together = predict(model, new, task)
        for row in (0, 63, 64, 199):
            assert np.array_equal(predict(model, new[row : row + 1], task)[0], together[row])


def test_model_is_plain_arrays_that_survive_pickle_and_a_directory(tmp_path: Path) -> None:
    X, task = draw(80, 0), Classification(4)
    model = fit_forest("random_forest", X, X[:, 0].astype(int), np.ones(80), task, seed=0)
    assert all(type(value) is np.ndarray for name, value in vars(model).items() if name != "names")
    write_directory(tmp_path / "model", model)
    for back in (pickle.loads(pickle.dumps(model)), read_directory(tmp_path / "model")):
        assert np.array_equal(predict(back, X, task), predict(model, X, task))


def test_many_classes_are_no_reason_to_warn() -> None:
    """scikit-learn would, tree by tree; the estimator's own check has done so once."""
    X = draw(40, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_forest("extra_trees", X, np.arange(40) // 2, np.ones(40), Classification(20), seed=0)
        fit_forest("random_forest", X, X[:, :1], np.ones(40), Regression(1, "mse"), seed=0)


def test_equal_seeds_give_equal_forests_and_leave_the_global_stream_alone() -> None:
    X, task = draw(80, 0), Regression(1, "mse")
    before = np.random.get_state()[1].copy()
    one, same, other = (
        fit_forest("extra_trees", X, X[:, 1], np.ones(80), task, seed) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(value, vars(same)[name]) for name, value in vars(one).items())
    assert not np.array_equal(one.threshold, other.threshold)
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_rows_do_not_reach_their_own_trees(
    kind: str, labelled: Callable[..., LabelledRows]
) -> None:
    rows, task = labelled(60, "numbers"), Regression(1, "mse")
    folds = grouped_folds(rows.groups, 4, 0)
    held_out, (model,) = ForestCandidate(kind, 3).cross_fit(rows, folds, task)
    own = folds[1][1]
    target = rows.target.copy()
    target[own] += 100.0
    spoilt, (other,) = ForestCandidate(kind, 3).cross_fit(replace(rows, target=target), folds, task)
    assert np.array_equal(spoilt[own], held_out[own])
    assert not np.isclose(np.delete(spoilt, own), np.delete(held_out, own)).all()
    # The model for prediction has seen all rows.
    assert np.abs(model.predict(rows.blocks, task, CPU) - rows.target).mean() < 0.3
    assert other.predict(rows.blocks.take(own), task, CPU).mean() > 50


def test_rows_that_no_fold_holds_out_are_nan(labelled: Callable[..., LabelledRows]) -> None:
    rows, task = labelled(30), Classification(2)
    held_out, models = ForestCandidate("extra_trees", 0).cross_fit(rows, [], task)
    assert np.isnan(held_out).all() and held_out.shape == (30, 2) and len(models) == 1
