"""The whole CITab network: cell tokens, transformer, photos, fusion, and their heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tabimg.nn.cell_tokens import CellTokens, ColumnLayout, pad_tokens
from tabimg.nn.dual_encoder import DualEncoder, required
from tabimg.nn.fusion import FusionEncoder, image_tokens
from tabimg.nn.locked import LockedEncoder
from tabimg.nn.masked_values import MaskedValueHead
from tabimg.nn.tabular_transformer import TabularTransformer


class CITabNet(DualEncoder):
    """Hold the networks of one pre-training over cohorts, and route each modality.

    No weight belongs to a column or a cohort: all that is known about these are the vectors of the
    layouts, which are not in the state dict.

    Parameters
    ----------
    cells : CellTokens
    transformer : TabularTransformer
    layouts : sequence of ColumnLayout
        One per cohort.
    image_encoder : torch.nn.Module or None, default=None
        With a method ``feature_map(pixels) -> (B, C, H, W)``, its positions are the image tokens;
        otherwise it maps pixels to embeddings (B, C), one token each.
    projections : mapping of str to torch.nn.Module, default=None
        Heads of the contrastive loss under the keys ``"table"`` and ``"image"``.
    fusion : FusionEncoder or None, default=None
    matching_head : torch.nn.Module or None, default=None
        Maps the fused CLS token (B, D) to logits (B, 2).
    value_head : MaskedValueHead or None, default=None

    Raises
    ------
    ValueError
        If ``projections`` has another key.
    """

    def __init__(
        self,
        cells: CellTokens,
        transformer: TabularTransformer,
        layouts: Sequence[ColumnLayout],
        image_encoder: nn.Module | None = None,
        projections: Mapping[str, nn.Module] | None = None,
        fusion: FusionEncoder | None = None,
        matching_head: nn.Module | None = None,
        value_head: MaskedValueHead | None = None,
    ) -> None:
        super().__init__()
        self.cells = cells
        self.transformer = transformer
        self.layouts = nn.ModuleList(layouts)
        self._set_photo_side(image_encoder, projections)
        self.fusion = fusion
        self.matching_head = matching_head
        self.value_head = value_head

    def forward(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """Embed rows of the only cohort: the CLS token, (B, D)."""
        (layout,) = self.layouts
        return self.encode(numeric, codes, layout)[0][:, 0]

    def encode(self, numeric: Tensor, codes: Tensor, layout: Any) -> tuple[Tensor, Tensor]:
        """Encode rows of one cohort, whether or not it is among the network's own.

        Parameters
        ----------
        numeric : tensor of float, shape (B, p)
        codes : tensor of int64, shape (B, q)
        layout : ColumnLayout

        Returns
        -------
        tokens : tensor of float, shape (B, 1 + p + q, D)
        present : tensor of bool, shape (B, p + q)
        """
        tokens, present = self.cells(numeric, codes, layout)
        return self.transformer(tokens, present), present

    def encode_rows(self, numeric: Tensor, codes: Tensor, cohorts: Tensor) -> tuple[Tensor, Tensor]:
        """Encode rows of several cohorts.

        Parameters
        ----------
        numeric : tensor of float, shape (B, P)
        codes : tensor of int64, shape (B, Q)
            Each row's own cells first, as in `tabimg.table.CohortTable`.
        cohorts : tensor of int64, shape (B,)
            Position of each row's layout.

        Returns
        -------
        tokens : tensor of float, shape (B, 1 + T, D)
            CLS, then the cells, padded to the widest cohort in the batch.
        present : tensor of bool, shape (B, T)
        """
        order = torch.argsort(cohorts, stable=True)
        parts = []
        for number in cohorts.unique().tolist():
            rows = torch.nonzero(cohorts == number).squeeze(1)
            layout = self.layouts[number]
            width, n_codes = layout.n_numeric, len(layout.n_categories)
            parts.append(self.cells(numeric[rows, :width], codes[rows, :n_codes], layout))
        tokens, present = pad_tokens(parts)
        back = torch.argsort(order)
        tokens, present = tokens[back], present[back]
        return self.transformer(tokens, present), present

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """Encode images as tokens (B, S, C).

        Parameters
        ----------
        pixels : tensor of float
            Images (B, 3, H, W), embedding vectors (B, C), or features (B, S, C) of a locked
            encoder.
        """
        if isinstance(self.image_encoder, LockedEncoder):
            return self.image_encoder.tokens(pixels)
        feature_map: Any = getattr(self.image_encoder, "feature_map", None)
        if pixels.ndim == 4 and feature_map is not None:
            return image_tokens(feature_map(pixels))
        return super().embed_image(pixels).unsqueeze(1)

    def embed_image(self, pixels: Tensor) -> Tensor:
        """Embed images as the mean of their tokens, (B, C)."""
        return self.image_tokens(pixels).mean(dim=1)

    def fuse(self, tokens: Tensor, present: Tensor, image_tokens: Tensor) -> Tensor:
        """Fuse encoded rows (B, 1 + T, D) with image tokens (B, S, C): the fused CLS, (B, D)."""
        return required(self.fusion, "a fusion encoder")(tokens, present, image_tokens)

    def matching_logits(self, fused: Tensor) -> Tensor:
        """Classify pairs as mismatched or matched from the fused CLS (B, D): logits (B, 2)."""
        return required(self.matching_head, "a matching head")(fused)

    def predict_cells(self, tokens: Tensor, cohort: int) -> tuple[Tensor, list[Tensor]]:
        """Predict all cells of encoded rows (B, 1 + T, D) of one cohort, see `MaskedValueHead`."""
        head = required(self.value_head, "a head that predicts cells")
        layout: Any = self.layouts[cohort]
        return head(tokens[:, 1 : 1 + len(layout.headers)], layout)

    def drop_image(self) -> None:
        """Drop all parts that see photos: encoder, projection heads, fusion and matching."""
        super().drop_image()
        self.fusion = self.matching_head = None
