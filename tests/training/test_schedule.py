"""The one-cycle schedule against torch's own."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tabimg.training.schedule import OneCycle, one_cycle


def net_with_groups(**extra: Any) -> SimpleNamespace:
    groups = [{"lr": 0.0, "max_lr": 0.1, "betas": (0.9, 0.999), **extra}]
    return SimpleNamespace(optimizer_=SimpleNamespace(param_groups=groups))


def learning_rates(schedule: OneCycle, net: SimpleNamespace, n_steps: int) -> list[float]:
    rates = []
    for _ in range(n_steps):
        schedule.on_batch_begin(net, training=True)
        rates.append(net.optimizer_.param_groups[0]["lr"])
    return rates


def torch_schedule(optimizer: torch.optim.Optimizer, max_lr: float, n_steps: int) -> Any:
    """torch's schedule with its peak at 0.3 of the way from the first step to the last."""
    share = (0.3 * (n_steps - 1) + 1) / n_steps
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr, total_steps=n_steps, pct_start=share
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until it is told to move on."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: now.seconds)
    return now


@pytest.mark.parametrize("total_steps", [10, 37, 250])
def test_one_cycle_equals_torch_in_rate_and_beta(total_steps: int) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch_schedule(optimizer, 0.02, total_steps)
    for step in range(total_steps):
        lr, beta1 = one_cycle(step / (total_steps - 1), 0.02)
        group = optimizer.param_groups[0]
        assert lr == pytest.approx(group["lr"], rel=1e-9)
        assert beta1 == pytest.approx(group["betas"][0], rel=1e-9)
        optimizer.step()
        if step < total_steps - 1:
            reference.step()


def test_one_cycle_callback_equals_torch_over_a_whole_run() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch_schedule(optimizer, 0.1, 20)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < 20:
            reference.step()
    schedule = OneCycle(20)
    schedule.on_train_begin(None)
    assert learning_rates(schedule, net_with_groups(), 20) == pytest.approx(expected)


def test_one_cycle_resumed_goes_on_where_it_stopped() -> None:
    whole, resumed = OneCycle(20), OneCycle(20, first_step=12)
    for schedule in (whole, resumed):
        schedule.on_train_begin(None)
    rates = learning_rates(whole, net_with_groups(), 20)
    assert learning_rates(resumed, net_with_groups(), 8) == rates[12:]


def test_one_cycle_validation_batches_do_not_move_it() -> None:
    schedule = OneCycle(20)
    schedule.on_train_begin(None)
    schedule.on_batch_begin(net_with_groups(), training=False)
    assert schedule.step_ == 0


def test_one_cycle_single_step_is_within_the_schedule() -> None:
    schedule = OneCycle(1)
    schedule.on_train_begin(None)
    assert learning_rates(schedule, net_with_groups(), 1) == [one_cycle(0.0, 0.1)[0]]


def test_one_cycle_group_with_unfreeze_at_stays_at_zero_until_due() -> None:
    schedule = OneCycle(21)
    schedule.on_train_begin(None)
    rates = learning_rates(schedule, net_with_groups(unfreeze_at=0.25), 21)
    assert rates[:5] == [0.0] * 5
    assert rates[5:] == pytest.approx([one_cycle(step / 20, 0.1)[0] for step in range(5, 21)])


def test_one_cycle_time_limit_brings_the_rate_down_in_time(clock: SimpleNamespace) -> None:
    schedule = OneCycle(10_000, time_limit=50.0)
    schedule.on_train_begin(None)
    net, rates = net_with_groups(), []
    while not schedule.exhausted:
        rates += learning_rates(schedule, net, 1)
        clock.seconds += 1.0
    assert len(rates) == 50
    assert max(rates) == pytest.approx(0.1, rel=1e-2)
    assert rates[-1] < 0.01 * max(rates)


def test_one_cycle_time_limit_that_is_not_reached_changes_nothing(clock: SimpleNamespace) -> None:
    limited, free = OneCycle(20, time_limit=1e9), OneCycle(20)
    for schedule in (limited, free):
        schedule.on_train_begin(None)
    clock.seconds += 60.0
    expected = learning_rates(free, net_with_groups(), 20)
    assert learning_rates(limited, net_with_groups(), 20)[1:] == expected[1:]
    assert not limited.exhausted


def test_one_cycle_seconds_of_an_interrupted_run_count(clock: SimpleNamespace) -> None:
    schedule = OneCycle(10_000, time_limit=50.0)
    schedule.seconds_before = 45.0
    schedule.on_train_begin(None)
    assert schedule.progress == pytest.approx(0.9)
    clock.seconds += 5.0
    assert schedule.exhausted
