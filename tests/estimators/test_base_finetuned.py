"""Modes of fine-tuning, members, weights, warm starts, limits and checkpoints."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

MODES = ["frozen", "full", "gradual", "auto"]
BLENDED = {"columns", "random_forest", "extra_trees", "network", "embedding"}


@pytest.mark.parametrize("finetune", MODES)
def test_every_mode_says_what_it_did(
    finetune: str, table: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    regressor = make.regressor(pretrainer=frozen, finetune=finetune).fit(table, target)
    assert np.isfinite(regressor.predict(table)).all()
    if finetune == "auto":
        assert set(regressor.weights_) == BLENDED
        assert set(regressor.validation_losses_) == BLENDED
        assert min(regressor.weights_.values()) > 0
    else:
        assert set(regressor.weights_) == {finetune}
        assert regressor.validation_losses_ == {}
    assert sum(regressor.weights_.values()) == pytest.approx(1.0)
    assert bool(regressor.history_) is (finetune != "frozen")


def test_auto_does_not_lean_on_an_encoder_that_is_useless(make: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(400, 2))
    y = rows[:, 0] * rows[:, 1]
    rows, y, new_rows, new_y = rows[:200], y[:200], rows[200:], y[200:]
    pre = make.pretrainer(image_column=None).fit(rows)
    # Zero weights give every row one embedding, and no gradient comes through them.
    for name, array in pre.network_.arrays.items():
        if name.startswith("tabular_encoder"):
            array[...] = 0
    frozen = FrozenEstimator(pre)
    regressor = make.regressor(pretrainer=frozen).fit(rows, y)
    # Half of the prior is of two members that pre-training taught, half of four others.
    expected = 2 * regressor.weights_["columns"]
    assert regressor.weights_["embedding"] == pytest.approx(expected, rel=0.02)
    assert regressor.weights_["embedding"] < 0.05
    losses = regressor.validation_losses_
    assert losses["extra_trees"] < 0.5 * losses["embedding"]
    linear = make.regressor(pretrainer=frozen, finetune="frozen").fit(rows, y)
    assert linear.score(new_rows, new_y) < 0.1
    assert regressor.score(new_rows, new_y) > 0.5


@pytest.mark.parametrize("finetune", ["frozen", "gradual"])
def test_modes_that_need_an_encoder_are_refused_without_one(
    finetune: str, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match=f"finetune='{finetune}' needs a pre-trained encoder"):
        make.regressor(finetune=finetune).fit(table, target)


def test_head_embedding_sees_no_columns(
    table: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    width = {}
    for head in ("embedding", "embedding+columns"):
        regressor = make.regressor(pretrainer=frozen, finetune="frozen", head=head)
        arrays = regressor.fit(table, target).members_[0].model.module.arrays
        width[head] = arrays["head.out.weight"].shape[1]
    # width, its missing indicator, pressure, and three materials
    assert width == {"embedding": 8, "embedding+columns": 8 + 6}


@pytest.mark.parametrize("finetune", ["frozen", "full", "auto"])
def test_rows_of_weight_zero_are_as_good_as_absent(
    finetune: str, table: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    labels = np.where(target > np.median(target), "high", "low")
    kept = np.flatnonzero(np.arange(40) % 4 > 0)
    weight = np.isin(np.arange(40), kept).astype(float)
    for estimator, y in (
        (make.regressor(pretrainer=frozen, finetune=finetune), target),
        (make.classifier(pretrainer=frozen, finetune=finetune), labels),
    ):
        weighted = clone(estimator).fit(table, y, sample_weight=weight).predict(table)
        removed = clone(estimator).fit(table.iloc[kept], y[kept]).predict(table)
        if y is labels:
            np.testing.assert_array_equal(weighted, removed)
        else:
            np.testing.assert_allclose(weighted, removed, rtol=1e-6)


def test_sample_weight_draws_predictions_to_heavy_rows(
    table: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    for finetune in ("frozen", "full"):
        regressor = make.regressor(pretrainer=frozen, finetune=finetune, head="embedding")
        weight = np.where(target > np.median(target), 50.0, 1.0)
        heavy = clone(regressor).fit(table, target, sample_weight=weight).predict(table)
        assert heavy.mean() > clone(regressor).fit(table, target).predict(table).mean() + 0.1


@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_sample_weight_that_is_no_weight_is_refused(
    wrong: float, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    weight = np.ones(40)
    weight[3] = wrong
    with pytest.raises(ValueError, match="sample_weight"):
        make.regressor().fit(table, target, sample_weight=weight)


def test_members_are_averaged_in_their_own_scale(
    table: pd.DataFrame, target: np.ndarray, labels: np.ndarray, make: Any
) -> None:
    def of_each_member(estimator: Any, method: str) -> np.ndarray:
        outputs = []
        for member in estimator.members_:
            alone = copy.copy(estimator)
            alone.members_ = [replace(member, weight=1.0)]
            outputs.append(getattr(alone, method)(table))
        assert not np.array_equal(outputs[0], outputs[1])
        return np.mean(outputs, axis=0)

    regressor = make.regressor(finetune="full", n_members=3).fit(table, target)
    assert len(regressor.members_) == 3
    assert {epoch["member"] for epoch in regressor.history_} == {0, 1, 2}
    np.testing.assert_allclose(regressor.predict(table), of_each_member(regressor, "predict"))
    classifier = make.classifier(finetune="full", n_members=3).fit(table, labels)
    np.testing.assert_allclose(
        classifier.predict_proba(table), of_each_member(classifier, "predict_proba")
    )


def test_first_member_does_not_depend_on_their_number(
    table: pd.DataFrame, target: np.ndarray, make: Any, weights: Any
) -> None:
    one = weights(make.regressor(finetune="full", n_members=1).fit(table, target))
    two = weights(make.regressor(finetune="full", n_members=2).fit(table, target))
    np.testing.assert_equal(one, {k: v for k, v in two.items() if k.startswith("0.")})


def test_warm_start_goes_on_from_the_last_weights(
    frame: pd.DataFrame, target: np.ndarray, make: Any, weights: Any
) -> None:
    regressor = make.regressor(
        pretrainer=make.pretrainer(),
        finetune="full",
        warm_start=True,
        validation_fraction=None,
        max_epochs=8,
    )
    first = weights(regressor.fit(frame, target))
    loss = regressor.history_[0]["train_task"]
    second = weights(regressor.fit(frame, target))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    assert regressor.history_[0]["train_task"] < loss
    fresh = weights(clone(regressor).fit(frame, target))
    distance = {k: np.abs(second[k] - first[k]).sum() for k in first if "weight" in k}
    assert all(np.array_equal(fresh[k], first[k]) for k in first)
    assert sum(distance.values()) > 0


def test_warm_start_pre_trains_once(
    frame: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    pretrainer = make.pretrainer(image_loader=photo_log.loader)
    regressor = make.regressor(pretrainer=pretrainer, finetune="full", warm_start=True)
    regressor.fit(frame, target)
    n_read = len(photo_log.names())
    regressor.fit(frame, target)
    assert len(photo_log.names()) == n_read


def test_warm_start_refuses_what_it_does_not_know(
    table: pd.DataFrame, target: np.ndarray, labels: np.ndarray, make: Any
) -> None:
    classifier = make.classifier(finetune="full", warm_start=True).fit(table, labels)
    with pytest.raises(ValueError, match=r"warm_start.*enormous"):
        classifier.fit(table, np.where(labels == "high", "enormous", labels))
    classifier.fit(table[labels != "high"], labels[labels != "high"])
    assert list(classifier.classes_) == ["high", "low", "middle"]
    regressor = make.regressor(finetune="full", warm_start=True).fit(table, target)
    with pytest.raises(ValueError, match="outputs"):
        regressor.fit(table, np.column_stack([target, target]))
    with pytest.raises(ValueError, match="feature names"):
        regressor.fit(table.rename(columns={"width": "height"}), target)


def test_warm_start_and_a_blend_do_not_go_together(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match=r"warm_start.*finetune='auto'.*finetune='full'"):
        make.regressor(warm_start=True).fit(table, target)
    blended = make.regressor().fit(table, target).set_params(warm_start=True, finetune="full")
    with pytest.raises(ValueError, match=r"the last fit made a blend.*warm_start=False"):
        blended.fit(table, target)


def test_parameters_set_after_fit_do_not_change_predictions(
    table: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    regressor = make.regressor(pretrainer=frozen).fit(table, target)
    expected = regressor.predict(table)
    regressor.set_params(finetune="frozen", head="embedding", n_members=5)
    np.testing.assert_array_equal(regressor.predict(table), expected)


def test_time_limit_shortens_the_training(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(
        finetune="full",
        max_epochs=1_000_000,
        patience=1_000_000,
        time_limit=1.0,
        n_members=2,
        lr=1e-3,
    ).fit(table, target)
    epochs = [[e for e in regressor.history_ if e["member"] == m] for m in range(2)]
    for of_member in epochs:
        assert 1 <= len(of_member) < 100_000
        assert of_member[-1]["lr"] < 5e-4


def test_callbacks_are_called_and_stay_as_they_were(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    callback = CountEpochs()
    make.regressor(finetune="full", callbacks=[callback], max_epochs=3).fit(table, target)
    assert CountEpochs.numbers[-3:] == [1, 2, 3]
    assert vars(callback) == {}


def test_interrupted_fit_goes_on_from_its_checkpoint(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    params = {
        "finetune": "full",
        "max_epochs": 6,
        "checkpoint_dir": tmp_path,
        "dropout": 0.3,
    }
    whole = make.regressor(**{**params, "checkpoint_dir": None}).fit(table, target)
    with pytest.raises(RuntimeError, match="power cut"):
        make.regressor(callbacks=[PowerCut()], **params).fit(table, target)
    assert any(tmp_path.iterdir())
    CountEpochs.numbers.clear()
    resumed = make.regressor(callbacks=[CountEpochs()], **params).fit(table, target)
    assert CountEpochs.numbers[-1] == 6
    assert len(CountEpochs.numbers) < 6
    np.testing.assert_array_equal(resumed.predict(table), whole.predict(table))
    assert [e["train_loss"] for e in resumed.history_] == [e["train_loss"] for e in whole.history_]
    assert not any(tmp_path.iterdir())


def test_verbose_shows_a_bar_and_silence_is_the_default(
    frame: pd.DataFrame, target: np.ndarray, capfd: pytest.CaptureFixture[str], make: Any
) -> None:
    make.regressor(pretrainer=make.pretrainer(), finetune="full").fit(frame, target)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    loud = make.pretrainer(verbose=1)
    make.regressor(pretrainer=loud, finetune="full", verbose=1).fit(frame, target)
    out, err = capfd.readouterr()
    assert "pre-training" in err and "fine-tuning" in err


def test_parameters_stay_as_they_were(frame: pd.DataFrame, target: np.ndarray, make: Any) -> None:
    regressor = make.regressor(pretrainer=make.pretrainer(), finetune="frozen")
    before = {name: (id(value), repr(value)) for name, value in regressor.get_params().items()}
    regressor.fit(frame, target).predict(frame)
    after = {name: (id(value), repr(value)) for name, value in regressor.get_params().items()}
    assert after == before
    assert repr(clone(regressor)) == repr(regressor)
    assert not hasattr(clone(regressor), "members_")


class CountEpochs(Callback):
    """Counts over all copies: each fit copies the callbacks it is given."""

    numbers: ClassVar[list[int]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.numbers.append(net.history[-1]["epoch"])


class PowerCut(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.history[-1]["epoch"] == 4:
            raise RuntimeError("power cut")
