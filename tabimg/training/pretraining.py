"""Pre-training on paired rows, whatever the method: split, batches, weights to keep."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tabimg.image import Augmentation, image_fingerprint
from tabimg.objectives import ALONE, Gathering
from tabimg.training.optimise import History, RunOptions, optimise, parameter_groups
from tabimg.training.pairs import (
    BatchBuilder,
    CellDraw,
    PairedRows,
    TrainingBatches,
    ValidationBatches,
)
from tabimg.training.runtime import resolve_autocast, single_thread
from tabimg.training.splits import related_rows, validation_split

# Rows of a batch in each process; an estimator's batch_size is at least as large.
MIN_SHARE = 4


class Method(Protocol):
    """What a method contributes to the run; its attributes are its parameters."""

    def term_weights(self) -> Mapping[str, float]:
        """Return the factor of each term of the objective."""

    def cell_draw(self, table: Any) -> CellDraw:
        """Learn from training rows how to make batches from rows."""

    def objective(
        self, net: Any, autocast: torch.dtype | None, gathering: Gathering = ALONE
    ) -> nn.Module:
        """Make the module that maps a batch to its unweighted terms."""


@dataclass(frozen=True)
class PretrainingOptions:
    """Everything that shapes one pre-training run, named as in the pretrainers."""

    method: Method
    augmentation: Augmentation
    image_size: int
    precision: str
    compile: bool
    run: RunOptions


def pretrain(net: Any, rows: PairedRows, options: PretrainingOptions) -> History:
    """Train a network in place on paired rows; it ends with the weights to keep.

    Those are the weights with the lowest total validation loss, or the last ones if the validation
    split would hold fewer than two batches.

    Parameters
    ----------
    net : torch.nn.Module
        With an ``image_encoder``, which may be None. Left on the CPU in evaluation mode.
    rows : PairedRows
    options : PretrainingOptions

    Returns
    -------
    history : list of dict
        One entry per epoch: the loss terms, unweighted and weighted, for training and validation,
        the gradient norm and the learning rate.

    Raises
    ------
    DivergenceError
        If a loss or gradient stops being finite; names epoch and term.
    """
    # The photo network gains from all threads; the table network alone is slower with them.
    threads = contextlib.nullcontext() if rows.images is not None else single_thread()
    with threads:
        history = _optimise(net, rows, options)
    net.cpu().eval()
    return history


def autocast_photos(network: Any, pixels: Tensor, autocast: torch.dtype | None) -> Tensor:
    """Apply an image network in the chosen precision; returns float32."""
    if pixels.ndim == 4:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    with torch.autocast(pixels.device.type, dtype=autocast, enabled=autocast is not None):
        return network(pixels).float()


def _optimise(net: Any, rows: PairedRows, options: PretrainingOptions) -> History:
    run, method = options.run, options.method
    train, valid = _split(rows, run)
    draw_cells = method.cell_draw(rows.table.take(train))
    _check_shares(rows, train, run)
    builder = BatchBuilder(rows, draw_cells, run.device, run.processes)
    validation = None
    if valid is not None:
        validation = ValidationBatches(builder, valid, run.batch_size, run.seed)
    return optimise(
        _objective(net, options),
        stage="pre-training",
        weights=method.term_weights(),
        parameter_groups=parameter_groups(net, run.lr, run.weight_decay),
        train_batches=TrainingBatches(builder, train, run.batch_size, run.seed),
        valid_batches=validation,
        options=run,
        identity=_identity(rows, options),
    )


def _check_shares(rows: PairedRows, train: np.ndarray, run: RunOptions) -> None:
    """Refuse shares of a batch that are too small for their process."""
    processes = run.processes
    n_batches = -(-len(train) // run.batch_size)
    smallest = min(processes.all_of(len(rows.share_of(train))))
    if processes.size > 1 and smallest < MIN_SHARE * n_batches:
        raise ValueError(
            f"batch_size={run.batch_size} leaves fewer than {MIN_SHARE} of {len(train)} rows per "
            f"batch to one of {processes.size} processes: a batch is shared out among them, so "
            "raise batch_size, or start fewer processes"
        )


def _split(rows: PairedRows, run: RunOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """Split off validation rows; rows that are positives of each other stay on one side."""
    related = related_rows(np.arange(len(rows)), *_positive_ids(rows))
    split = validation_split(related, run.validation_fraction, run.seed)
    if split is None or len(split[1]) < 2 * run.batch_size:
        return np.arange(len(rows)), None
    return split


def _positive_ids(rows: PairedRows) -> list[np.ndarray]:
    return [rows.row_ids, rows.group_ids, rows.linked_by_images()]


def _objective(net: Any, options: PretrainingOptions) -> nn.Module:
    device = options.run.device
    net.to(device)
    if net.image_encoder is not None and options.compile:
        _compile(net.image_encoder)
    autocast = resolve_autocast(options.precision, device)
    return options.method.objective(net, autocast, options.run.processes.gathering)


def _compile(image_encoder: Any) -> None:
    """Compile the parts of an image encoder that are called: all of it, and its feature map."""
    image_encoder.compile()
    if hasattr(image_encoder, "feature_map"):
        image_encoder.feature_map = torch.compile(image_encoder.feature_map)


def _identity(rows: PairedRows, options: PretrainingOptions) -> tuple[Any, ...]:
    """Data and parameters of this run; photos are represented by a fingerprint."""
    shaping = {k: v for k, v in vars(options).items() if k not in ("run", "compile")}
    photos = "" if rows.images is None else image_fingerprint(rows.images)
    return (shaping, photos, rows.table.arrays(), rows.weight, *_positive_ids(rows))
