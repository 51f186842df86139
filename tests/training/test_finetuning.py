"""Fine-tuning: what is fitted, what stays, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from skorch.callbacks import Callback

from tabimg.nn.task import TaskNet
from tabimg.training.finetuning import (
    FinetuningOptions,
    LabelledRows,
    continue_training,
    fit_frozen,
    fit_full,
    fit_gradual,
    row_losses,
)
from tabimg.training.inference import apply_to_table
from tabimg.training.selection import Candidate, n_selection_runs, validation_losses
from tabimg.training.tasks import RIDGE_ALPHAS, Classification, Regression

CPU = torch.device("cpu")
Rows = Callable[..., LabelledRows]
Build = Callable[..., TaskNet]
Options = Callable[..., FinetuningOptions]


def outputs_of(net: TaskNet, rows: LabelledRows) -> np.ndarray:
    return apply_to_table(net.eval(), rows.table, rows.columns, device=CPU)


def encoder_weights(net: TaskNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.encoder.state_dict().items()}


def test_frozen_is_ridge_on_standardised_embedding_and_columns(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows, net = labelled(50, "numbers"), build_task_net(1)
    embedding = apply_to_table(net.encoder.eval(), rows.table, device=CPU)
    features = np.hstack([embedding, rows.columns]).astype(np.float64)
    before = encoder_weights(net)
    assert fit_frozen(net, rows, Regression(1, "mse"), finetuning_options()) == []
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    reference = RidgeCV(RIDGE_ALPHAS).fit(standardised, rows.target)
    assert np.allclose(outputs_of(net, rows)[:, 0], reference.predict(standardised), atol=1e-3)
    for name, tensor in net.encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("fit", [fit_full, fit_gradual])
def test_full_and_gradual_train_every_part_and_beat_chance(
    labelled: Rows, build_task_net: Build, finetuning_options: Options, fit: Any
) -> None:
    rows, net = labelled(80), build_task_net()
    before = encoder_weights(net)
    options = finetuning_options(max_epochs=20, validation_fraction=None, lr=1e-3)
    history = fit(net, rows, Classification(2), options)
    assert [epoch["epoch"] for epoch in history] == list(range(1, 21))
    assert (outputs_of(net, rows).argmax(axis=1) == rows.target).mean() > 0.9
    for name, parameter in net.encoder.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_gradual_lets_the_encoder_join_from_the_last_part_to_the_first(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    net = build_task_net()
    names = {id(p): name for name, p in net.named_parameters()}
    first_moved: dict[str, int] = {}

    class Watch(Callback):
        def on_batch_end(self, net: Any, training: bool, **kwargs: Any) -> None:
            for group in net.optimizer_.param_groups:
                if group["lr"] > 0:
                    for parameter in group["params"]:
                        first_moved.setdefault(names[id(parameter)], net.callbacks_[0][1].step_)

    options = finetuning_options(max_epochs=10, validation_fraction=None, callbacks=[Watch()])
    fit_gradual(net, labelled(40), Classification(2), options)
    order = ["head.out", "tabular_encoder.out", "tabular_encoder.norm", "tabular_encoder.stem"]
    steps = [next(step for name, step in first_moved.items() if part in name) for part in order]
    assert steps == sorted(steps) and steps[0] == 1 and steps[1] > 1
    assert max(first_moved.values()) <= 27  # half of the schedule of 50 batches, and one
    assert len(first_moved) == len(list(net.named_parameters()))


def test_encoder_moves_less_at_a_lower_ratio(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    moved = []
    for ratio in (0.01, 1.0):
        net = build_task_net()
        before = torch.cat([p.detach().flatten() for p in net.encoder.parameters()])
        options = finetuning_options(max_epochs=2, validation_fraction=None)
        fit_full(net, labelled(40), Classification(2), replace(options, encoder_lr_ratio=ratio))
        after = torch.cat([p.detach().flatten() for p in net.encoder.parameters()])
        moved.append(float((after - before).norm()))
    assert moved[0] < 0.1 * moved[1]


def test_full_never_ends_worse_on_validation_rows_than_it_began(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    """A learning rate that ruins the network: the head that was fitted first is what is kept."""
    rows = labelled(60, "numbers")
    options = finetuning_options(max_epochs=4, lr=5.0, validation_fraction=0.3)
    seen: list[float] = []

    class Start(Callback):
        def on_train_begin(self, net: Any, **kwargs: Any) -> None:
            seen.append(net.validation_loss())

    net = build_task_net(1)
    with_start = replace(options, run=replace(options.run, callbacks=[Start()]))
    history = fit_full(net, rows, Regression(1, "mse"), with_start)
    assert min(epoch["valid_loss"] for epoch in history) > seen[0]
    losses = row_losses(net, rows, Regression(1, "mse"), options)
    assert losses.mean() < 3 * seen[0] + 0.1


def test_head_does_not_see_the_validation_rows(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows = labelled(40, "numbers")
    seen: list[np.ndarray] = []

    class Spy(Regression):
        def fit_head(self, features: Any, target: Any, weight: Any, groups: Any) -> Any:
            seen.append(groups)
            return super().fit_head(features, target, weight, groups)

    groups = np.arange(40) // 2
    fit_full(build_task_net(1), replace(rows, groups=groups), Spy(1, "mse"), finetuning_options())
    assert len(seen) == 1
    assert 0.5 * 40 <= len(seen[0]) < 40
    assert set(np.bincount(seen[0])) <= {0, 2}


def test_two_rows_and_one_row_are_fitted(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    for n_rows in (1, 2, 3, 5):
        rows = labelled(n_rows, "numbers")
        options = finetuning_options(batch_size=4, validation_fraction=0.5)
        net = build_task_net(1)
        fit_full(net, rows, Regression(1, "mse"), options)
        assert np.isfinite(outputs_of(net, rows)).all()


def test_weights_scale_has_no_effect_but_their_ratio_has(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows = labelled(30, "numbers", groups=np.zeros(30, dtype=int))
    options = finetuning_options(validation_fraction=None)
    results = []
    for weight in (np.ones(30), np.full(30, 4.0), np.r_[np.full(15, 9.0), np.ones(15)]):
        net = build_task_net(1)
        # The head is left as it is: its penalty is meant to feel the weights' scale.
        continue_training(
            net, replace(rows, weight=weight.astype(np.float32)), Regression(1, "mse"), options
        )
        results.append(outputs_of(net, rows))
    assert np.allclose(results[0], results[1], atol=1e-4)
    assert not np.allclose(results[0], results[2], atol=1e-3)


def test_continue_training_goes_on_from_the_weights(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows, task = labelled(60), Classification(2)
    net = build_task_net()
    fit_full(net, rows, task, finetuning_options())
    before = outputs_of(net, rows)
    history = continue_training(net, rows, task, finetuning_options(lr=1e-7))
    assert len(history) == 3
    assert np.allclose(outputs_of(net, rows), before, atol=1e-2)


def test_row_losses_are_those_of_the_task(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows, task, net = labelled(70), Classification(2), build_task_net()
    fit_frozen(net, rows, task, finetuning_options())
    scores = outputs_of(net, rows)
    log_total = np.log(np.exp(scores).sum(axis=1))
    expected = log_total - scores[np.arange(70), rows.target]
    assert np.allclose(row_losses(net, rows, task, finetuning_options()), expected, atol=1e-5)


def test_bfloat16_training_gives_finite_float32_weights(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    net = build_task_net()
    options = replace(finetuning_options(), autocast=torch.bfloat16)
    history = fit_full(net, labelled(40), Classification(2), options)
    assert all(np.isfinite(epoch["train_loss"]) for epoch in history)
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_finetuning_leaves_global_streams_and_threads_alone(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_before = np.random.get_state()[1].copy()
    fit_full(build_task_net(), labelled(40), Classification(2), finetuning_options())
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)
    assert torch.get_num_threads() == threads


def test_selection_prefers_what_predicts_and_does_not_see_the_held_out_rows(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows = labelled(60, "numbers")
    blind = replace(rows, columns=np.zeros_like(rows.columns))
    assert np.isfinite(blind.columns).all()

    def ruined() -> TaskNet:
        net = build_task_net(1)
        with torch.no_grad():
            for parameter in net.encoder.parameters():
                parameter.zero_()
        return net

    candidates = {
        "good": Candidate("frozen", lambda: build_task_net(1)),
        "ruined": Candidate("frozen", ruined),
    }
    losses = validation_losses(candidates, blind, Regression(1, "mse"), finetuning_options())
    assert set(losses) == {"good", "ruined"}
    assert losses["good"] < 0.5 * losses["ruined"]
    # A constant feature predicts the mean: the loss is the variance.
    assert losses["ruined"] == pytest.approx(rows.target.var(), rel=0.2)


def test_selection_weighs_rows(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows = labelled(60, "numbers")
    weight = np.where(np.arange(60) < 30, 1e6, 1e-6).astype(np.float32)
    target = np.where(np.arange(60)[:, None] < 30, 0.0, 100.0).astype(np.float32)
    candidates = {"one": Candidate("frozen", lambda: build_task_net(1))}
    weighted = replace(rows, weight=weight, target=target)
    losses = validation_losses(candidates, weighted, Regression(1, "mse"), finetuning_options())
    assert losses["one"] < 1e-3


def test_selection_without_two_groups_is_empty(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows = labelled(20, "numbers", groups=np.zeros(20, dtype=int))
    candidates = {"one": Candidate("frozen", lambda: build_task_net(1))}
    assert validation_losses(candidates, rows, Regression(1, "mse"), finetuning_options()) == {}


def test_selection_counts_its_runs() -> None:
    assert n_selection_runs(2, 100) == 6
    assert n_selection_runs(2, 10_000) == 2
