"""MT-CMTM pre-training: contrastive plus masked table modelling over paired rows."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tabimg.image import Augmentation, Augmenter, image_fingerprint
from tabimg.nn import MultiModalNet
from tabimg.objectives import InfoNCE, MaskedCellLoss
from tabimg.objectives.masked_cells import MaskLossForm
from tabimg.table import CORRUPTIONS
from tabimg.training.net import Batch, Terms
from tabimg.training.pairs import BatchBuilder, PairedRows, TrainingBatches, ValidationBatches
from tabimg.training.run import History, RunOptions, optimise, parameter_groups
from tabimg.training.runtime import resolve_autocast, seeded, single_thread
from tabimg.training.splits import related_rows, validation_split


@dataclass(frozen=True)
class PretrainingOptions:
    """Everything that shapes one pre-training run; names and meanings of `MultiModalPretrainer`."""

    lambda_c: float
    lambda_m: float
    mask_rate: float
    mask_loss: MaskLossForm
    temperature: float
    augmentation: Augmentation
    image_size: int
    precision: str
    compile: bool
    run: RunOptions
    corruption: str = "marginal"


class PretrainingObjective(nn.Module):
    """The unweighted loss terms of a batch.

    The contrastive term compares each photo with its *corrupted* row, as the masked term does;
    it is left out of batches without photos.
    """

    def __init__(
        self, net: MultiModalNet, options: PretrainingOptions, autocast: torch.dtype | None
    ) -> None:
        super().__init__()
        self.net = net
        self.contrastive = InfoNCE(options.temperature)
        self.masked_cells = MaskedCellLoss(options.mask_loss)
        self.lambda_c = options.lambda_c
        self.lambda_m = options.lambda_m
        self.autocast = autocast

    def forward(self, batch: Batch) -> Terms:
        terms = {}
        embedding = self.net.embed_table(batch["numeric"], batch["codes"])
        if self.lambda_c > 0 and "pixels" in batch:
            terms["contrastive"] = self._contrastive_term(embedding, batch)
        if self.lambda_m > 0 or not terms:
            # A batch always has a term, so that it has a gradient; its weight may be zero.
            terms["masked"] = self._masked_term(embedding, batch)
        return terms

    def _contrastive_term(self, embedding: Tensor, batch: Batch) -> Tensor:
        rows = batch["image_rows"]
        return self.contrastive(
            self.net.project_image(self._embed_image(batch["pixels"])),
            self.net.project_table(embedding[rows]),
            positives=batch["positives"],
            weight=batch["weight"][rows],
        )

    def _embed_image(self, pixels: Tensor) -> Tensor:
        if pixels.ndim == 4:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        enabled = self.autocast is not None
        with torch.autocast(pixels.device.type, dtype=self.autocast, enabled=enabled):
            return self.net.embed_image(pixels).float()

    def _masked_term(self, embedding: Tensor, batch: Batch) -> Tensor:
        numeric, logits = self.net.predict_cells(embedding)
        return self.masked_cells(
            numeric,
            logits,
            batch["numeric_target"],
            batch["codes_target"],
            batch["numeric_mask"],
            batch["code_mask"],
            weight=batch["weight"],
        )


def pretrain(net: MultiModalNet, rows: PairedRows, options: PretrainingOptions) -> History:
    """Train a network in place on paired rows; it ends with the weights to keep.

    Those are the weights with the lowest total validation loss, or the last ones where the
    validation split would hold fewer than two batches.

    Parameters
    ----------
    net : MultiModalNet
        Left on the CPU in evaluation mode.
    rows : PairedRows
    options : PretrainingOptions

    Returns
    -------
    history : list of dict
        One entry an epoch: both loss terms, unweighted and weighted, for training and validation,
        the gradient norm and the learning rate.

    Raises
    ------
    DivergenceError
        If a loss or gradient stops being finite; names epoch and term.
    """
    # The photo network profits from all threads, the table network alone loses by them.
    threads = contextlib.nullcontext() if rows.images is not None else single_thread()
    with threads, seeded(options.run.seed, options.run.device):
        history = _optimise(net, rows, options)
    net.cpu().eval()
    return history


def _optimise(net: MultiModalNet, rows: PairedRows, options: PretrainingOptions) -> History:
    run = options.run
    train, valid = _split(rows, run)
    corruption = CORRUPTIONS[options.corruption](rows.table.take(train), options.mask_rate)
    builder = BatchBuilder(rows, corruption, options.image_size, run.device)
    augmenter = Augmenter(options.augmentation, options.image_size)
    validation = None
    if valid is not None:
        validation = ValidationBatches(builder, valid, run.batch_size, run.seed)
    return optimise(
        _objective(net, options),
        stage="pre-training",
        weights={"contrastive": options.lambda_c, "masked": options.lambda_m},
        parameter_groups=parameter_groups(net, run.lr, run.weight_decay),
        train_batches=TrainingBatches(builder, train, run.batch_size, augmenter, run.seed),
        valid_batches=validation,
        options=run,
        identity=_identity(rows, options),
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


def _objective(net: MultiModalNet, options: PretrainingOptions) -> PretrainingObjective:
    device = options.run.device
    net.to(device)
    if net.image_encoder is not None and options.compile:
        net.image_encoder.compile()
    return PretrainingObjective(net, options, resolve_autocast(options.precision, device))


def _identity(rows: PairedRows, options: PretrainingOptions) -> tuple[Any, ...]:
    """Data and parameters of this run; names of photos stand for their pixels."""
    shaping = {k: v for k, v in vars(options).items() if k not in ("run", "compile")}
    photos = "" if rows.images is None else image_fingerprint(rows.images)
    table = (rows.table.numeric, rows.table.codes, rows.weight)
    return (shaping, photos, table, *_positive_ids(rows))
