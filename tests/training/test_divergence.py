"""Fine-tuning that diverges restarts at a lower rate, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tabimg.nn.task import TaskNet
from tabimg.training.callbacks import DivergenceError
from tabimg.training.divergence import CLEARLY_WORSE, train_without_diverging
from tabimg.training.finetuning import FinetuningOptions, LabelledRows, fit_full
from tabimg.training.optimise import History
from tabimg.training.tasks import Classification, Regression


class Script:
    """Attempts whose course is written down: the last loss, and whether the weights change."""

    def __init__(self, net: nn.Module, *courses: tuple[float, bool], name: str = "valid") -> None:
        self.net = net
        self.courses = list(courses)
        self.name = name
        self.factors: list[float] = []
        self.starts: list[float] = []

    def __call__(self, factor: float) -> History:
        self.factors.append(factor)
        self.starts.append(self.net.weight.item())
        loss, changes = self.courses.pop(0)
        if changes:
            nn.init.constant_(self.net.weight, loss)
        if not np.isfinite(loss):
            raise DivergenceError("diverged", "train_task is nan in epoch 1")
        return [{"epoch": 1, f"{self.name}_loss": loss}]

    def loss_of_net(self) -> float:
        """What the weight is: constants of the tests are losses without dropout too."""
        return self.net.weight.item()


@pytest.fixture
def net() -> nn.Module:
    made = nn.Linear(1, 1, bias=False)
    nn.init.constant_(made.weight, 0.25)
    return made


@pytest.mark.parametrize(
    ("course", "name"),
    [
        ((0.5, True), "valid"),
        ((50.0, True), "valid"),
        ((2.9, False), "valid"),
        ((2.9, True), "train"),
    ],
    ids=["good", "an epoch was better than the start", "within bounds", "without validation"],
)
def test_sound_training_is_done_once_in_silence(
    net: nn.Module, course: tuple[float, bool], name: str
) -> None:
    train = Script(net, course, name=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train_without_diverging(net, train, train.loss_of_net, 1.0)
    assert history == [{"epoch": 1, f"{name}_loss": course[0]}]
    assert train.factors == [1.0]


@pytest.mark.parametrize("first", [(3.1, False), (np.nan, True)], ids=["worse", "not finite"])
def test_diverged_training_begins_again_from_its_start(
    net: nn.Module, first: tuple[float, bool]
) -> None:
    train = Script(net, first, (0.5, True))
    with pytest.warns(UserWarning, match=r"diverged: .*; retrying at 0\.1 \* lr"):
        history = train_without_diverging(net, train, train.loss_of_net, 1.0)
    assert history == [{"epoch": 1, "valid_loss": 0.5, "lr_factor": 0.1}]
    assert (train.factors, train.starts) == ([1.0, 0.1], [0.25, 0.25])
    assert net.weight.item() == 0.5


def test_training_that_always_diverges_keeps_its_start(net: nn.Module) -> None:
    train = Script(net, *[(9.0, True)] * 3, name="train")
    with pytest.warns(UserWarning) as caught:
        history = train_without_diverging(net, train, train.loss_of_net, 1.0)
    said = [str(warning.message) for warning in caught]
    assert said[-1] == (
        "fine-tuning diverged: the loss ended at 9, that of a constant prediction is 1; the "
        "weights are left unchanged"
    )
    assert len(said) == 3
    assert train.factors == [1.0, 0.1, 0.01] and net.weight.item() == 0.25
    assert history[0]["lr_factor"] == 0.01


def test_training_that_is_never_finite_keeps_its_start(net: nn.Module) -> None:
    train = Script(net, *[(np.nan, True)] * 3)
    with pytest.warns(UserWarning) as caught:
        assert train_without_diverging(net, train, train.loss_of_net, 1.0) == []
    assert [str(warning.message) for warning in caught] == [
        "fine-tuning diverged: train_task is nan in epoch 1; retrying at 0.1 * lr",
        "fine-tuning diverged: train_task is nan in epoch 1; retrying at 0.01 * lr",
        "fine-tuning diverged: train_task is nan in epoch 1; the weights are left unchanged",
    ]
    assert net.weight.item() == 0.25


def test_net_that_was_never_finite_is_an_error(net: nn.Module) -> None:
    nn.init.constant_(net.weight, np.nan)
    train = Script(net, *[(np.nan, True)] * 3)
    with (
        pytest.warns(UserWarning, match=r"retrying at 0\.01"),
        pytest.raises(DivergenceError, match="diverged"),
    ):
        train_without_diverging(net, train, train.loss_of_net, 1.0)


def test_loss_that_dropout_alone_makes_bad_is_no_divergence(net: nn.Module) -> None:
    train = Script(net, (9.0, False), name="train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train_without_diverging(net, train, train.loss_of_net, 1.0)
    assert history == [{"epoch": 1, "train_loss": 9.0}]


@pytest.mark.parametrize("validation_fraction", [0.3, None])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_fine_tuning_at_an_absurd_rate_ends_no_worse_than_a_constant(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    kind: str,
    validation_fraction: float | None,
) -> None:
    rows = labelled(60, kind)
    task: Any = Classification(2) if kind == "classes" else Regression(1, "mse")
    options = finetuning_options(lr=3.0, validation_fraction=validation_fraction)
    net = build_task_net(task.n_outputs)
    with pytest.warns(UserWarning, match="fine-tuning diverged"):
        history = fit_full(net, rows, task, replace(options, encoder_lr_ratio=1.0))
    assert {epoch["lr_factor"] for epoch in history} <= {0.1, 0.01}
    tensors = [torch.from_numpy(a) for a in (rows.table.numeric, rows.table.codes, rows.columns)]
    with torch.no_grad():
        losses = task.row_losses(net(*tensors), torch.from_numpy(rows.target))
    constant = np.log(2) if kind == "classes" else float(rows.target.var())
    assert losses.mean() < CLEARLY_WORSE * constant
