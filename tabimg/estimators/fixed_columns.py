"""The table encoder of MT-CMTM: its columns are those of pre-training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from tabimg.estimators.loaded import fits_codec
from tabimg.estimators.mtcmtm_pretrainer import MultiModalPretrainer, table_architecture
from tabimg.estimators.pretrained import check_columns_of
from tabimg.estimators.shared_parameters import check_fixed_columns
from tabimg.image import RowImages
from tabimg.inputs.categorical import declares_categories, find_categorical
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.frames import column_names, is_frame
from tabimg.inputs.hints import warn_of_codes
from tabimg.inputs.rows import Rows
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.messages import listing
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.architectures import TableArchitecture
from tabimg.training.blocks import COLUMNS, EMBEDDING, PHOTOS
from tabimg.training.inference import apply_to_table
from tabimg.training.photo_embedding import PhotoEmbedder
from tabimg.training.runtime import resolve_device


@dataclass(frozen=True, eq=False)
class FixedColumns:
    """See `tabimg.estimators.table_encoder.TableEncoder`.

    Parameters
    ----------
    codec : TableCodec
    pretrainer : MultiModalPretrainer or None
        Fitted; without one the network starts at random.
    tabular_encoder : str or callable
    embedding_dim : int
    dropout : float
        As in `tabimg.MTCMTMClassifier`.
    """

    photo_blocks: ClassVar[tuple[str, ...]] = (EMBEDDING, COLUMNS, PHOTOS)

    codec: TableCodec
    pretrainer: MultiModalPretrainer | None
    tabular_encoder: str | Callable[[], torch.nn.Module]
    embedding_dim: int
    dropout: float

    @classmethod
    def check_parameters(cls, estimator: Any) -> None:
        """Check the parameters of the encoder."""
        check_fixed_columns(estimator)

    @classmethod
    def check_frame(cls, estimator: Any, X: Any) -> None:
        """Nothing to check: parameters only name columns that are split off."""

    @classmethod
    def check_categorical(cls, estimator: Any, pretrainer: Any, table: Any) -> None:
        """Refuse categories that differ from the pretrainer's, which count."""
        columns = column_names(table)
        own = find_categorical(estimator.categorical_features, columns)
        if pretrainer is None or not declares_categories(estimator.categorical_features):
            return
        inherited = pretrainer.categorical_features
        if pretrainer is estimator.pretrainer and not declares_categories(inherited):
            return  # the pretrainer takes over the estimator's
        names = list(getattr(pretrainer, "feature_names_in_", columns))
        if set(own) != set(find_categorical(inherited, names)):
            raise ValueError(
                f"categorical_features names the columns {listing(own) or 'none'}, but the "
                "pretrainer decides, and names others: give it the same ones, "
                "MultiModalPretrainer(categorical_features=...), or set them only there"
            )

    @classmethod
    def learn(cls, estimator: Any, table: Any) -> FixedColumns:
        """Take the codec of the pretrainer, or learn one."""
        if estimator.pretrainer_ is not None:
            return cls._with_codec(estimator, estimator.pretrainer_.codec_)
        categorical = find_categorical(estimator.categorical_features, column_names(table))
        warn_of_codes(table, categorical)
        return cls._with_codec(estimator, TableCodec().fit(table, categorical))

    @classmethod
    def of(cls, estimator: Any) -> FixedColumns:
        """Return the encoder of a fitted estimator."""
        return cls._with_codec(estimator, estimator.codec_)

    @classmethod
    def _with_codec(cls, estimator: Any, codec: TableCodec) -> FixedColumns:
        return cls(
            codec,
            estimator.pretrainer_,
            estimator.tabular_encoder,
            estimator.embedding_dim,
            float(estimator.dropout),
        )

    @classmethod
    def learns_from_photos(cls, modality: str) -> bool:
        """Only on request: else no fit reads the photos again after pre-training."""
        return modality != "table"

    def learned(self) -> dict[str, Any]:
        """Return what was learned, by the names of the estimator's attributes."""
        return {"codec_": self.codec}

    def check(self, table: Any) -> None:
        """Check that a table has the columns of pre-training."""
        if self.pretrainer is not None:
            check_columns_of(self.pretrainer, table)

    def encode(self, table: Any) -> EncodedTable:
        """Encode a checked table, with columns in the order that the encoder was trained on."""
        names = getattr(self.pretrainer, "feature_names_in_", None)
        if names is not None and is_frame(table) and set(names) == set(table.columns):
            table = table[list(names)]
        return self.codec.encode(table)

    def architecture(self) -> TableArchitecture:
        """Return the architecture of the network that is fine-tuned."""
        if self.pretrainer is None:
            architecture = table_architecture(self.codec, self.tabular_encoder, self.embedding_dim)
        else:
            architecture = self.pretrainer.network_.architecture.table
        return replace(architecture, dropout=self.dropout)

    def embed(self, encoded: EncodedTable, device: str) -> np.ndarray:
        """Embed rows with the fixed pre-trained encoder, float32 (n_rows, d)."""
        assert self.pretrainer is not None
        where = resolve_device(device)
        return apply_to_table(self.pretrainer.network_.on(where), encoded, device=where)

    def embed_with_photos(
        self, encoded: EncodedTable, images: RowImages, embedder: PhotoEmbedder
    ) -> dict[str, np.ndarray]:
        """Embed rows, and their photos, each by its own fixed encoder."""
        embedding = self.embed(encoded, str(embedder.device))
        return {EMBEDDING: embedding, PHOTOS: embedder.embed(images)}

    def unlabeled_rows(
        self, declared: DeclaredColumns, given: Rows, unlabeled: Unlabeled
    ) -> Rows | None:
        """Take the unlabeled rows apart: they have the columns of the labelled ones."""
        return declared.rows_of(unlabeled.frame, unlabeled.image_paths, UNLABELED)

    def check_loaded(self) -> None:
        """Raise a ValueError if the pretrainer is for other columns than the codec."""
        if self.pretrainer is not None and not fits_codec(self.pretrainer.network_, self.codec):
            raise ValueError("the pretrainer is for other columns")
