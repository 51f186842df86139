"""Fine-tuning a table encoder with a task head: frozen, full or gradual."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tabimg.nn.task import TaskNet
from tabimg.training.blocks import LabelledRows
from tabimg.training.divergence import train_without_diverging
from tabimg.training.inference import apply_to_table
from tabimg.training.linear import choose_penalty, fit_head, standardisation
from tabimg.training.optimise import History, RunOptions, optimise, parameter_groups
from tabimg.training.runtime import single_thread
from tabimg.training.skorch_net import Batch, Terms
from tabimg.training.splits import Split, grouped_folds, validation_split
from tabimg.training.tasks import Task

# Share of the schedule after which gradual fine-tuning trains the whole encoder.
GRADUAL_END = 0.5
# Folds that choose the penalty of a linear head.
N_FOLDS = 3
# Once the time limit has passed, an attempt at a lower rate still gets one batch.
MIN_SECONDS = 1e-3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class FinetuningOptions:
    """Everything that shapes one fine-tuning run.

    Parameters
    ----------
    encoder_lr_ratio : float
        The encoder's learning rate as a share of the head's.
    patience : int
        Epochs without a lower validation loss after which training stops.
    autocast : torch.dtype or None
        The dtype that training is autocast to; None is float32.
    run : RunOptions
    """

    encoder_lr_ratio: float
    patience: int
    autocast: torch.dtype | None
    run: RunOptions

    def within(self, share: float) -> FinetuningOptions:
        """Return the same options with a share of the time limit."""
        if self.run.time_limit is None:
            return self
        return replace(self, run=replace(self.run, time_limit=self.run.time_limit * share))


def fit_frozen(net: TaskNet, rows: LabelledRows, task: Task, options: FinetuningOptions) -> History:
    """Fit only the head: a penalised linear model on the encoder's fixed features."""
    device = options.run.device
    extract = net.to(device).eval().raw_features
    features = apply_to_table(extract, rows.table, rows.columns, device=device)
    net.cpu()
    mean, scale = standardisation(features, rows.weight)
    net.mean.copy_(torch.from_numpy(mean))
    net.scale.copy_(torch.from_numpy(scale))
    standardised = ((features - net.mean.numpy()) / net.scale.numpy()).astype(np.float64)
    folds = grouped_folds(rows.groups, N_FOLDS, 0, task.classes(rows.target))
    penalty = choose_penalty(standardised, rows.target, rows.weight, folds, task).number
    weight, bias = fit_head(standardised, rows.target, rows.weight, penalty, task)
    with torch.no_grad():
        net.head.out.weight.copy_(torch.from_numpy(weight))
        net.head.out.bias.copy_(torch.from_numpy(bias))
    return []


def fit_full(net: TaskNet, rows: LabelledRows, task: Task, options: FinetuningOptions) -> History:
    """Fit the head, then head and encoder together, the encoder at its own learning rate.

    Starting from a fitted head keeps the first gradients from distorting the pre-trained features
    (Kumar et al., "Fine-Tuning can Distort Pretrained Features", arXiv 2202.10054). The weights
    kept are those with the lowest validation loss, including the initial ones.
    """
    split = _fit_head(net, rows, task, options)
    return _optimise(net, rows, task, options, split, _groups_at_once(net, options))


def fit_gradual(
    net: TaskNet, rows: LabelledRows, task: Task, options: FinetuningOptions
) -> History:
    """As `fit_full`, but the encoder is unfrozen part by part, the last part first.

    Gradual unfreezing (Howard and Ruder, "ULMFiT", arXiv 1801.06146, section 3.3).
    """
    split = _fit_head(net, rows, task, options)
    return _optimise(net, rows, task, options, split, _groups_one_by_one(net, options))


FIT_MODES: dict[str, Callable[[TaskNet, LabelledRows, Task, FinetuningOptions], History]] = {
    "frozen": fit_frozen,
    "full": fit_full,
    "gradual": fit_gradual,
}


def continue_training(
    net: TaskNet, rows: LabelledRows, task: Task, options: FinetuningOptions
) -> History:
    """Continue training a fitted network from its weights."""
    split = _validation_split(rows, task, options)
    return _optimise(net, rows, task, options, split, _groups_at_once(net, options))


def _fit_head(
    net: TaskNet, rows: LabelledRows, task: Task, options: FinetuningOptions
) -> Split | None:
    """Fit the head on training rows alone: it must not have seen those that decide when to stop."""
    split = _validation_split(rows, task, options)
    fit_frozen(net, rows if split is None else rows.take(split[0]), task, options)
    return split


def _validation_split(rows: LabelledRows, task: Task, options: FinetuningOptions) -> Split | None:
    run, classes = options.run, task.classes(rows.target)
    return validation_split(rows.groups, run.validation_fraction, run.seed, classes)


def _groups_at_once(net: TaskNet, options: FinetuningOptions) -> list[dict[str, Any]]:
    encoder_lr = options.run.lr * options.encoder_lr_ratio
    return [
        *parameter_groups(net.head, options.run.lr, options.run.weight_decay),
        *parameter_groups(net.encoder, encoder_lr, options.run.weight_decay),
    ]


def _groups_one_by_one(net: TaskNet, options: FinetuningOptions) -> list[dict[str, Any]]:
    encoder_lr = options.run.lr * options.encoder_lr_ratio
    parts = [part for child in net.encoder.children() for part in _parts(child)]
    groups = parameter_groups(net.head, options.run.lr, options.run.weight_decay)
    for depth, part in enumerate(reversed(parts)):
        start = GRADUAL_END * (depth + 1) / len(parts)
        groups += [
            {**group, "unfreeze_at": start}
            for group in parameter_groups(part, encoder_lr, options.run.weight_decay)
        ]
    return groups


def _parts(module: nn.Module) -> list[nn.Module]:
    """Split a module into its children, and sequences and lists into theirs, in order."""
    parts: list[nn.Module] = []
    direct = list(module.parameters(recurse=False))
    if direct:
        parts.append(nn.ParameterList(direct))
    for child in module.children():
        is_container = isinstance(child, (nn.Sequential, nn.ModuleList))
        parts += _parts(child) if is_container else [child]
    return [part for part in parts if any(True for _ in part.parameters())]


class _TaskObjective(nn.Module):
    """The weighted mean loss of a batch."""

    def __init__(self, net: TaskNet, task: Task, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.net = net
        self.task = task
        self.autocast = autocast

    def forward(self, batch: Batch) -> Terms:
        enabled = self.autocast is not None
        device_type = batch["weight"].device.type
        with torch.autocast(device_type, dtype=self.autocast, enabled=enabled):
            outputs = self.net(batch["numeric"], batch["codes"], batch["columns"])
        losses = self.task.row_losses(outputs.float(), batch["target"])
        return {"task": (losses * batch["weight"]).sum() / batch["weight"].sum()}


class _TaskBatches:
    """Batches of labelled rows of nearly equal size, reshuffled each epoch."""

    def __init__(
        self, rows: LabelledRows, batch_size: int, seed: int, device: torch.device
    ) -> None:
        self.rows = rows
        self.seed = seed
        self.device = device
        self.epoch = 0
        self.n_batches = -(-len(rows) // batch_size)

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.rows))
        self.epoch += 1
        for index in np.array_split(order, self.n_batches):
            yield self.batch(index)

    def batch(self, index: np.ndarray) -> Batch:
        """Gather the rows of an index array."""
        part = self.rows.take(index)
        arrays = {
            "numeric": part.table.numeric,
            "codes": part.table.codes,
            "columns": part.columns,
            "target": part.target,
            "weight": part.weight,
        }
        tensors = {name: torch.from_numpy(a).to(self.device) for name, a in arrays.items()}
        return {"size": len(index), **tensors}


class _OrderedTaskBatches(_TaskBatches):
    """The same rows in the same batches each time, for validation."""

    def __iter__(self) -> Iterator[Batch]:
        for index in np.array_split(np.arange(len(self.rows)), self.n_batches):
            yield self.batch(index)


def _optimise(
    net: TaskNet,
    rows: LabelledRows,
    task: Task,
    options: FinetuningOptions,
    split: Split | None,
    groups: list[dict[str, Any]],
) -> History:
    train, valid = split if split is not None else (np.arange(len(rows)), None)
    if len(train) < 2:
        return []  # batch statistics need two rows; the fitted head is kept
    judged = rows.take(train if valid is None else valid)
    began = time.monotonic()
    attempt = partial(_attempt, net, rows, task, options, (train, valid), groups, began)

    def loss_of_net() -> float:
        outputs = apply_to_table(net.cpu().eval(), judged.table, judged.columns, device=CPU)
        return _mean_loss(torch.from_numpy(outputs), judged, task)

    # Zeros are even probabilities, or the mean target.
    constant_loss = _mean_loss(torch.zeros(len(judged), task.n_outputs), judged, task)
    return train_without_diverging(net, attempt, loss_of_net, constant_loss)


def _mean_loss(outputs: Tensor, rows: LabelledRows, task: Task) -> float:
    losses = task.row_losses(outputs, torch.from_numpy(rows.target)).numpy()
    return float(np.average(losses, weights=rows.weight))


def _in_time_left(run: RunOptions, spent: float) -> RunOptions:
    """Subtract the time of earlier attempts from the limit; a moment always remains."""
    if run.time_limit is None:
        return run
    return replace(run, time_limit=max(run.time_limit - spent, MIN_SECONDS))


def _attempt(
    net: TaskNet,
    rows: LabelledRows,
    task: Task,
    options: FinetuningOptions,
    split: tuple[np.ndarray, np.ndarray | None],
    groups: list[dict[str, Any]],
    began: float,
    factor: float,
) -> History:
    """Train at a share of the learning rate, in the remaining time."""
    train, valid = split
    groups = [{**group, "max_lr": factor * group["max_lr"]} for group in groups]
    run = _in_time_left(options.run, time.monotonic() - began if factor < 1.0 else 0.0)
    validation = None
    if valid is not None:
        validation = _OrderedTaskBatches(rows.take(valid), run.batch_size, run.seed, run.device)
    with single_thread():
        history = optimise(
            _TaskObjective(net.to(run.device), task, options.autocast),
            stage="fine-tuning",
            weights={"task": 1.0},
            parameter_groups=groups,
            train_batches=_TaskBatches(rows.take(train), run.batch_size, run.seed, run.device),
            valid_batches=validation,
            options=run,
            identity=(
                (rows.table.numeric, rows.table.codes, rows.columns, rows.target, rows.weight),
                rows.groups,
                (type(task).__name__, vars(task), str(options.autocast)),
                [(group["max_lr"], group.get("unfreeze_at")) for group in groups],
            ),
            patience=options.patience,
        )
    net.cpu().eval()
    return history
