"""Core baselines: raw frames in, tuned without test rows, fair with few labels."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error
from threadpoolctl import threadpool_info

from tabimg.evaluation.baselines import CORE_BASELINES, estimators, make_baseline, tuned_models
from tabimg.evaluation.baselines.problem import Problem, inner_folds
from tabimg.evaluation.baselines.tuned_models import CORE_MODELS, SmoothedForest
from tabimg.table import TableCodec


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_models, "N_TREES", 20)


def raw_table(n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Strings, categories, dates, bools, missing cells and a constant; and a signal."""
    rng = np.random.default_rng(0)
    length = rng.normal(50, 10, size=n_rows)
    colour = rng.choice(["red", "green", "blue"], size=n_rows)
    signal = (length - 50) / 10 + 2 * (colour == "red")
    frame = pd.DataFrame(
        {
            "length": np.where(rng.random(n_rows) < 0.1, np.nan, length),
            "colour": pd.Series(colour).where(rng.random(n_rows) > 0.1, None),
            "size": pd.Categorical(np.where(length > 50, "big", "small")),
            "sold": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(rng.integers(900, size=n_rows), "D"),
            "used": rng.random(n_rows) < 0.5,
            "one": 1.0,
        }
    )
    return frame, signal


def three_classes(signal: np.ndarray) -> np.ndarray:
    return np.array(["low", "mid", "top"])[np.searchsorted([0.0, 1.5], signal)]


@pytest.mark.parametrize("name", CORE_BASELINES)
def test_classifier_learns_from_raw_frame(name: str) -> None:
    frame, signal = raw_table(200)
    labels = three_classes(signal)
    model = make_baseline(name, "classification").fit(frame[:120], labels[:120])
    probabilities = model.predict_proba(frame[120:])
    assert model.classes_.tolist() == ["low", "mid", "top"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert np.array_equal(model.predict(frame[120:]), model.classes_[probabilities.argmax(axis=1)])
    chance = DummyClassifier(strategy="prior").fit(frame[:120], labels[:120])
    floor = log_loss(labels[120:], chance.predict_proba(frame[120:]))
    assert log_loss(labels[120:], probabilities) < 0.8 * floor
    assert 0 < model.validation_loss_ < 0.8 * floor


@pytest.mark.parametrize("name", CORE_BASELINES)
def test_regressor_learns_from_raw_frame(name: str) -> None:
    frame, signal = raw_table(200)
    model = make_baseline(name, "regression").fit(frame[:120], signal[:120])
    assert mean_squared_error(signal[120:], model.predict(frame[120:])) < 0.5 * signal.var()
    assert 0 < model.validation_loss_ < 0.5 * signal.var()


@pytest.mark.parametrize("name", CORE_BASELINES)
def test_two_labels_a_class_and_a_class_of_one_row_are_enough(name: str) -> None:
    frame, _ = raw_table(11)
    labels = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5])
    with warnings.catch_warnings():
        # Many classes for the rows are no mistake here: nobody is told in every fold and tree.
        warnings.simplefilter("error")
        model = make_baseline(name, "classification").fit(frame, labels)
    assert model.predict_proba(frame).shape == (11, 6)
    assert np.isfinite(model.validation_loss_)


@pytest.mark.parametrize("name", CORE_BASELINES)
def test_nothing_to_hold_out_falls_back_to_first_settings(name: str) -> None:
    frame, _ = raw_table(3)
    model = make_baseline(name, "classification").fit(frame, ["a", "b", "c"])
    assert np.isnan(model.validation_loss_)
    assert model.settings_ == CORE_MODELS[name].grid[0]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_linear_validation_loss_is_that_of_sklearn_on_the_same_folds(task: str) -> None:
    frame, signal = raw_table(60)
    _, codes = np.unique(three_classes(signal), return_inverse=True)
    target = codes if task == "classification" else signal
    model = make_baseline("linear", task, random_state=7).fit(frame, target)
    seed = int(np.random.RandomState(7).randint(np.iinfo(np.int32).max))
    losses = []
    strength = model.settings_["strength"]
    for train, valid in inner_folds(target, None, seed, 3 if task == "classification" else 0):
        codec = TableCodec().fit(frame.iloc[train])
        seen, unseen = (codec.to_matrix(codec.encode(frame.iloc[rows])) for rows in (train, valid))
        if task == "classification":
            fitted = LogisticRegression(C=1 / strength, max_iter=1000).fit(seen, target[train])
            losses.append(
                len(valid) * log_loss(target[valid], fitted.predict_proba(unseen), labels=[0, 1, 2])
            )
        else:
            fitted = Ridge(alpha=strength).fit(seen, target[train])
            losses.append(len(valid) * mean_squared_error(target[valid], fitted.predict(unseen)))
    assert model.validation_loss_ == pytest.approx(sum(losses) / 60, rel=1e-6)


def test_settings_with_the_lowest_loss_are_taken() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 30))
    target = rng.normal(size=40)
    hopeless = make_baseline("linear", "regression").fit(noise, target)
    assert hopeless.settings_["strength"] >= 100.0
    clear = make_baseline("linear", "regression").fit(noise, noise[:, 0])
    assert clear.settings_["strength"] <= 0.1


def test_boosting_length_is_chosen_and_kept() -> None:
    frame, signal = raw_table(80)
    model = make_baseline("boosting", "classification").fit(frame, three_classes(signal))
    assert model.settings_["max_iter"] in tuned_models.STAGES
    assert model.fitted_.model.n_iter_ == model.settings_["max_iter"]


def test_groups_are_kept_together_in_tuning() -> None:
    # Twins with a target of their own: who tunes across them trusts the noise.
    rng = np.random.default_rng(0)
    table, target = np.repeat(rng.normal(size=(30, 20)), 2, axis=0), rng.normal(size=30).repeat(2)
    groups = np.arange(30).repeat(2)
    apart = make_baseline("linear", "regression").fit(table, target)
    together = make_baseline("linear", "regression").fit(table, target, groups=groups)
    assert together.validation_loss_ > target.var() * 0.9 > apart.validation_loss_


@pytest.mark.parametrize("name", CORE_BASELINES)
def test_same_seed_gives_same_predictions(name: str) -> None:
    frame, signal = raw_table(60)
    model = make_baseline(name, "regression", random_state=3)
    first = model.fit(frame, signal).predict(frame)
    np.testing.assert_array_equal(first, clone(model).fit(frame, signal).predict(frame))


@pytest.mark.parametrize("name", CORE_BASELINES)
def test_other_frame_libraries_and_unseen_categories_are_read(name: str) -> None:
    frame, signal = raw_table(60)
    ours = make_baseline(name, "regression").fit(frame, signal)
    theirs = make_baseline(name, "regression").fit(pl.from_pandas(frame), signal)
    np.testing.assert_allclose(ours.predict(frame), theirs.predict(pl.from_pandas(frame)))
    odd = frame[:2].assign(colour=["mauve", None], length=[np.nan, 1e9])
    assert np.isfinite(ours.predict(odd)).all()


@pytest.mark.parametrize(("n_columns", "share"), [(10, 0.7), (150, 0.2)])
def test_forest_looks_at_a_bounded_number_of_columns(n_columns: int, share: float) -> None:
    table = np.random.default_rng(0).normal(size=(12, n_columns))
    problem = Problem(table, np.arange(12.0), 0, [], 0, 1)
    forest = tuned_models.make_forest(problem, tuned_models.DenseView(table), wide=True)
    assert forest.max_features == pytest.approx(share)
    narrow = tuned_models.make_forest(problem, tuned_models.DenseView(table), wide=False)
    assert narrow.max_features == "sqrt"


def test_forest_smoothing_is_one_even_vote_more() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), np.arange(30) % 3
    forest = SmoothedForest(9, random_state=0).fit(X, y)
    votes = np.mean([tree.predict_proba(X.astype(np.float32)) for tree in forest.estimators_], 0)
    np.testing.assert_allclose(forest.predict_proba(X), (9 * votes + 1 / 3) / 10)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_are_limited_inside_and_restored(
    n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Spy:
        settings = None
        validation_loss = 0.0

        def predict(self, table: object) -> np.ndarray:
            seen.append(max(pool["num_threads"] for pool in threadpool_info()))
            return np.zeros(len(table))

    monkeypatch.setattr(estimators, "_model_fitter", lambda name: lambda problem: Spy())
    before = [pool["num_threads"] for pool in threadpool_info()]
    table = np.zeros((4, 1))
    model = make_baseline("linear", "regression", n_threads=n_threads).fit(table, np.arange(4.0))
    model.predict(table)
    assert seen and seen[0] <= n_threads
    assert [pool["num_threads"] for pool in threadpool_info()] == before


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        ("classification", ["a", "a", "a"], "at least 2 classes"),
        ("classification", ["a", None, "b"], "1 of 3 rows have no target"),
        ("regression", [1.0, np.inf, 2.0], "infinite, first in row 1"),
        ("regression", [1.0, 2.0], "inconsistent numbers of samples"),
    ],
)
def test_bad_targets_are_refused(task: str, y: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_baseline("linear", task).fit(np.zeros((3, 1)), y)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="name must be one of"):
        make_baseline("magic", "regression")
    with pytest.raises(ValueError, match="task must be one of"):
        make_baseline("linear", "ranking")
