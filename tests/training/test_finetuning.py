"""Fine-tuning: what is fitted, what stays, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict
from skorch.callbacks import Callback

from tabimg.nn.task import TaskNet
from tabimg.training.blocks import LabelledRows
from tabimg.training.finetuning import (
    N_FOLDS,
    FinetuningOptions,
    continue_training,
    fit_frozen,
    fit_full,
    fit_gradual,
)
from tabimg.training.inference import apply_to_table
from tabimg.training.splits import grouped_folds
from tabimg.training.tasks import Classification, Regression

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
    folds = grouped_folds(rows.groups, N_FOLDS, 0)
    errors = {}
    for alpha in Regression.penalties:
        held_out = cross_val_predict(Ridge(alpha), standardised, rows.target, cv=folds)
        errors[alpha] = ((held_out.reshape(-1, 1) - rows.target) ** 2).sum()
    reference = Ridge(min(errors, key=errors.__getitem__)).fit(standardised, rows.target)
    expected = reference.predict(standardised).reshape(-1, 1)
    assert np.allclose(outputs_of(net, rows), expected, atol=1e-3)
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
    losses = (outputs_of(net, rows) - rows.target) ** 2
    assert losses.mean() < 3 * seen[0] + 0.1


def test_head_does_not_see_the_validation_rows(
    labelled: Rows, build_task_net: Build, finetuning_options: Options
) -> None:
    rows = labelled(40, "numbers")
    assert len(np.unique(rows.target)) == 40
    seen: list[np.ndarray] = []

    class Spy(Regression):
        def linear_path(self, features: Any, target: Any, weight: Any, n_penalties: Any) -> Any:
            seen.append(np.flatnonzero(np.isin(rows.target[:, 0], target)))
            return super().linear_path(features, target, weight, n_penalties)

    groups = np.arange(40) // 2
    fit_full(build_task_net(1), replace(rows, groups=groups), Spy(1, "mse"), finetuning_options())
    *of_folds, last = seen
    assert len(of_folds) == N_FOLDS
    assert 0.5 * 40 <= len(last) < 40
    assert set().union(*of_folds) == set(last)
    for index in seen:
        assert set(np.bincount(groups[index])) <= {0, 2}


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
