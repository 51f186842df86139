"""Penalties chosen by folds against scikit-learn's, and linear models as members of a blend."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tabimg.serialization import read_directory, write_directory
from tabimg.training.blocks import COLUMNS, EMBEDDING, LabelledRows
from tabimg.training.linear import (
    LinearCandidate,
    choose_penalty,
    fit_head,
    standardisation,
)
from tabimg.training.splits import grouped_folds
from tabimg.training.tasks import Classification, Regression

CPU = torch.device("cpu")
Rows = Callable[..., LabelledRows]


def choose(
    task: Any, features: np.ndarray, target: np.ndarray, groups: Any = None, n_folds: int = 3
) -> tuple[np.ndarray, int]:
    groups = np.arange(len(target)) if groups is None else groups
    folds = grouped_folds(groups, n_folds, 0, task.classes(target))
    chosen = choose_penalty(features, target, np.ones(len(target)), folds, task)
    return chosen.held_out, chosen.number


def head(task: Any, features: np.ndarray, target: np.ndarray, groups: Any = None) -> Any:
    _, number = choose(task, features, target, groups)
    return fit_head(features, target, np.ones(len(target)), number, task)


# --- choosing ------------------------------------------------------------------------------------


def test_penalty_of_classification_is_that_of_cross_validation() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 4))
    target = (features @ rng.standard_normal(4) + rng.logistic(size=400) > 0).astype(int)
    weight, bias = head(Classification(2), features, target)
    grid = {"C": Classification.penalties}
    reference = GridSearchCV(LogisticRegression(), grid, cv=3, scoring="neg_log_loss")
    reference.fit(features, target)
    got = softmax(features @ weight.T + bias, axis=1)
    assert np.abs(reference.predict_proba(features) - got).mean() < 0.03


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_penalty_of_regression_is_that_of_cross_validation(n_outputs: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 20))
    target = features @ rng.standard_normal((20, n_outputs)) + 9 * rng.standard_normal(
        (50, n_outputs)
    )
    task = Regression(n_outputs, "mse")
    held_out, number = choose(task, features, target)
    folds = grouped_folds(np.arange(50), 3, 0)
    errors, predictions = [], []
    for alpha in task.penalties:
        predicted = cross_val_predict(Ridge(alpha), features, target, cv=folds)
        predictions.append(predicted.reshape(50, n_outputs))
        errors.append(((predictions[-1] - target) ** 2).sum())
    assert 0 < number < len(task.penalties) - 1
    assert number == np.argmin(errors)
    assert np.allclose(held_out, predictions[number])


def test_without_signal_the_penalty_is_strong() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.standard_normal((60, 30)), np.tile([0, 1], 30)
    weight, _ = head(Classification(2), features, target)
    assert np.abs(weight).max() < 0.05


def test_groups_keep_the_penalty_from_trusting_copies() -> None:
    """Rows of a group share a random target: within a group everything looks predictable."""
    rng = np.random.default_rng(0)
    centres, of_groups = rng.standard_normal((20, 15)), rng.standard_normal((20, 1))
    groups = np.repeat(np.arange(20), 5)
    task = Regression(1, "mse")
    coefficients, _ = head(task, centres[groups], of_groups[groups], groups)
    naive, _ = head(task, centres[groups], of_groups[groups])
    assert np.abs(coefficients).max() < 0.2 * np.abs(naive).max()


@pytest.mark.parametrize("classes_are_groups", [False, True])
def test_without_folds_the_middle_penalty_serves(classes_are_groups: bool) -> None:
    """One row a class, or all rows of a class in one group: nothing can be held out."""
    features = np.random.default_rng(0).standard_normal((6, 4))
    target = np.repeat(np.arange(3), 2) if classes_are_groups else np.arange(6)
    groups = np.zeros(6, dtype=int) if classes_are_groups else np.arange(6)
    task = Classification(len(np.unique(target)))
    held_out, number = choose(task, features, target, groups)
    assert np.isnan(held_out).all() and held_out.shape == (6, task.n_outputs)
    assert number == len(task.penalties) // 2
    weight, bias = fit_head(features, target, np.ones(6), number, task)
    reference = LogisticRegression(C=task.penalties[number]).fit(features, target)
    got = softmax(features @ weight.T + bias, axis=1)
    assert np.allclose(got, reference.predict_proba(features), atol=1e-3)


def test_row_of_a_class_of_its_own_is_held_out_by_no_fold() -> None:
    features = np.random.default_rng(0).standard_normal((21, 3))
    target = np.r_[np.tile([0, 1], 10), 2]
    held_out, _ = choose(Classification(3), features, target)
    assert np.isnan(held_out[20]).all() and np.isfinite(held_out[:20]).all()


def test_heavy_rows_decide_the_penalty() -> None:
    """In the heavy rows the feature says nothing; in the others it is the target."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((90, 1))
    target = np.where(np.arange(90)[:, None] < 45, rng.standard_normal((90, 1)), features)
    folds = grouped_folds(np.arange(90), 3, 0)
    task = Regression(1, "mse")
    heavy = np.where(np.arange(90) < 45, 1.0, 1e-6)
    strong = choose_penalty(features, target, heavy, folds, task)
    weak = choose_penalty(features, target, heavy[::-1], folds, task)
    assert strong.number < weak.number


# --- standardisation -----------------------------------------------------------------------------


def test_standardisation_integer_weights_equal_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    features, weight = 5 + 3 * rng.standard_normal((20, 4)), rng.integers(1, 4, 20)
    mean, scale = standardisation(features, weight)
    repeated = np.repeat(features, weight, axis=0)
    assert np.allclose(mean, repeated.mean(axis=0))
    assert np.allclose(scale, repeated.std(axis=0))


def test_standardisation_constant_feature_has_scale_one() -> None:
    features = np.full((10, 2), 1e6, dtype=np.float32)
    features[:, 1] = 0.0
    mean, scale = standardisation(features, np.ones(10))
    assert mean.tolist() == [1e6, 0.0]
    assert scale.tolist() == [1.0, 1.0]


# --- member of a blend ---------------------------------------------------------------------------


@pytest.fixture
def with_embedding(labelled: Rows) -> Rows:
    """Labelled rows that also have an embedding, which knows what the columns do not."""

    def make(n_rows: int = 60, kind: str = "numbers") -> LabelledRows:
        rows = labelled(n_rows, kind)
        embedding = np.random.default_rng(4).standard_normal((n_rows, 2)).astype(np.float32)
        hidden = embedding[:, 0]
        target = rows.target + (hidden[:, None] if kind == "numbers" else 0)
        return replace(rows, blocks=rows.blocks.having(embedding=embedding), target=target)

    return make


def test_model_predicts_what_a_scaler_and_ridge_predict(with_embedding: Rows) -> None:
    rows, task = with_embedding(), Regression(1, "mse")
    folds = grouped_folds(rows.groups, 4, 0)
    held_out, (model,) = LinearCandidate((EMBEDDING, COLUMNS)).cross_fit(rows, folds, task)
    features = np.hstack([rows.blocks["embedding"], rows.columns]).astype(np.float64)
    references = [
        make_pipeline(StandardScaler(), Ridge(alpha)).fit(features, rows.target)
        for alpha in task.penalties
    ]
    got = model.predict(rows.blocks, task, CPU)
    gaps = [np.abs(r.predict(features).reshape(-1, 1) - got).max() for r in references]
    assert min(gaps) < 1e-6
    assert np.abs(held_out - rows.target).mean() < 0.2
    blind, _ = LinearCandidate((COLUMNS,)).cross_fit(rows, folds, task)
    assert np.abs(blind - rows.target).mean() > 0.5


def test_held_out_rows_do_not_reach_their_own_model(with_embedding: Rows) -> None:
    class OnePenalty(Regression):
        penalties = np.array([1.0])

    rows, task = with_embedding(), OnePenalty(1, "mse")
    folds = grouped_folds(rows.groups, 4, 0)
    before, _ = LinearCandidate((COLUMNS,)).cross_fit(rows, folds, task)
    target = rows.target.copy()
    target[folds[1][1]] += 100.0
    after, _ = LinearCandidate((COLUMNS,)).cross_fit(replace(rows, target=target), folds, task)
    own = folds[1][1]
    assert np.array_equal(after[own], before[own])
    assert not np.isclose(np.delete(after, own, axis=0), np.delete(before, own, axis=0)).any()


def test_row_alone_is_predicted_as_in_a_batch(with_embedding: Rows) -> None:
    for kind, task in (("numbers", Regression(1, "mse")), ("classes", Classification(2))):
        rows = with_embedding(150, kind)
        _, (model,) = LinearCandidate((COLUMNS, EMBEDDING)).cross_fit(rows, [], task)
        together = model.predict(rows.blocks, task, CPU)
        assert together.dtype == np.float64
        for row in (0, 1, 63, 64, 149):
            alone = model.predict(rows.blocks.take(np.array([row])), task, CPU)
            assert np.array_equal(alone[0], together[row])


def test_model_survives_pickle_and_a_directory(with_embedding: Rows, tmp_path: Path) -> None:
    rows, task = with_embedding(), Regression(1, "mse")
    _, (model,) = LinearCandidate((COLUMNS,)).cross_fit(rows, [], task)
    expected = model.predict(rows.blocks, task, CPU)
    write_directory(tmp_path / "model", model)
    for back in (pickle.loads(pickle.dumps(model)), read_directory(tmp_path / "model")):
        assert np.array_equal(back.predict(rows.blocks, task, CPU), expected)
