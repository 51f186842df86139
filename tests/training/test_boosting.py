"""Boosted models are scikit-learn's, as plain arrays; rounds are chosen by held-out rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from tabimg.serialization import read_directory, write_directory
from tabimg.table import EncodedTable
from tabimg.training import boosting
from tabimg.training.blocks import COLUMNS, PHOTOS, Blocks, LabelledRows
from tabimg.training.boosting import BoostingCandidate, fit_boosting
from tabimg.training.splits import grouped_folds
from tabimg.training.tasks import Classification, Regression

CPU = torch.device("cpu")
N_ROUNDS = 12


def draw(n_rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_rows, 5)).astype(np.float32)


def as_blocks(features: np.ndarray) -> Blocks:
    table = EncodedTable(features, np.zeros((len(features), 0), dtype=np.int64))
    return Blocks(table, {COLUMNS: features, PHOTOS: features[:, ::-1].copy()})


def label(features: np.ndarray, target: np.ndarray) -> LabelledRows:
    ones = np.ones(len(features), dtype=np.float32)
    return LabelledRows(as_blocks(features), target, ones, np.arange(len(features)))


def reference(kind: Any, n_rows: int, **settings: Any) -> Any:
    """scikit-learn's own model, with the settings of ours."""
    leaf = int(np.clip(boosting.LEAF_SHARE * n_rows, *boosting.LEAF_ROWS))
    common = {"n_estimators": N_ROUNDS, "min_samples_leaf": leaf, "random_state": 3}
    return kind(**boosting.SETTINGS, **common, subsample=0.5, **settings)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_are_those_of_scikit_learn(n_classes: int) -> None:
    X, new = draw(300), draw(90, 1)
    y = np.digitize(X[:, 0] + X[:, 1] * X[:, 2], np.linspace(-1, 1, n_classes - 1))
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 300)
    model = fit_boosting(X, y, weight, Classification(n_classes), 3, N_ROUNDS)
    own = reference(GradientBoostingClassifier, 300).fit(X, y, sample_weight=weight)
    got = model.predict(as_blocks(new), Classification(n_classes), CPU)
    np.testing.assert_allclose(got, own.predict_proba(new), atol=1e-6)


def test_numbers_are_those_of_scikit_learn() -> None:
    X, new = draw(300), draw(90, 1)
    y = np.column_stack([X[:, 0] * X[:, 1], X[:, 2]])
    model = fit_boosting(X, y, np.ones(300), Regression(2, "mse"), 3, N_ROUNDS)
    got = model.predict(as_blocks(new), Regression(2, "mse"), CPU)
    for column in range(2):
        own = reference(GradientBoostingRegressor, 300, init="zero").fit(X, y[:, column])
        np.testing.assert_allclose(got[:, column], own.predict(new), atol=1e-9)


def test_class_without_a_row_stays_possible_and_a_single_class_is_a_constant() -> None:
    X, task = draw(60), Classification(3)
    for y in ((X[:, 0] > 0).astype(int) * 2, np.ones(60, dtype=int)):
        got = fit_boosting(X, y, np.ones(60), task, 0, N_ROUNDS).predict(as_blocks(X), task, CPU)
        np.testing.assert_allclose(got.sum(axis=1), 1.0)
        unseen = np.setdiff1d(np.arange(3), y)
        assert 0 < got[:, unseen].max() < 1e-3
    assert np.ptp(got, axis=0).max() == 0


def test_number_of_rounds_is_the_best_of_the_held_out_rows(monkeypatch: Any) -> None:
    monkeypatch.setattr(boosting, "ROUNDS", (5, 20, 60))
    rng, X, task = np.random.default_rng(0), draw(200), Regression(1, "mse")
    chosen = {}
    for name, y in {"signal": X[:, :1], "noise": rng.standard_normal((200, 1))}.items():
        rows = label(X, y.astype(np.float32))
        folds = grouped_folds(rows.groups, 4, 0)
        held_out, (model,) = BoostingCandidate(0).cross_fit(rows, folds, task)
        assert np.isfinite(held_out).all()
        chosen[name] = len(model.trees.roots)
    assert chosen == {"signal": 60, "noise": 5}


def test_held_out_rows_are_predicted_by_models_that_have_not_seen_them(monkeypatch: Any) -> None:
    monkeypatch.setattr(boosting, "ROUNDS", (10,))
    X, task = draw(80), Regression(1, "mse")
    rows = label(X, X[:, :1])
    folds = grouped_folds(rows.groups, 4, 0)
    own = folds[0][1]
    before, _ = BoostingCandidate(0).cross_fit(rows, folds, task)
    target = rows.target.copy()
    target[own] = 50.0
    after, _ = BoostingCandidate(0).cross_fit(label(X, target), folds, task)
    assert np.array_equal(after[own], before[own])
    assert not np.array_equal(after, before)


def test_blocks_that_it_saw_are_those_that_it_reads(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(boosting, "ROUNDS", (10,))
    X, task = draw(80), Classification(2)
    rows = label(X, (X[:, 4] > 0).astype(np.int64))
    _, (model,) = BoostingCandidate(0, (COLUMNS, PHOTOS)).cross_fit(rows, [], task)
    write_directory(tmp_path / "model", model)
    back = read_directory(tmp_path / "model")
    expected = model.predict(rows.blocks, task, CPU)
    assert np.array_equal(back.predict(rows.blocks, task, CPU), expected)
    assert (expected.argmax(axis=1) == rows.target).mean() > 0.9
    with pytest.raises(KeyError):
        model.predict(Blocks(rows.table, {COLUMNS: X}), task, CPU)
