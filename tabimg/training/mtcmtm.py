"""MT-CMTM: contrastive plus masked table modelling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tabimg.nn import MultiModalNet
from tabimg.objectives import ALONE, Gathering, InfoNCE, MaskedCellLoss
from tabimg.objectives.masked_cells import MaskLossForm
from tabimg.table import CORRUPTIONS, Corruption, EncodedTable
from tabimg.training.gradients import Encoder, EncodingObjective
from tabimg.training.pretraining import autocast_photos
from tabimg.training.skorch_net import Batch, Terms


@dataclass(frozen=True)
class MTCMTM:
    """The method's parameters, named as in `MultiModalPretrainer`."""

    lambda_c: float
    lambda_m: float
    mask_rate: float
    mask_loss: MaskLossForm
    temperature: float
    corruption: str = "marginal"

    def term_weights(self) -> Mapping[str, float]:
        """Return the factor of each term."""
        return {"contrastive": self.lambda_c, "masked": self.lambda_m}

    def cell_draw(self, table: EncodedTable) -> CorruptedCells:
        """Learn from training rows what replaces corrupted cells."""
        return CorruptedCells(CORRUPTIONS[self.corruption](table, self.mask_rate))

    def objective(
        self, net: MultiModalNet, autocast: torch.dtype | None, gathering: Gathering = ALONE
    ) -> MTCMTMObjective:
        """Make the objective of a network."""
        return MTCMTMObjective(net, self, autocast, gathering)


@dataclass(frozen=True)
class CorruptedCells:
    """Draws the cells of a batch: originals, corrupted cells and the mask."""

    corruption: Corruption

    def __call__(self, clean: EncodedTable, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Corrupt some cells of the rows."""
        corrupted = self.corruption.draw(clean, rng)
        return {
            "numeric": corrupted.table.numeric,
            "codes": corrupted.table.codes,
            "numeric_target": clean.numeric,
            "codes_target": clean.codes,
            "numeric_mask": corrupted.numeric_mask,
            "code_mask": corrupted.code_mask,
        }


class MTCMTMObjective(EncodingObjective):
    """The unweighted loss terms of a batch.

    The contrastive term compares each photo with its *corrupted* row, which the masked term also
    sees; it is left out of batches without photos.
    """

    def __init__(
        self,
        net: MultiModalNet,
        method: MTCMTM,
        autocast: torch.dtype | None,
        gathering: Gathering = ALONE,
    ) -> None:
        super().__init__()
        self.net = net
        self.contrastive = InfoNCE(method.temperature, gathering)
        self.masked_cells = MaskedCellLoss(method.mask_loss, gathering)
        self.lambda_c = method.lambda_c
        self.lambda_m = method.lambda_m
        self.autocast = autocast

    def encoders(self) -> list[Encoder]:
        """Return the table's encoder, and the photos' if they are compared."""
        table = Encoder(("numeric", "codes"), ("rows",), self._embed_table)
        photos = Encoder(("pixels",), ("photos",), self._embed_photos)
        return [table, photos] if self.lambda_c > 0 else [table]

    def terms(self, encoded: dict[str, Tensor], batch: Batch) -> Terms:
        """Compute the terms from the embeddings of rows and photos."""
        terms = {}
        embedding = encoded["rows"]
        if "photos" in encoded:
            terms["contrastive"] = self._contrastive_term(embedding, encoded["photos"], batch)
        if self.lambda_m > 0 or not terms:
            # A batch always needs a term, for its gradient; the term's weight may be zero.
            terms["masked"] = self._masked_term(embedding, batch)
        return terms

    def _embed_table(self, numeric: Tensor, codes: Tensor) -> tuple[Tensor]:
        return (self.net.embed_table(numeric, codes),)

    def _embed_photos(self, pixels: Tensor) -> tuple[Tensor]:
        return (autocast_photos(self.net.embed_image, pixels, self.autocast),)

    def _contrastive_term(self, embedding: Tensor, photos: Tensor, batch: Batch) -> Tensor:
        rows = batch["image_rows"]
        return self.contrastive(
            self.net.project_image(photos),
            self.net.project_table(embedding[rows]),
            positives=batch["positives"],
            weight=batch["weight"][rows],
        )

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
