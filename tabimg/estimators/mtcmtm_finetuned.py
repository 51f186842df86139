"""What is special about fine-tuning an MT-CMTM encoder: its columns are those of pre-training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tabimg.estimators.base_finetuned import FineTunedEstimator
from tabimg.estimators.loaded import fits_codec
from tabimg.estimators.mtcmtm_pretrainer import MultiModalPretrainer, table_recipe
from tabimg.estimators.parameters import check_positive_int
from tabimg.estimators.pretrained import check_columns_of_source
from tabimg.inputs.categorical import declares_categories, find_categorical
from tabimg.inputs.frames import column_names, is_frame
from tabimg.inputs.hints import warn_of_codes
from tabimg.messages import listing
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.architectures import TABULAR_ENCODERS, TableRecipe, check_encoder
from tabimg.training.inference import apply_to_table
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

    def _check_categorical(self, source: Any, table: Any) -> None:
        """Refuse another word than that of a pretrainer, whose columns count."""
        columns = column_names(table)
        own = find_categorical(self.categorical_features, columns)
        if source is None or not declares_categories(self.categorical_features):
            return
        if source is self.pretrainer and not declares_categories(source.categorical_features):
            return  # ours is handed down
        names = list(getattr(source, "feature_names_in_", columns))
        if set(own) != set(find_categorical(source.categorical_features, names)):
            raise ValueError(
                f"categorical_features names the columns {listing(own) or 'none'}, but the "
                "pretrainer decides what columns are: give it the same ones, "
                "MultiModalPretrainer(categorical_features=...), or leave it to the pretrainer"
            )

    def _make_codec(self, table: Any) -> TableCodec:
        if self.pretrainer_ is not None:
            return self.pretrainer_.codec_
        categorical = find_categorical(self.categorical_features, column_names(table))
        warn_of_codes(table, categorical)
        return TableCodec().fit(table, categorical)

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

    def _check_loaded(self) -> None:
        if self.pretrainer_ is not None and not fits_codec(self.pretrainer_.network_, self.codec_):
            raise ValueError("the pretrainer is of other columns")
        super()._check_loaded()
