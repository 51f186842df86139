"""The views of labelled rows that the members of a blend learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tabimg.table import EncodedTable

COLUMNS, EMBEDDING, PHOTOS = "columns", "embedding", "photos"


@dataclass(frozen=True, eq=False)
class Views:
    """Some rows, as networks see them and as plain features.

    Parameters
    ----------
    table : EncodedTable of n_rows rows
    columns : float32 array of shape (n_rows, n_columns)
        The encoded columns as one matrix.
    embedding : float32 array of shape (n_rows, embedding_dim)
        Under the fixed pre-trained encoder; without one embedding_dim is 0.
    photos : float32 array of shape (n_rows, n_photo_features)
        Under the fixed image encoder, NaN in rows without a photo; n_photo_features is 0 where
        photos have no say. Only fitting sees them.
    """

    table: EncodedTable
    columns: np.ndarray
    embedding: np.ndarray
    photos: np.ndarray

    def __len__(self) -> int:
        return len(self.table)

    def take(self, index: np.ndarray) -> Views:
        """Give the rows of an index array."""
        return Views(
            self.table.take(index),
            self.columns[index],
            self.embedding[index],
            self.photos[index],
        )

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """Put views side by side, float32 (n_rows, n_features)."""
        return np.hstack([getattr(self, name) for name in names])

    def has_photo(self) -> np.ndarray:
        """Say which rows have a photo, bool (n_rows,)."""
        if self.photos.shape[1] == 0:
            return np.zeros(len(self), dtype=bool)
        return ~np.isnan(self.photos[:, 0])


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows with their target.

    Parameters
    ----------
    views : Views of n_rows rows
    target : int64 array (n_rows,) of class numbers, or float32 array (n_rows, n_outputs)
    weight : float32 array of shape (n_rows,), positive
    groups : int array of shape (n_rows,)
        Rows of one group never stand on both sides of a split.
    """

    views: Views
    target: np.ndarray
    weight: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.views)

    @property
    def table(self) -> EncodedTable:
        """The encoded cells."""
        return self.views.table

    @property
    def columns(self) -> np.ndarray:
        """The encoded columns as one matrix."""
        return self.views.columns

    def take(self, index: np.ndarray) -> LabelledRows:
        """Give the rows of an index array."""
        return LabelledRows(
            self.views.take(index), self.target[index], self.weight[index], self.groups[index]
        )
