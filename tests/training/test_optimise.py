"""A run of the net with its callbacks, over an objective whose course can be foretold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from torch import Tensor, nn

from tabimg.training import checkpoint
from tabimg.training.callbacks import DivergenceError
from tabimg.training.checkpoint_folder import FitFolder
from tabimg.training.optimise import (
    MAX_GRADIENT_NORM,
    History,
    RunOptions,
    optimise,
    parameter_groups,
)


class Pull(nn.Module):
    """Two terms that pull one number: to the batch's aim, and to zero."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([start]))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        terms = {"aim": (self.place - batch["aim"]).square().mean()}
        if "spoil" in batch:
            terms["zero"] = self.place.square().mean() * batch["spoil"]
        elif batch.get("both", True):
            terms["zero"] = self.place.square().mean()
        return terms


class FixedBatches:
    """The same batches each epoch, or the batches of the epoch's number."""

    def __init__(self, *batches: dict[str, Any], by_epoch: Any = None) -> None:
        self.batches = batches
        self.by_epoch = by_epoch
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.epoch += 1
        return iter(self.batches if self.by_epoch is None else self.by_epoch(self.epoch))


def batch(aim: float, size: int = 4, **extra: Any) -> dict[str, Any]:
    return {"aim": torch.tensor(aim), "size": size, **extra}


WEIGHTS = {"aim": 2.0, "zero": 0.5}
Train = Callable[..., History]


@pytest.fixture
def train(run_options: Callable[..., RunOptions]) -> Train:
    """Run an objective; weights and patience may be given beside the run's options."""

    def make(
        objective: nn.Module,
        train_batches: FixedBatches,
        valid_batches: FixedBatches | None = None,
        patience: int | None = None,
        **changes: Any,
    ) -> History:
        options = run_options(**{"max_epochs": 5, "lr": 0.1, "weight_decay": 0.0, **changes})
        return optimise(
            objective,
            stage="the test",
            weights=WEIGHTS,
            parameter_groups=parameter_groups(objective, options.lr, options.weight_decay),
            train_batches=train_batches,
            valid_batches=valid_batches,
            options=options,
            identity=(),
            patience=patience,
        )

    return make


def test_history_holds_terms_weighted_and_not_rate_and_gradient_norm(train: Train) -> None:
    history = train(Pull(1.0), FixedBatches(batch(3.0)), FixedBatches(batch(2.0)))
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3, 4, 5]
    for epoch in history:
        for part in ("train", "valid"):
            weighted = {term: epoch[f"{part}_{term}_weighted"] for term in WEIGHTS}
            for term, weight in WEIGHTS.items():
                assert weighted[term] == pytest.approx(weight * epoch[f"{part}_{term}"])
            assert epoch[f"{part}_loss"] == pytest.approx(sum(weighted.values()))
        assert epoch["lr"] > 0
        assert "batches" not in epoch
    # d/dx of 2 (x - 3)^2 + 0.5 x^2 at the start, x = 1.
    assert history[0]["train_loss"] == pytest.approx(2 * 4 + 0.5)
    assert history[0]["gradient_norm"] == pytest.approx(abs(2 * 2 * -2 + 1))


def test_history_means_count_rows_and_only_batches_that_have_the_term(train: Train) -> None:
    batches = FixedBatches(batch(1.0, size=3), batch(3.0, size=1, both=False))
    objective = Pull(2.0)
    history = train(objective, batches, max_epochs=1, lr=1e-9)
    assert history[0]["train_aim"] == pytest.approx(1.0)
    assert history[0]["train_zero"] == pytest.approx(4.0)
    assert history[0]["train_loss"] == pytest.approx((3 * (2 + 2) + 1 * 2) / 4)


def test_lr_reaches_the_peak_and_ends_low(train: Train) -> None:
    history = train(Pull(), FixedBatches(batch(3.0)), max_epochs=31)
    rates = [epoch["lr"] for epoch in history]
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.1 / 25 / 1e4)


def test_best_weights_the_start_included_are_kept(train: Train) -> None:
    objective = Pull(0.0)
    history = train(objective, FixedBatches(batch(5.0)), FixedBatches(batch(0.0)))
    assert objective.place.item() == 0.0
    assert all(epoch["valid_loss"] > 0 for epoch in history)


def test_best_weights_of_the_middle_are_kept(train: Train) -> None:
    objective = Pull(0.0)
    validation = FixedBatches(batch(0.8, both=False))
    history = train(objective, FixedBatches(batch(5.0)), validation, max_epochs=30)
    losses = [epoch["valid_loss"] for epoch in history]
    assert 0 < int(np.argmin(losses)) < 29
    assert 2 * (objective.place.item() - 0.8) ** 2 == pytest.approx(min(losses), rel=1e-4)


def test_last_weights_are_kept_without_validation(train: Train) -> None:
    places: list[float] = []

    class Record(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            places.append(net.module_.place.item())

    objective = Pull(0.0)
    # The training loss rises at the end, which must not matter.
    aims = FixedBatches(batch(5.0), by_epoch=lambda epoch: [batch(5.0 if epoch < 3 else -9.0)])
    train(objective, aims, callbacks=[Record()])
    assert objective.place.item() == places[-1] != max(places)


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stop_after_epochs_without_a_lower_loss(train: Train, patience: int) -> None:
    history = train(
        Pull(0.0),
        FixedBatches(batch(5.0)),
        FixedBatches(batch(0.0)),
        patience=patience,
        max_epochs=20,
    )
    assert len(history) == patience


def test_early_stop_counts_an_equal_loss_as_no_lower_one(train: Train) -> None:
    constant = FixedBatches(batch(0.0, both=False))
    history = train(Pull(0.0), constant, constant, patience=3, max_epochs=20)
    assert len(history) == 3


def test_early_stop_counts_from_the_best_epoch(train: Train) -> None:
    validation = FixedBatches(batch(0.8, both=False))
    history = train(Pull(), FixedBatches(batch(5.0)), validation, patience=4, max_epochs=60)
    best = int(np.argmin([epoch["valid_loss"] for epoch in history]))
    assert best > 0
    assert len(history) == best + 1 + 4


def test_guard_names_stage_epoch_and_the_term_that_went_first(train: Train) -> None:
    def batches(epoch: int) -> list[dict[str, Any]]:
        spoil = torch.tensor(float("nan") if epoch == 2 else 1.0)
        # The batch after the bad one has all its terms bad.
        return [batch(1.0), batch(1.0, spoil=spoil), batch(1.0)]

    spoiled = FixedBatches(*batches(1), by_epoch=batches)
    with pytest.raises(DivergenceError, match="the test diverged in epoch 2: train_zero is nan"):
        train(Pull(1.0), spoiled, FixedBatches(batch(1.0)))


def test_guard_names_a_validation_term(train: Train) -> None:
    spoiled = batch(1.0, spoil=torch.tensor(float("inf")))
    with pytest.raises(DivergenceError, match="epoch 1: valid_zero is inf"):
        train(Pull(1.0), FixedBatches(batch(1.0)), FixedBatches(spoiled))


def test_guard_names_the_gradient_where_the_terms_are_finite(train: Train) -> None:
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.zeros(1))

        def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
            return {"aim": self.place.sqrt().sum()}  # its slope at 0 is infinite

    with pytest.raises(DivergenceError, match="epoch 1: gradient_norm is"):
        train(Steep(), FixedBatches(batch(0.0)), max_epochs=1)


def test_gradients_are_clipped_before_the_step(train: Train) -> None:
    norms: list[float] = []

    class Look(Callback):
        def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
            norms.append(float(net.module_.place.grad.norm()))

    history = train(Pull(0.0), FixedBatches(batch(100.0)), callbacks=[Look()])
    assert norms == pytest.approx([MAX_GRADIENT_NORM] * 5, rel=1e-4)
    assert history[0]["gradient_norm"] == pytest.approx(400.0)


def test_gradients_below_the_bound_are_left_alone(train: Train) -> None:
    norms: list[float] = []

    class Look(Callback):
        def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
            norms.append(float(net.module_.place.grad.norm()))

    train(Pull(0.0), FixedBatches(batch(0.1)), callbacks=[Look()], max_epochs=1)
    assert norms == pytest.approx([0.4])


def test_ctrl_c_between_batches_comes_out(train: Train) -> None:
    class CtrlC(Callback):
        def on_batch_end(self, net: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Pull(), FixedBatches(batch(1.0)), callbacks=[CtrlC()])


def test_ctrl_c_while_a_checkpoint_is_written_comes_out(
    train: Train, claim: Callable[[], FitFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(directory: Path, value: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_directory", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        train(Pull(), FixedBatches(batch(1.0)), checkpoints=claim())


def test_callback_of_skorch_ends_the_training_early(train: Train) -> None:
    stopping = EarlyStopping(monitor="valid_loss", patience=2, sink=lambda text: None)
    before = dict(vars(stopping))
    history = train(
        Pull(0.0),
        FixedBatches(batch(5.0)),
        FixedBatches(batch(0.0)),
        callbacks=[stopping],
        max_epochs=20,
    )
    # The first epoch sets the mark, two more miss it.
    assert len(history) == 3
    assert vars(stopping) == before


def test_checkpoint_of_skorch_holds_the_weights_of_the_lowest_validation_loss(
    train: Train, tmp_path: Path
) -> None:
    objective, validation = Pull(0.0), FixedBatches(batch(0.8, both=False))
    callbacks = [Checkpoint(dirname=tmp_path)]
    params = {"max_epochs": 30, "callbacks": callbacks}
    history = train(objective, FixedBatches(batch(5.0)), validation, **params)
    losses = [epoch["valid_loss"] for epoch in history]
    best = [loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)]
    assert [epoch["event_cp"] for epoch in history] == best
    assert not any(name.endswith("_best") for name in history[0])
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert torch.equal(saved["place"], objective.place.detach())


def test_callback_of_the_user_sees_what_skorch_would_show_it(train: Train) -> None:
    """The signatures are those that skorch documents, without defaults."""
    calls: list[str] = []

    class Watch(Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def initialize(self) -> Watch:
            calls.append("initialize")
            return self

        def on_train_begin(self, net: Any, X: Any, y: Any, **kwargs: Any) -> None:
            calls.append("train begin")

        def on_epoch_begin(
            self, net: Any, dataset_train: Any, dataset_valid: Any, **kwargs: Any
        ) -> None:
            assert dataset_train is not None and dataset_valid is not None

        def on_batch_begin(self, net: Any, batch: Any, training: bool, **kwargs: Any) -> None:
            calls.append(f"{'train' if training else 'valid'} batch of {batch['size']}")

        def on_batch_end(self, net: Any, batch: Any, training: bool, **kwargs: Any) -> None:
            assert set(kwargs["y_pred"]) == set(WEIGHTS)
            assert kwargs["loss"].ndim == 0

        def on_epoch_end(
            self, net: Any, dataset_train: Any, dataset_valid: Any, **kwargs: Any
        ) -> None:
            self.seen.append(net.history[-1, "valid_loss"])
            net.history.record("seen", len(self.seen))

        def on_train_end(self, net: Any, X: Any, y: Any, **kwargs: Any) -> None:
            calls.append("train end")

    watch = Watch()
    history = train(
        Pull(), FixedBatches(batch(1.0)), FixedBatches(batch(1.0, size=2)), callbacks=[watch]
    )
    assert [epoch["seen"] for epoch in history] == [1, 2, 3, 4, 5]
    epoch_calls = ["train batch of 4", "valid batch of 2"]
    assert calls == ["initialize", "train begin", *epoch_calls * 5, "train end"]
    assert watch.seen == []


def test_time_limit_ends_the_run_after_the_batch_in_which_it_passes(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(np.arange(0.0, 1000.0, 1.0))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    aims = FixedBatches(*[batch(1.0)] * 4)
    history = train(Pull(), aims, FixedBatches(batch(1.0)), max_epochs=1000, time_limit=30.0)
    assert 1 <= len(history) < 6
    assert "valid_loss" in history[-1]
    assert history[-1]["lr"] < 0.01 * 0.1


def test_progress_bar_shows_the_losses(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    train(Pull(), FixedBatches(batch(1.0)), FixedBatches(batch(1.0)), verbose=1)
    shown = capsys.readouterr().err
    assert "the test" in shown and "loss=" in shown and "valid=" in shown and "5/5" in shown
    assert "weighted" not in shown and "best" not in shown


def test_no_progress_bar_by_default(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    train(Pull(), FixedBatches(batch(1.0)))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_parameter_groups_decay_matrices_only_and_leave_frozen_parameters_out() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    module[2].requires_grad_(False)
    decayed, free = parameter_groups(module, 0.1, 0.01)
    assert [p.shape for p in decayed["params"]] == [(2, 3)]
    assert len(free["params"]) == 3
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    assert decayed["max_lr"] == free["max_lr"] == 0.1
