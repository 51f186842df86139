"""Extra baselines: raw cells in, bags over the inner folds, and nothing left behind."""

from __future__ import annotations

import functools
import random
import signal
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from tabimg.evaluation.baselines import EXTRA_BASELINES, bagged_models, make_baseline
from tabimg.evaluation.baselines.bagged_models import EXTRA_MODELS, PlainView
from tabimg.evaluation.baselines.problem import Problem, inner_folds

SHORT = {"realmlp": {"n_epochs": 40}, "tabm": {"n_epochs": 8}, "catboost": {"n_estimators": 20}}


@pytest.fixture(params=EXTRA_BASELINES)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each extra baseline, with few epochs."""
    reason = "needs the extra 'benchmarks'"
    pytest.importorskip("pytabkit", reason=reason)
    if request.param == "catboost":
        pytest.importorskip("catboost", reason=reason)
    find = bagged_models._model_class
    short = functools.partial
    monkeypatch.setattr(
        bagged_models,
        "_model_class",
        lambda title, n_classes: short(find(title, n_classes), **SHORT[request.param]),
    )
    return request.param


def raw_table(n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    length, colour = rng.normal(50, 10, size=n_rows), rng.choice(["red", "blue"], size=n_rows)
    frame = pd.DataFrame(
        {
            "length": np.where(rng.random(n_rows) < 0.1, np.nan, length),
            "colour": pd.Series(colour).where(rng.random(n_rows) > 0.1, None),
            "sold": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(rng.integers(99, size=n_rows), "D"),
            "used": rng.random(n_rows) < 0.5,
            "one": 1.0,
        }
    )
    return frame, (length - 50) / 10 + 2 * (colour == "red")


def test_plain_view_keeps_units_and_fills_with_training_medians() -> None:
    train = pd.DataFrame({"a": [1.0, np.nan, 4.0, 100.0], "b": ["x", None, "y", "x"], "c": 3})
    view = PlainView(train)
    test = view(pd.DataFrame({"a": [np.nan, 7.0], "b": [None, "new"], "c": [3, 5]}))
    assert test["0"].tolist() == [4.0, 7.0]
    assert test["0 is missing"].tolist() == [1.0, 0.0]
    assert test["1"].tolist() == ["(missing)", "new"] and test["1"].dtype == "category"
    assert test["2"].tolist() == [3.0, 5.0]
    assert list(test.columns) == list(view(train).columns) == ["0", "0 is missing", "1", "2"]


def test_plain_view_leaves_out_columns_without_a_training_cell() -> None:
    with pytest.warns(UserWarning, match="No observed value in column 'b'"):
        view = PlainView(pd.DataFrame({"a": [1.0, 2.0], "b": [None, None]}))
    assert list(view(pd.DataFrame({"a": [1.0], "b": ["seen"]})).columns) == ["0"]


def test_classifier_learns_from_raw_frame(name: str) -> None:
    frame, signal = raw_table(200)
    labels = np.array(["low", "mid", "top"])[np.searchsorted([0.0, 1.5], signal)]
    model = make_baseline(name, "classification").fit(frame[:120], labels[:120])
    probabilities = model.predict_proba(frame[120:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    chance = np.tile([np.mean(labels[:120] == label) for label in model.classes_], (80, 1))
    floor = log_loss(labels[120:], chance)
    assert log_loss(labels[120:], probabilities) < 0.85 * floor
    assert 0 < model.validation_loss_ < 0.85 * floor


def test_regressor_learns_from_raw_frame(name: str) -> None:
    frame, signal = raw_table(200)
    target = 1e5 + 1e4 * signal
    model = make_baseline(name, "regression").fit(frame[:120], target[:120])
    predicted = model.predict(frame[120:])
    assert mean_squared_error(target[120:], predicted) < 0.7 * target.var()
    assert 0 < model.validation_loss_ < 0.7 * target.var()


def test_members_hold_out_the_first_inner_folds_and_are_averaged(name: str) -> None:
    frame, signal = raw_table(60)
    model = make_baseline(name, "regression", random_state=5).fit(frame, signal)
    seed = int(np.random.RandomState(5).randint(np.iinfo(np.int32).max))
    folds = inner_folds(signal, None, seed, 0)[: EXTRA_MODELS[name].n_members]
    bag = model.fitted_
    assert model.settings_ == {"n_members": len(folds)} == {"n_members": len(bag.members)}
    cells = bag.view(frame)
    outputs = np.array([member.predict(cells) for member in bag.members])
    errors = [
        (output[valid] - signal[valid]) ** 2
        for output, (_, valid) in zip(outputs, folds, strict=True)
    ]
    assert model.validation_loss_ == pytest.approx(np.mean(np.concatenate(errors)), rel=1e-4)
    np.testing.assert_allclose(model.predict(frame), outputs.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_many_rows_are_fitted_once_where_that_is_asked_for(name: str) -> None:
    frame, signal = raw_table(60)
    problem = Problem(frame, signal, 0, inner_folds(signal, None, 0, 0), 0, 1)
    single = replace(EXTRA_MODELS[name], max_bagged_rows=59).fit(problem)
    assert len(single.members) == 1 and np.isfinite(single.validation_loss)
    assert len(replace(EXTRA_MODELS[name], max_bagged_rows=60).fit(problem).members) == 3


@pytest.mark.parametrize("seed", range(3))
def test_few_labels_a_class_are_enough(name: str, seed: int) -> None:
    frame, _ = raw_table(11)
    labels = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5]
    model = make_baseline(name, "classification", seed).fit(frame, labels)
    assert model.predict_proba(frame).shape == (11, 6)
    assert np.isfinite(model.validation_loss_)
    pair = make_baseline(name, "classification", seed).fit(frame[:4], ["a", "b", "a", "b"])
    assert set(pair.predict(frame)) <= {"a", "b"}


def test_nothing_to_hold_out_is_fitted_without_validation_loss(name: str) -> None:
    frame, _ = raw_table(3)
    model = make_baseline(name, "classification").fit(frame, ["a", "b", "c"])
    assert np.isnan(model.validation_loss_)
    assert model.predict_proba(frame).shape == (3, 3)


def test_table_or_target_that_never_varies_gives_the_mean(name: str) -> None:
    target = np.arange(20.0)
    flat = make_baseline(name, "regression").fit(np.ones((20, 2)), target)
    assert np.ptp(flat.predict(np.ones((2, 2)))) == 0.0
    assert flat.predict(np.ones((1, 2)))[0] == pytest.approx(target.mean(), abs=2)
    frame, _ = raw_table(20)
    assert make_baseline(name, "regression").fit(frame, np.full(20, 7.0)).predict(frame)[0] == 7.0


def test_unseen_categories_and_missing_cells_are_predicted(name: str) -> None:
    frame, signal = raw_table(60)
    model = make_baseline(name, "regression").fit(frame, signal)
    odd = frame[:3].assign(colour=["mauve", None, "red"], length=[np.nan, 1e9, 50.0], one=np.nan)
    assert np.isfinite(model.predict(odd)).all()


def test_same_seed_gives_same_predictions(name: str) -> None:
    frame, signal = raw_table(60)
    first, again, other = (
        make_baseline(name, "regression", seed).fit(frame, signal).predict(frame)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_global_state_and_output_are_left_as_found(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    frame, signal = raw_table(20)
    state = global_state()
    model = make_baseline(name, "regression").fit(frame, signal)
    model.predict(frame)
    assert global_state() == state
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def global_state() -> list[Any]:
    return [
        random.getstate(),
        repr(np.random.get_state()),
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
    ]


def test_signal_to_end_is_no_success_and_interrupt_no_exit() -> None:
    with pytest.raises(SystemExit) as ended, bagged_models.outside_library():
        raise SystemExit
    assert ended.value.code == 143
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), bagged_models.outside_library():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise SystemExit(1)
    assert signal.getsignal(signal.SIGINT) is handler


def test_threads_are_those_that_were_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}
    find = bagged_models._model_class

    def note(title: str, n_classes: int) -> Any:
        def make(**parameters: Any) -> Any:
            given.update(parameters)
            return find(title, n_classes)(**parameters)

        return make

    monkeypatch.setattr(bagged_models, "_model_class", note)
    frame, signal = raw_table(20)
    make_baseline(name, "regression").fit(frame, signal)
    assert given["n_threads"] == 1


@pytest.mark.parametrize(("name", "package"), [("tabm", "pytabkit"), ("catboost", "catboost")])
def test_missing_package_is_named_with_what_to_install(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    frame, signal = raw_table(20)
    with pytest.raises(ImportError, match=r"pip install 'tabimg\[benchmarks\]'"):
        make_baseline(name, "regression").fit(frame, signal)
