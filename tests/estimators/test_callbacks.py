"""skorch's own callbacks: they work, or are refused by name before anything is trained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import skorch.callbacks
import torch
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WandbLogger,
    WarmRestartLR,
)


class Count(Callback):
    """Counts epochs over all copies: each fit copies the callbacks it is given."""

    epochs: ClassVar[list[int]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        Count.epochs.append(len(net.history))


class Sink:
    """Stands for somebody's service; like a real one it cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.logged: list[Any] = []

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int) -> None:
        self.logged.append(tag)

    def log_scalar(self, name: str, value: Any, step: int) -> None:
        self.logged.append(name)

    def log(self, values: dict[str, Any]) -> None:
        self.logged += list(values)

    def watch(self, module: Any) -> None:
        pass

    def close(self) -> None:
        pass


REFUSED: dict[str, Any] = {
    "BatchScoring": BatchScoring("accuracy", name="own"),
    "EpochScoring": EpochScoring("accuracy"),
    "EpochScoring of a loss": EpochScoring("neg_log_loss", name="own"),
    "InputShapeSetter": InputShapeSetter,
    "LRScheduler": LRScheduler,
    "LRScheduler of a policy": LRScheduler("StepLR", step_size=1),
    "LoadInitState": ("load", LoadInitState(Checkpoint())),
    "PassthroughScoring": PassthroughScoring("valid_loss"),
    "SacredLogger of batches": SacredLogger(Sink(), log_on_batch_end=True),
    "WarmRestartLR": WarmRestartLR,
}
WORKING: dict[str, Callable[[Path], Any]] = {
    "Callback": lambda _: Callback,
    "Checkpoint": lambda folder: Checkpoint(dirname=folder, f_criterion=None),
    "Checkpoint of the training loss": lambda folder: Checkpoint("train_loss_best", dirname=folder),
    "Checkpoint to load": lambda folder: Checkpoint(dirname=folder, load_best=True),
    "EarlyStopping": lambda _: EarlyStopping(sink=print),
    "EarlyStopping to load": lambda _: EarlyStopping(load_best=True),
    "EpochTimer": lambda _: EpochTimer,
    "Freezer": lambda _: ("freeze", Freezer("net.encoder.*")),
    "GradientNormClipping": lambda _: GradientNormClipping(0.5),
    "Initializer": lambda _: Initializer("*weight", fn=torch.nn.init.zeros_),
    "ParamMapper": lambda _: ParamMapper("*bias", fn=torch.nn.init.zeros_, at=2),
    "PrintLog": lambda _: PrintLog,
    "ProgressBar": lambda _: ProgressBar(detect_notebook=False),
    "SacredLogger": lambda _: SacredLogger(Sink()),
    "TensorBoard": lambda _: TensorBoard(Sink()),
    "TrainEndCheckpoint": lambda folder: TrainEndCheckpoint(dirname=folder),
    "Unfreezer": lambda _: Unfreezer("*bias", at=2),
    "WandbLogger": lambda _: WandbLogger(Sink(), save_model=False),
}
# Of the two, only the services themselves could tell: they need a client of their own.
UNTRIED = {"MlflowLogger", "NeptuneLogger"}


def test_every_callback_of_skorch_is_tried_here() -> None:
    tried = {name.split()[0] for name in (*REFUSED, *WORKING)} | UNTRIED
    assert set(skorch.callbacks.__all__) <= tried


@pytest.mark.parametrize("half", [0, 1])
def test_callbacks_that_work_run_side_by_side_in_every_epoch(
    half: int, tmp_path: Path, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    Count.epochs.clear()
    folders = {name: tmp_path / name for name in list(WORKING)[half::2]}
    callbacks = [WORKING[name](folder) for name, folder in folders.items()]
    make.regressor(finetune="full", callbacks=[*callbacks, Count]).fit(table, target)
    assert Count.epochs == [1, 2]
    for name, folder in folders.items():
        assert folder.is_dir() == ("Checkpoint" in name)


@pytest.mark.parametrize("name", list(REFUSED))
@pytest.mark.parametrize("face", ["pretrainer", "citab", "classifier", "citab_classifier"])
def test_callback_that_cannot_work_is_refused_by_name_before_training(
    name: str, face: str, frame: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    Count.epochs.clear()
    make_one = getattr(make, face)
    pretrainer = {"pretrainer": make.pretrainer(callbacks=[Count()])}
    params = pretrainer if face == "classifier" else {}
    class_name = name.split()[0]
    with pytest.raises((ValueError, TypeError), match=f"{class_name} does not work in tabimg"):
        make_one(callbacks=[Count(), REFUSED[name]], **params).fit(frame, labels)
    assert Count.epochs == []


class CopyableSink(Sink):
    """A service whose copy would take the entries in silence."""

    def __init__(self) -> None:
        self.logged: list[Any] = []


@pytest.mark.parametrize("make_sink", [Sink, CopyableSink])
@pytest.mark.parametrize("logger", [SacredLogger, TensorBoard, WandbLogger])
def test_logger_of_skorch_writes_the_losses_to_the_user_s_own_object(
    logger: Any, make_sink: Callable[[], Sink], table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    sink = make_sink()
    extra = {"save_model": False} if logger is WandbLogger else {}
    callbacks = [logger(sink, **extra)]
    make.regressor(finetune="full", callbacks=callbacks).fit(table, target)
    assert any("train_loss" in name for name in sink.logged)
    assert any("valid_task" in name for name in sink.logged)


def test_progress_bar_of_skorch_counts_the_batches(
    table: pd.DataFrame, target: np.ndarray, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = ProgressBar(detect_notebook=False)
    params = {"validation_fraction": None, "batch_size": 8, "finetune": "full"}
    make.regressor(callbacks=[bar], **params).fit(table, target)
    assert "/5 [" in capsys.readouterr().err


def test_freezer_of_all_parameters_is_refused(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="nothing is left to train: a callback froze"):
        make.regressor(finetune="full", callbacks=[Freezer("*")]).fit(table, target)


@pytest.mark.parametrize(
    "callback",
    [
        Checkpoint(),
        EarlyStopping(),
        EarlyStopping(monitor="accuracy"),
    ],
    ids=["Checkpoint", "EarlyStopping", "EarlyStopping of another score"],
)
def test_callback_that_misses_an_entry_of_the_history_is_named(
    callback: Any, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    model = make.regressor(finetune="full", validation_fraction=None, callbacks=[callback])
    with pytest.raises(ValueError, match=type(callback).__name__) as caught:
        model.fit(table, target)
    assert "The history holds ['epoch', 'gradient_norm'" in str(caught.value)


def test_own_callback_s_error_comes_out_as_it_is(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    class Fails(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        make.regressor(finetune="full", callbacks=[Fails()]).fit(table, target)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([EpochTimer, 3], r"list of skorch callbacks.*got 3"),
        ([("a", EpochTimer), ("a", PrintLog)], "the name 'a' is given to more than one"),
        ([("a", "b", EpochTimer)], "a tuple must be"),
        ([("a", ("b", EpochTimer))], "a tuple must be"),
        ([Freezer], "give an instance of Freezer"),
        ([lambda net: None], "list of skorch callbacks"),
        (EpochTimer(), "list of skorch callbacks"),
    ],
    ids=[
        "number",
        "doubled name",
        "tuple of three",
        "tuple in a tuple",
        "class with arguments",
        "function",
        "no list",
    ],
)
def test_callbacks_that_are_none_are_refused(
    callbacks: Any, message: str, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make.regressor(callbacks=callbacks).fit(table, target)
