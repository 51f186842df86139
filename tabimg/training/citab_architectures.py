"""Architectures of the CITab networks: plain parameters in, untrained modules out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import numpy as np
import torch
from torch import nn

from tabimg.nn.cell_tokens import CellTokens, ColumnLayout, TokenForm
from tabimg.nn.citab import CITabNet
from tabimg.nn.fusion import FusionEncoder
from tabimg.nn.masked_values import MaskedValueHead
from tabimg.nn.molin import Expert, PrototypeMixture
from tabimg.nn.tabular_transformer import TabularTransformer
from tabimg.serialization import register
from tabimg.serialization.checks import check_items, check_stored
from tabimg.training.architectures import ImageArchitecture, projection_heads
from tabimg.training.loaded_modules import check_architecture

EXPERTS = get_args(Expert)
VALUE_FORMS = get_args(TokenForm)


@dataclass(frozen=True, eq=False)
class ColumnVectors:
    """Text vectors of one table's columns.

    Parameters
    ----------
    headers : float32 array of shape (p + q, h)
    categories : tuple of q float32 arrays of shapes (n_categories, h)
    """

    headers: np.ndarray
    categories: tuple[np.ndarray, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ColumnVectors) or len(self.categories) != len(other.categories):
            return False
        ours, theirs = ((v.headers, *v.categories) for v in (self, other))
        return all(map(np.array_equal, ours, theirs))

    def __hash__(self) -> int:
        return hash((self.headers.shape, len(self.categories)))

    def build(self) -> ColumnLayout:
        """Build the layout."""
        texts = [torch.from_numpy(texts) for texts in self.categories]
        return ColumnLayout(torch.from_numpy(self.headers), texts)


@dataclass(frozen=True)
class CohortArchitecture:
    """Cell tokens and the transformer on top of them; parameters as in `CITabPretrainer`.

    Parameters
    ----------
    columns : tuple of ColumnVectors
        One per cohort.
    text_dim : int
        Width of the text vectors.
    dim, n_heads, n_layers, n_experts : int
    expert, value_form : str
    expansion : float
    """

    columns: tuple[ColumnVectors, ...]
    text_dim: int
    dim: int
    n_heads: int
    n_layers: int
    n_experts: int
    expert: Expert
    value_form: TokenForm
    expansion: float = 1.75

    def build(self) -> CITabNet:
        """Build the network of the table alone."""
        transformer = TabularTransformer(
            self.dim, self.n_heads, self.n_layers, self._feed_forward()
        )
        layouts = [columns.build() for columns in self.columns]
        return CITabNet(CellTokens(self.text_dim, self.dim, self.value_form), transformer, layouts)

    def width(self, net: CITabNet) -> int:
        """Return the width of the embedding."""
        return self.dim

    def bound_to(self, columns: ColumnVectors) -> CohortArchitecture:
        """Return the architecture of the same networks for another table."""
        return replace(self, columns=(columns,))

    def _feed_forward(self) -> Callable[[int], nn.Module]:
        return partial(
            PrototypeMixture,
            n_experts=self.n_experts,
            expansion=self.expansion,
            expert=self.expert,
        )


@dataclass(frozen=True)
class CITabArchitecture:
    """The whole pre-training network; ``image`` is None if no photos are used."""

    table: CohortArchitecture
    image: ImageArchitecture | None
    projection_dim: int
    n_fusion_layers: int
    reconstructs: bool

    def build(self) -> CITabNet:
        """Build encoders and heads."""
        table = self.table.build()
        width = self.table.dim
        value_head = MaskedValueHead(width, self.table.text_dim) if self.reconstructs else None
        if self.image is None:
            return CITabNet(table.cells, table.transformer, [*table.layouts], value_head=value_head)
        image_encoder = self.image.build()
        image_width = self.image.width(image_encoder)
        return CITabNet(
            table.cells,
            table.transformer,
            [*table.layouts],
            image_encoder,
            projection_heads(width, self.image, image_width, self.projection_dim),
            FusionEncoder(width, image_width, self.table.n_heads, self.n_fusion_layers),
            nn.Linear(width, 2),
            value_head,
        )

    def without_image(self) -> CITabArchitecture:
        """Return the architecture of what remains without the networks that see photos."""
        return replace(self, image=None)


def _check_columns(columns: ColumnVectors) -> None:
    check_stored("headers", columns.headers, "float32", (None, None))
    check_items("categories", columns.categories, tuple, np.ndarray)
    for texts in columns.categories:
        check_stored("categories", texts, "float32", (None, columns.headers.shape[1]))
    columns.build()


register(ColumnVectors, check=_check_columns)
for _architecture in (CohortArchitecture, CITabArchitecture):
    _old_name = _architecture.__name__.replace("Architecture", "Recipe")
    register(_architecture, check=check_architecture, formerly=_old_name)
