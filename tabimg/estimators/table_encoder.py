"""What a fine-tuned estimator requires of its table encoder, whatever the method."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np

from tabimg.image import RowImages
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.rows import Rows
from tabimg.inputs.unlabeled import Unlabeled
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.photo_embedding import PhotoEmbedder


class TableEncoder(Protocol):
    """Turns tables into numbers, and numbers into embeddings; pre-trained or not.

    Each estimator has one: its class is a class attribute of the estimator, and what it learned are
    attributes of the estimator, named as in `learned`.
    """

    photo_blocks: ClassVar[tuple[str, ...]]
    """The blocks that models of row and photo see; the first one is from the table's encoder."""

    @property
    def pretrainer(self) -> Any:
        """The fitted pretrainer, or None."""
        ...

    @property
    def codec(self) -> TableCodec:
        """The codec of the labelled rows."""
        ...

    @classmethod
    def check_parameters(cls, estimator: Any) -> None:
        """Check the parameters of the encoder."""
        ...

    @classmethod
    def check_frame(cls, estimator: Any, X: Any) -> None:
        """Check what the parameters say about the columns of a frame."""
        ...

    @classmethod
    def check_categorical(cls, estimator: Any, pretrainer: Any, table: Any) -> None:
        """Check what ``categorical_features`` says, before anything is trained."""
        ...

    @classmethod
    def learn(cls, estimator: Any, table: Any) -> TableEncoder:
        """Learn the columns of labelled rows; the estimator's ``pretrainer_`` is set."""
        ...

    @classmethod
    def of(cls, estimator: Any) -> TableEncoder:
        """Return the encoder of a fitted estimator."""
        ...

    @classmethod
    def learns_from_photos(cls, modality: str) -> bool:
        """Return whether a fit with this ``predict_modality`` learns to predict from photos."""
        ...

    def learned(self) -> dict[str, Any]:
        """Return what was learned, by the names of the estimator's attributes."""
        ...

    def check(self, table: Any) -> None:
        """Check that the columns of a table can be encoded and embedded."""
        ...

    def encode(self, table: Any) -> EncodedTable:
        """Encode a checked table."""
        ...

    def architecture(self) -> Any:
        """Return the architecture of the network that is fine-tuned."""
        ...

    def embed(self, encoded: EncodedTable, device: str) -> np.ndarray:
        """Embed rows with the fixed pre-trained encoder, float32 (n_rows, d)."""
        ...

    def embed_with_photos(
        self, encoded: EncodedTable, images: RowImages, embedder: PhotoEmbedder
    ) -> dict[str, np.ndarray]:
        """Embed rows and their photos, float32 (n_rows, d) by block; photos NaN where absent."""
        ...

    def unlabeled_rows(
        self, declared: DeclaredColumns, given: Rows, unlabeled: Unlabeled
    ) -> Rows | None:
        """Find the unlabeled rows that have the columns of the labelled ones."""
        ...

    def check_loaded(self) -> None:
        """Raise an error if the parts, read from a file, do not fit together."""
        ...
