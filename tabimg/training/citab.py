"""CITab: photos and rows of several cohorts, contrasted and matched by a fused encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tabimg.nn import gate_statistics, record_gates
from tabimg.nn.citab import CITabNet
from tabimg.nn.tabular_transformer import with_cls
from tabimg.objectives import ALONE, Gathering, InfoNCE, MaskedCellLoss
from tabimg.objectives.matching import MatchingLoss, draw_hard_negatives
from tabimg.table import CohortTable
from tabimg.table.categories import FIRST_CATEGORY, MISSING
from tabimg.training.gradients import Encoder, EncodingObjective
from tabimg.training.pretraining import autocast_photos
from tabimg.training.skorch_net import Batch, Terms

NEGATIVES = ("cohort", "batch")
ROWS_WATCHED, BLOCK_WATCHED = 4096, 512


@dataclass(frozen=True)
class CITab:
    """The method's parameters, named as in `CITabPretrainer`."""

    lambda_itc: float
    lambda_itm: float
    lambda_mtr: float
    mask_rate: float
    temperature: float
    negatives: str

    def term_weights(self) -> Mapping[str, float]:
        """Return the factor of each term."""
        return {
            "contrastive": self.lambda_itc,
            "matching": self.lambda_itm,
            "masked": self.lambda_mtr,
        }

    def cell_draw(self, table: CohortTable) -> MaskedCells:
        """Return what masks cells; if nothing restores them, it masks none."""
        return MaskedCells(self.mask_rate if self.lambda_mtr > 0 else 0.0)

    def objective(
        self, net: CITabNet, autocast: torch.dtype | None, gathering: Gathering = ALONE
    ) -> CITabObjective:
        """Make the objective of a network."""
        return CITabObjective(net, self, autocast, gathering)


@dataclass(frozen=True)
class MaskedCells:
    """Draws the cells of a batch, some of them masked like missing ones.

    Parameters
    ----------
    mask_rate : float in [0, 1)
        Probability of each observed cell.
    """

    mask_rate: float

    def __call__(self, clean: CohortTable, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Mask some cells."""
        numeric_mask = self._draw(~np.isnan(clean.numeric), rng)
        code_mask = self._draw(clean.codes >= FIRST_CATEGORY, rng)
        return {
            "numeric": np.where(numeric_mask, np.float32(np.nan), clean.numeric),
            "codes": np.where(code_mask, np.int64(MISSING), clean.codes),
            "numeric_target": clean.numeric,
            "codes_target": clean.codes,
            "numeric_mask": numeric_mask,
            "code_mask": code_mask,
            "cohorts": clean.cohorts,
            # Negatives are drawn by the network's similarities, from this seed.
            "negative_seed": rng.integers(2**62, size=1),
        }

    def _draw(self, observed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return observed & (rng.random(observed.shape) < self.mask_rate)


class CITabObjective(EncodingObjective):
    """The unweighted loss terms of a batch: contrastive, matching and masked cells.

    With several processes, rows are contrasted with the photos of all of them, and matched with
    those of their own process, as in ALBEF.
    """

    def __init__(
        self,
        net: CITabNet,
        method: CITab,
        autocast: torch.dtype | None,
        gathering: Gathering = ALONE,
    ) -> None:
        super().__init__()
        self.net = net
        self.contrastive = InfoNCE(method.temperature, gathering)
        self.matching = MatchingLoss(gathering)
        self.masked_cells = MaskedCellLoss()
        self.method = method
        self.autocast = autocast
        self.gathering = gathering

    def encoders(self) -> list[Encoder]:
        """Return the table's encoder, and the photos' if they are compared."""
        inputs = ("numeric", "codes", "cohorts")
        table = Encoder(inputs, ("tokens", "present"), self.net.encode_rows)
        photos = Encoder(("pixels",), ("photos",), self._photo_tokens)
        return [table, photos] if self.method.lambda_itc + self.method.lambda_itm > 0 else [table]

    def terms(self, encoded: dict[str, Tensor], batch: Batch) -> Terms:
        """Compute the terms from the tokens of rows and photos."""
        tokens, present = encoded["tokens"], encoded["present"]
        terms: Terms = {}
        if "photos" in encoded:
            terms |= self._paired_terms(tokens, present, encoded["photos"], batch)
        if self.method.lambda_mtr > 0:
            terms["masked"] = self._masked_term(tokens, batch)
        # A batch without photos may have no term, but needs a gradient.
        return terms or {"contrastive": 0.0 * tokens.sum()}

    def _photo_tokens(self, pixels: Tensor) -> tuple[Tensor]:
        return (autocast_photos(self.net.image_tokens, pixels, self.autocast),)

    def _paired_terms(self, tokens: Tensor, present: Tensor, photos: Tensor, batch: Batch) -> Terms:
        rows = batch["image_rows"]
        tokens, present, weight = tokens[rows], present[rows], batch["weight"][rows]
        images = self.net.project_image(photos.mean(dim=1))
        table = self.net.project_table(tokens[:, 0])
        apart = self._not_compared(batch["cohorts"][rows])
        terms = {}
        if self.method.lambda_itc > 0:
            terms["contrastive"] = self.contrastive(
                images, table, positives=batch["positives"], weight=weight, excluded=apart
            )
        if self.method.lambda_itm > 0:
            # A row of weight 0 counts as absent, and is not a negative of another row.
            excluded = self._own(batch["positives"] | apart) | (weight == 0)
            drawn = self._negatives(images, table, excluded, batch)
            terms["matching"] = self._matching_term(tokens, present, photos, weight, *drawn)
        return terms

    def _negatives(
        self, images: Tensor, table: Tensor, excluded: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            similarity = F.normalize(images, dim=1) @ F.normalize(table, dim=1).T
        generator = torch.Generator().manual_seed(int(batch["negative_seed"]))
        return draw_hard_negatives(
            similarity / self.contrastive.temperature, excluded | excluded.T, generator
        )

    def _not_compared(self, cohorts: Tensor) -> Tensor:
        """Find pairs that differ by columns or scanner alone, (B, N) with those of all."""
        other = self.gathering.gather(cohorts).unsqueeze(0) != cohorts.unsqueeze(1)
        return other if self.method.negatives == "cohort" else torch.zeros_like(other)

    def _own(self, pairs: Tensor) -> Tensor:
        """Keep the columns (B, B) of this process."""
        lengths = self.gathering.lengths(len(pairs), pairs.device)
        return pairs[:, sum(lengths[: self.gathering.rank]) :][:, : len(pairs)]

    def _matching_term(
        self,
        tokens: Tensor,
        present: Tensor,
        photos: Tensor,
        weight: Tensor,
        row_of_image: Tensor,
        image_of_row: Tensor,
    ) -> Tensor:
        """Match each photo with its own row, a wrong row, and each row with a wrong photo.

        A pair without any wrong partner does not count: it would teach that its cohort, alone in
        the batch, always matches.
        """
        itself = torch.arange(len(photos), device=photos.device)
        with_row, with_image = row_of_image >= 0, image_of_row >= 0
        rows = torch.cat([itself, row_of_image[with_row], itself[with_image]])
        images = torch.cat([itself, itself[with_row], image_of_row[with_image]])
        fused = self.net.fuse(tokens[rows], present[rows], photos[images])
        matched = torch.arange(len(rows), device=photos.device) < len(itself)
        weight = weight * (with_row | with_image)
        weights = torch.cat([weight, weight[with_row], weight[with_image]])
        return self.matching(self.net.matching_logits(fused), matched, weights)

    def _masked_term(self, tokens: Tensor, batch: Batch) -> Tensor:
        """Average over the masked cells of all cohorts."""
        losses, counts = [], []
        for cohort in batch["cohorts"].unique().tolist():
            rows = torch.nonzero(batch["cohorts"] == cohort).squeeze(1)
            numeric, logits = self.net.predict_cells(tokens[rows], cohort)
            p, q = numeric.shape[1], len(logits)
            numeric_mask = batch["numeric_mask"][rows, :p]
            code_mask = batch["code_mask"][rows, :q]
            weight = batch["weight"][rows]
            losses.append(
                self.masked_cells(
                    numeric,
                    logits,
                    batch["numeric_target"][rows, :p],
                    batch["codes_target"][rows, :q],
                    numeric_mask,
                    code_mask,
                    weight=weight,
                )
            )
            counts.append(weight @ (numeric_mask.sum(dim=1) + code_mask.sum(dim=1)).to(weight))
        count = torch.stack(counts)
        total = self.gathering.average(count.sum())
        return torch.stack(losses) @ count / torch.where(total > 0, total, torch.ones_like(total))


def expert_use(net: CITabNet, table: CohortTable) -> list[dict[str, Any]]:
    """Summarise how each block of the table encoder uses its experts.

    Parameters
    ----------
    net : CITabNet
        On the CPU, in evaluation mode.
    table : CohortTable
        Training rows; if there are many, ``ROWS_WATCHED`` evenly spread ones are used.

    Returns
    -------
    list of dict
        One per block: ``relative_entropy``, float, and ``share``, list of float; see
        `tabimg.nn.GateStatistics`. Missing cells and padding do not count.
    """
    n_rows = len(table)
    table = table.take(np.linspace(0, n_rows - 1, min(n_rows, ROWS_WATCHED)).astype(np.int64))
    gates: dict[str, list[Tensor]] = {}
    for start in range(0, len(table), BLOCK_WATCHED):
        part = table.take(np.arange(start, min(start + BLOCK_WATCHED, len(table))))
        with torch.inference_mode(), record_gates(net.transformer) as recorded:
            _, present = net.encode_rows(*map(torch.from_numpy, part.arrays()))
        for name, (own,) in recorded.items():
            gates.setdefault(name, []).append(own[with_cls(present)])
    found = [gate_statistics(torch.cat(parts)) for parts in gates.values()]
    return [
        {"relative_entropy": float(each.relative_entropy), "share": each.share.tolist()}
        for each in found
    ]
