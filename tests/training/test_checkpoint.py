"""An interrupted run goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skorch.callbacks import Callback, EarlyStopping, Freezer

from tabimg.nn import MultiModalNet
from tabimg.nn.task import TaskNet
from tabimg.table import EncodedTable
from tabimg.training.checkpoint_folder import FitFolder
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


def with_run(options: Any, checkpoints: FitFolder, callbacks: Any) -> Any:
    """Give the same options with checkpoints and callbacks."""
    return replace(options, run=replace(options.run, checkpoints=checkpoints, callbacks=callbacks))


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
    claim: Callable[[], FitFolder],
    after: int,
    validation_fraction: float | None,
) -> None:
    shared = {"max_epochs": 4, "validation_fraction": validation_fraction}
    whole = build_net(paired)
    history = pretrain(whole, paired, pretraining_options(**shared))

    saved = pretraining_options(**shared, checkpoints=claim())
    cut = replace(saved, run=replace(saved.run, callbacks=[PowerCut(after)]))
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)

    saved = replace(saved, run=replace(saved.run, checkpoints=claim()))
    resumed = build_net(paired)
    with torch.random.fork_rng():
        torch.rand(5)  # the stream that a new process finds is another
        assert pretrain(resumed, paired, saved) == history
    assert_equal_weights(resumed, whole)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_finetuning_interrupted_and_resumed_equals_uninterrupted(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    claim: Callable[[], FitFolder],
    kind: str,
) -> None:
    """With dropout, whose stream must go on too."""
    rows = labelled(60, kind)
    task = Classification(2) if kind == "classes" else Regression(1, "mse")
    whole = build_task_net(task.n_outputs)
    history = fit_full(whole, rows, task, finetuning_options(max_epochs=5))

    cut = finetuning_options(max_epochs=5, checkpoints=claim(), callbacks=[PowerCut(2)])
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(task.n_outputs), rows, task, cut)
    saved = finetuning_options(max_epochs=5, checkpoints=claim())
    resumed = build_task_net(task.n_outputs)
    assert fit_full(resumed, rows, task, saved) == history
    assert_equal_weights(resumed, whole)


def test_early_stop_of_a_resumed_run_counts_the_epochs_before(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    claim: Callable[[], FitFolder],
) -> None:
    rows, task = labelled(60), Classification(2)
    options = finetuning_options(max_epochs=30, patience=4)
    whole = build_task_net()
    history = fit_full(whole, rows, task, options)
    assert 4 <= len(history) < 30
    saved = replace(options, run=replace(options.run, checkpoints=claim()))
    cut = replace(saved, run=replace(saved.run, callbacks=[PowerCut(len(history) - 2)]))
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(), rows, task, cut)
    saved = replace(saved, run=replace(saved.run, checkpoints=claim()))
    resumed = build_task_net()
    assert fit_full(resumed, rows, task, saved) == history
    assert_equal_weights(resumed, whole)


def test_pretraining_stopped_after_its_last_epoch_only_finishes(
    paired: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Callable[..., PretrainingOptions],
    claim: Callable[[], FitFolder],
) -> None:
    class CutAtTheEnd(Callback):
        def on_train_end(self, net: Any, **kwargs: Any) -> None:
            raise PowerCutError

    whole = build_net(paired)
    history = pretrain(whole, paired, pretraining_options())
    cut = pretraining_options(checkpoints=claim(), callbacks=[CutAtTheEnd()])
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)
    resumed = build_net(paired)
    assert pretrain(resumed, paired, pretraining_options(checkpoints=claim())) == history
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
    claim: Callable[[], FitFolder],
    changes: dict[str, Any],
) -> None:
    cut = pretraining_options(checkpoints=claim(), callbacks=[PowerCut(1)])
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)
    fresh, beside = build_net(paired), build_net(paired)
    history = pretrain(fresh, paired, pretraining_options(**changes))
    beside_options = pretraining_options(**changes, checkpoints=claim())
    with pytest.warns(UserWarning, match="of no stage of this fit"):
        assert pretrain(beside, paired, beside_options) == history
    assert_equal_weights(fresh, beside)


def test_pretraining_checkpoint_of_other_data_is_not_picked_up(
    paired: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Callable[..., PretrainingOptions],
    claim: Callable[[], FitFolder],
) -> None:
    cut = pretraining_options(checkpoints=claim(), callbacks=[PowerCut(1)])
    with pytest.raises(PowerCutError):
        pretrain(build_net(paired), paired, cut)
    numeric = paired.table.numeric.copy()
    numeric[0, 1] += 0.01
    others = [
        replace(paired, table=EncodedTable(numeric, paired.table.codes)),
        replace(paired, group_ids=np.arange(60) // 2),
        replace(paired, weight=np.full(60, 2.0, dtype=np.float32)),
        replace(paired, images=paired.images.take(np.arange(60)[::-1])),
    ]
    for other in others:
        with pytest.warns(UserWarning, match="of no stage of this fit"):
            pretrain(build_net(other), other, pretraining_options(checkpoints=claim()))
    with pytest.warns(UserWarning, match="of no stage of this fit"):
        pretrain(build_net(paired, seed=1), paired, pretraining_options(checkpoints=claim()))


def test_finetuning_checkpoint_of_other_parameters_is_not_picked_up(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    claim: Callable[[], FitFolder],
) -> None:
    rows = labelled(60, "numbers")
    cut = finetuning_options(checkpoints=claim(), callbacks=[PowerCut(1)])
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(1), rows, Regression(1, "mse"), cut)
    saved = finetuning_options()
    mse = Regression(1, "mse")
    others = [
        (build_task_net(1), Regression(1, "huber"), saved),
        (build_task_net(1, dropout=0.2), mse, saved),
        (build_task_net(1), mse, replace(saved, patience=2)),
        (build_task_net(1), mse, replace(saved, encoder_lr_ratio=0.1)),
        (build_task_net(1), mse, replace(saved, autocast=torch.bfloat16)),
    ]
    for net, task, options in others:
        options = replace(options, run=replace(options.run, checkpoints=claim()))
        with pytest.warns(UserWarning, match="of no stage of this fit"):
            fit_full(net, rows, task, options)


def test_finished_run_is_not_trained_again(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    claim: Callable[[], FitFolder],
) -> None:
    rows, task = labelled(), Classification(2)
    whole, resumed = build_task_net(), build_task_net()
    history = fit_full(whole, rows, task, finetuning_options(checkpoints=claim()))
    cut = finetuning_options(checkpoints=claim(), callbacks=[PowerCut(0)])
    assert fit_full(resumed, rows, task, cut) == history
    assert_equal_weights(resumed, whole)


@pytest.mark.parametrize("load_best", [False, True])
def test_early_stopping_of_skorch_counts_the_epochs_before(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    claim: Callable[[], FitFolder],
    load_best: bool,
) -> None:
    rows, task = labelled(60), Classification(2)
    stopping = EarlyStopping("train_loss", 4, 0.2, sink=lambda text: None, load_best=load_best)
    options = finetuning_options(max_epochs=30, callbacks=[stopping])
    whole, resumed = build_task_net(), build_task_net()
    history = fit_full(whole, rows, task, options)
    assert 4 <= len(history) < 30
    cut = [stopping, PowerCut(len(history) - 2)]
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(), rows, task, with_run(options, claim(), cut))
    saved = with_run(options, claim(), [stopping])
    assert fit_full(resumed, rows, task, saved) == history
    assert_equal_weights(resumed, whole)


def test_frozen_parameters_stay_frozen_in_a_resumed_run(
    labelled: Callable[..., LabelledRows],
    build_task_net: Callable[..., TaskNet],
    finetuning_options: Callable[..., FinetuningOptions],
    claim: Callable[[], FitFolder],
) -> None:
    rows, task = labelled(), Classification(2)
    options = finetuning_options(max_epochs=4, callbacks=[Freezer("net.encoder.*")])
    whole, resumed = build_task_net(), build_task_net()
    history = fit_full(whole, rows, task, options)
    cut = [*options.run.callbacks, PowerCut(2)]
    with pytest.raises(PowerCutError):
        fit_full(build_task_net(), rows, task, with_run(options, claim(), cut))
    saved = with_run(options, claim(), options.run.callbacks)
    assert fit_full(resumed, rows, task, saved) == history
    assert_equal_weights(resumed, whole)
