"""One training run, whatever its objective: schedule, guards, checkpoints, history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import joblib
import torch
from torch import nn

from tabimg.training.batch_statistics import synchronised
from tabimg.training.callbacks import (
    BestWeights,
    ClipGradients,
    EarlyStop,
    FiniteGuard,
    FreshStreams,
    Progress,
)
from tabimg.training.checkpoint import Checkpoint
from tabimg.training.checkpoint_folder import FitFolder
from tabimg.training.gradients import CachedGradients, direct_gradients
from tabimg.training.processes import ONE_PROCESS, Processes
from tabimg.training.schedule import OneCycle
from tabimg.training.skorch_net import Batches, Gradients, ObjectiveNet
from tabimg.training.streams import LayerStreams
from tabimg.training.user_callbacks import copies

History = list[dict[str, Any]]
MAX_GRADIENT_NORM = 1.0
# What only skorch's own callbacks look for.
_NOT_OURS = {"batches", "train_loss_best", "valid_loss_best"}


class EpochBatches(Batches, Protocol):
    """Training batches whose random stream depends on the number of the epoch."""

    epoch: int


@dataclass(frozen=True)
class RunOptions:
    """The options of every run, named as the estimators' parameters."""

    max_epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    validation_fraction: float | None
    device: torch.device
    seed: int
    callbacks: Sequence[Any] = ()
    checkpoints: FitFolder | None = None
    time_limit: float | None = None
    verbose: int = 0
    micro_batch_size: int | None = None
    processes: Processes = ONE_PROCESS

    def identity(self) -> tuple[Any, ...]:
        """Return the options that shape the result; a checkpoint is only valid for equal ones."""
        shaping = (self.max_epochs, self.batch_size, self.lr, self.weight_decay)
        own = () if self.micro_batch_size is None else (self.micro_batch_size,)
        return (*shaping, self.validation_fraction, self.seed, *own)


def optimise(
    objective: nn.Module,
    *,
    stage: str,
    weights: Mapping[str, float],
    parameter_groups: list[dict[str, Any]],
    train_batches: EpochBatches,
    valid_batches: Batches | None,
    options: RunOptions,
    identity: tuple[Any, ...],
    patience: int | None = None,
) -> History:
    """Train an objective in place; it ends with the weights with the lowest validation loss.

    Without validation batches it ends with the last weights.

    Parameters
    ----------
    objective : nn.Module
        Maps a batch to its unweighted loss terms; on the run's device.
    stage : str
        Name of the run in error messages and the progress bar.
    weights : mapping of str to float
        The factor of each term.
    parameter_groups : list of dict
        AdamW groups with ``params``, ``max_lr`` and ``weight_decay``.
    train_batches, valid_batches
    options : RunOptions
    identity : tuple of values that joblib can hash
        The run's data and parameters beyond ``options``, so that a checkpoint is only resumed by
        the same run.
    patience : int, optional
        Stop after this many epochs without a lower validation loss.

    Returns
    -------
    history : list of dict
        One entry per epoch.

    Raises
    ------
    DivergenceError
        If a loss or gradient stops being finite; names epoch and term.
    """
    steps = options.max_epochs * len(train_batches)
    processes = options.processes
    schedule = OneCycle(steps, time_limit=options.time_limit, agree=processes.first_of)
    streams = LayerStreams(objective, processes.own_seed(options.seed), options.device)
    best = BestWeights()
    callbacks: list[Any] = [
        FreshStreams(streams),
        ClipGradients(MAX_GRADIENT_NORM),
        FiniteGuard(stage),
        best,
    ]
    if patience is not None and valid_batches is not None:
        callbacks.append(EarlyStop(best, patience))
    if options.verbose and processes.is_first:
        callbacks.append(Progress(stage))
    # Callbacks have state; the user's own objects stay unchanged.
    own = copies(options.callbacks)
    callbacks += own
    checkpoint = None
    if processes.from_first(lambda: options.checkpoints is not None):
        fingerprint = _fingerprint(objective, options, (stage, patience, *identity))
        others = [item[1] if isinstance(item, tuple) else item for item in own]
        checkpoint = Checkpoint(options.checkpoints, fingerprint, best, schedule, others, processes)
        callbacks.append(checkpoint)
    trainer = ObjectiveNet(
        objective,
        weights=weights,
        parameter_groups=parameter_groups,
        train_batches=train_batches,
        valid_batches=valid_batches,
        schedule=schedule,
        gradients=_gradients(options, streams),
        processes=processes,
        callbacks=callbacks,
        max_epochs=options.max_epochs,
        device=str(options.device),
    ).initialize()
    with synchronised(objective, processes.gathering), streams.lent():
        _train(trainer, train_batches, checkpoint)
    return [
        {name: value for name, value in epoch.items() if name not in _NOT_OURS}
        for epoch in trainer.history
    ]


def _gradients(options: RunOptions, streams: LayerStreams) -> Gradients:
    if options.micro_batch_size is None:
        return direct_gradients
    return CachedGradients(options.micro_batch_size, streams, options.processes.gathering)


def _train(trainer: ObjectiveNet, batches: EpochBatches, checkpoint: Checkpoint | None) -> None:
    if checkpoint is None:
        trainer.train()
        return
    first_epoch = checkpoint.resume(trainer)
    if first_epoch is None:
        return
    batches.epoch = first_epoch
    trainer.train(first_epoch, after_epoch=checkpoint.write)
    checkpoint.finish(trainer)


def _fingerprint(objective: nn.Module, options: RunOptions, identity: tuple[Any, ...]) -> str:
    # Fixed properties of columns, such as headers, are buffers outside the state dict.
    tensors = {**dict(objective.named_buffers()), **objective.state_dict()}
    weights = {name: t.detach().cpu().numpy() for name, t in tensors.items()}
    # The printed structure holds what the weights do not, such as the rate of dropout.
    return joblib.hash((options.identity(), repr(objective), weights, identity))


def parameter_groups(module: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Group parameters for AdamW: biases and norm scales are not decayed."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [{**group, "max_lr": lr} for group in groups if group["params"]]
