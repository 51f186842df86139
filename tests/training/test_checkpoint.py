"""An interrupted run goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skorch.callbacks import Callback

from tabimg.nn import MultiModalNet
from tabimg.nn.task import TaskNet
from tabimg.table import EncodedTable
from tabimg.training.finetuning import FinetuningOptions, LabelledRows, fit_full
from tabimg.training.pairs import PairedRows
from tabimg.training.pretraining import PretrainingOptions, pretrain
from tabimg.training.tasks import Classification, Regression


class PowerCutError(Exception):
    """The run ends here."""


class PowerCut(Callback):
    """End the run when a number of epochs are done."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) > self.after:
            raise PowerCutError


def assert_equal_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.fixture
def paired(
    pair_up: Callable[..., PairedRows],
    encoded: Callable[[int], EncodedTable],
    colours: Callable[[EncodedTable], list[Image.Image]],
) -> PairedRows:
    table = encoded(60)
    return pair_up(colours(table), table)


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("validation_fraction", [None, 0.3])
def test_pretraining_interrupted_and_resumed_equals_uninterrupted(
    paired: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Callable[..., PretrainingOptions],
    tmp_path: Path,
    after: int,
    validation_fraction: float | None,
) -> None:
    shared = {"max_epochs": 4, "validation_fraction": validation_fraction}
    whole = build_net(paired)
    history = pretrain(whole, paired, pretraining_options(**shared))

    saved = pretraining_options(**shared, checkpoint_dir=tmp_path)
    cut = replace(saved, run=replace(saved.run, callbacks=[PowerCut(after)]))
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)
    assert len(list(tmp_path.iterdir())) == 1

    resumed = build_net(paired)
    with torch.random.fork_rng():
        torch.rand(5)  # the stream that a new process finds is another
        assert pretrain(resumed, paired, saved) == history
    assert_equal_weights(resumed, whole)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_finetuning_interrupted_and_resumed_equals_uninterrupted(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    tmp_path: Path,
    kind: str,
) -> None:
    """With dropout, whose stream must go on too."""
    rows = labelled(60, kind)
    task = Classification(2) if kind == "classes" else Regression(1, "mse")
    whole = build_task_net(task.n_outputs)
    history = fit_full(whole, rows, task, finetuning_options(max_epochs=5))

    saved = finetuning_options(max_epochs=5, checkpoint_dir=tmp_path)
    cut = finetuning_options(max_epochs=5, checkpoint_dir=tmp_path, callbacks=[PowerCut(2)])
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(task.n_outputs), rows, task, cut)
    resumed = build_task_net(task.n_outputs)
    assert fit_full(resumed, rows, task, saved) == history
    assert_equal_weights(resumed, whole)
    assert list(tmp_path.iterdir()) == []


def test_early_stop_of_a_resumed_run_counts_the_epochs_before(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    tmp_path: Path,
) -> None:
    rows, task = labelled(60), Classification(2)
    options = finetuning_options(max_epochs=30, patience=4)
    whole = build_task_net()
    history = fit_full(whole, rows, task, options)
    assert 4 <= len(history) < 30
    saved = replace(options, run=replace(options.run, checkpoint_dir=tmp_path))
    cut = replace(saved, run=replace(saved.run, callbacks=[PowerCut(len(history) - 2)]))
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(), rows, task, cut)
    resumed = build_task_net()
    assert fit_full(resumed, rows, task, saved) == history
    assert_equal_weights(resumed, whole)


def test_pretraining_stopped_after_its_last_epoch_only_finishes(
    paired: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Callable[..., PretrainingOptions],
    tmp_path: Path,
) -> None:
    class CutAtTheEnd(Callback):
        def on_train_end(self, net: Any, **kwargs: Any) -> None:
            raise PowerCutError

    whole = build_net(paired)
    history = pretrain(whole, paired, pretraining_options())
    cut = pretraining_options(checkpoint_dir=tmp_path, callbacks=[CutAtTheEnd()])
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)
    resumed = build_net(paired)
    assert pretrain(resumed, paired, pretraining_options(checkpoint_dir=tmp_path)) == history
    assert_equal_weights(resumed, whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 6},
        {"lr": 1e-3},
        {"max_epochs": 4},
        {"batch_size": 9},
        {"validation_fraction": None},
        {"temperature": 0.2},
        {"lambda_c": 0.5},
        {"mask_rate": 0.4},
        {"mask_loss": "l1"},
    ],
    ids=str,
)
def test_pretraining_checkpoint_of_other_parameters_is_not_picked_up(
    paired: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Callable[..., PretrainingOptions],
    tmp_path: Path,
    changes: dict[str, Any],
) -> None:
    cut = pretraining_options(checkpoint_dir=tmp_path, callbacks=[PowerCut(1)])
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)
    left = list(tmp_path.iterdir())
    assert len(left) == 1
    fresh, beside = build_net(paired), build_net(paired)
    history = pretrain(fresh, paired, pretraining_options(**changes))
    beside_options = pretraining_options(**changes, checkpoint_dir=tmp_path)
    assert pretrain(beside, paired, beside_options) == history
    assert_equal_weights(fresh, beside)
    assert list(tmp_path.iterdir()) == left


def test_pretraining_checkpoint_of_other_data_is_not_picked_up(
    paired: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Callable[..., PretrainingOptions],
    tmp_path: Path,
) -> None:
    cut = pretraining_options(checkpoint_dir=tmp_path, callbacks=[PowerCut(1)])
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)
    left = list(tmp_path.iterdir())
    numeric = paired.table.numeric.copy()
    numeric[0, 1] += 0.01
    others = [
        replace(paired, table=EncodedTable(numeric, paired.table.codes)),
        replace(paired, group_ids=np.arange(60) // 2),
        replace(paired, weight=np.full(60, 2.0, dtype=np.float32)),
        replace(paired, images=paired.images.take(np.arange(60)[::-1])),
    ]
    for other in others:
        pretrain(build_net(other), other, pretraining_options(checkpoint_dir=tmp_path))
    pretrain(build_net(paired, seed=1), paired, pretraining_options(checkpoint_dir=tmp_path))
    assert list(tmp_path.iterdir()) == left


def test_finetuning_checkpoint_of_other_parameters_is_not_picked_up(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    tmp_path: Path,
) -> None:
    rows = labelled(60, "numbers")
    cut = finetuning_options(checkpoint_dir=tmp_path, callbacks=[PowerCut(1)])
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(1), rows, Regression(1, "mse"), cut)
    left = list(tmp_path.iterdir())
    saved = finetuning_options(checkpoint_dir=tmp_path)
    fit_full(build_task_net(1), rows, Regression(1, "huber"), saved)
    fit_full(build_task_net(1, dropout=0.2), rows, Regression(1, "mse"), saved)
    fit_full(build_task_net(1), rows, Regression(1, "mse"), replace(saved, patience=2))
    fit_full(build_task_net(1), rows, Regression(1, "mse"), replace(saved, encoder_lr_ratio=0.1))
    autocast = replace(saved, autocast=torch.bfloat16)
    fit_full(build_task_net(1), rows, Regression(1, "mse"), autocast)
    assert list(tmp_path.iterdir()) == left
