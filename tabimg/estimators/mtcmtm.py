"""What is special about fine-tuning an MT-CMTM encoder: its columns are those of pre-training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tabimg.estimators.finetuned import FineTunedEstimator
from tabimg.estimators.inputs import is_frame
from tabimg.estimators.parameters import check_positive_int
from tabimg.estimators.pretrainer import MultiModalPretrainer, table_recipe
from tabimg.estimators.source import check_columns_of_source
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.inference import apply_to_table
from tabimg.training.recipes import TABULAR_ENCODERS, TableRecipe, check_encoder
from tabimg.training.runtime import resolve_device


class MTCMTMFineTuned(FineTunedEstimator):
    """Fine-tunes the encoder of a `MultiModalPretrainer`, or a new one of its kind."""

    pretrainer_class = MultiModalPretrainer

    def __init__(
        self,
        *,
        tabular_encoder: str | Callable[[], torch.nn.Module],
        embedding_dim: int,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.tabular_encoder = tabular_encoder
        self.embedding_dim = embedding_dim

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_encoder("tabular_encoder", self.tabular_encoder, TABULAR_ENCODERS)
        check_positive_int("embedding_dim", self.embedding_dim)

    def _make_codec(self, table: Any) -> TableCodec:
        if self.pretrainer_ is None:
            return TableCodec().fit(table)
        return self.pretrainer_.codec_

    def _check_columns(self, table: Any) -> None:
        check_columns_of_source(self.pretrainer_, table)

    def _encode_table(self, table: Any) -> EncodedTable:
        """Encode a checked table, in the order of columns that the encoder was trained on."""
        names = getattr(self.pretrainer_, "feature_names_in_", None)
        if names is not None and is_frame(table) and set(names) == set(table.columns):
            table = table[list(names)]
        return self.codec_.encode(table)

    def _table_recipe(self) -> TableRecipe:
        if self.pretrainer_ is None:
            recipe = table_recipe(self.codec_, self.tabular_encoder, self.embedding_dim)
        else:
            recipe = self.pretrainer_.network_.recipe.table
        return replace(recipe, dropout=float(self.dropout))

    def _embed(self, encoded: EncodedTable) -> np.ndarray:
        device = resolve_device(self.device)
        return apply_to_table(self.pretrainer_.network_.on(device), encoded, device=device)
