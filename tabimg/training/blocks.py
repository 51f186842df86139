"""The features of rows, in named blocks, from which the members of a blend learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tabimg.serialization.checks import check_items
from tabimg.table import EncodedTable

# The encoded columns as one matrix.
COLUMNS = "columns"
# The table's embedding by the fixed pre-trained encoder.
EMBEDDING = "embedding"
# The joint embedding of table and photo by the fixed encoders; NaN for rows without a photo.
FUSED = "fused"
# What the columns say about the photo, out of fold for rows with a photo.
IMPUTED = "imputed"
# The photo's embedding by the fixed image encoder; NaN for rows without one. Where the table alone
# predicts, only training rows have it.
PHOTOS = "photos"
BLOCKS = (COLUMNS, EMBEDDING, IMPUTED, FUSED, PHOTOS)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Some rows, as networks see them and as blocks of plain features.

    Parameters
    ----------
    table : EncodedTable of n_rows rows
    features : mapping of str to float32 array of shape (n_rows, n_features)
        By the block's name. A block that nothing could fill is absent.
    """

    table: EncodedTable
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, name: str) -> bool:
        return name in self.features

    def __getitem__(self, name: str) -> np.ndarray:
        return self.features[name]

    def having(self, **further: np.ndarray) -> Blocks:
        """Return the same rows with blocks added or replaced."""
        return replace(self, features={**self.features, **further})

    def without(self, name: str) -> Blocks:
        """Return the same rows without a block."""
        return replace(self, features={k: v for k, v in self.features.items() if k != name})

    def take(self, index: np.ndarray) -> Blocks:
        """Return the rows of an index array."""
        taken = {name: block[index] for name, block in self.features.items()}
        return Blocks(self.table.take(index), taken)

    def with_rows_of(self, others: Blocks) -> Blocks:
        """Append the rows of others, as far as both have the same blocks."""
        return Blocks(
            EncodedTable(
                np.concatenate([self.table.numeric, others.table.numeric]),
                np.concatenate([self.table.codes, others.table.codes]),
            ),
            {
                name: np.concatenate([block, others[name]])
                for name, block in self.features.items()
                if name in others
            },
        )

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """Put blocks side by side, float32 (n_rows, n_features)."""
        return np.hstack([self.features[name] for name in names])

    def has_photo(self) -> np.ndarray:
        """Return which rows have a photo, bool (n_rows,)."""
        if PHOTOS not in self:
            return np.zeros(len(self), dtype=bool)
        return ~np.isnan(self[PHOTOS][:, 0])


def check_blocks(names: Any) -> None:
    """Raise a ValueError unless a value, read from a file, is a tuple of names of blocks."""
    check_items("names", names, tuple, str)
    if not names or not set(names) <= set(BLOCKS):
        raise ValueError(f"unknown blocks: {names}")


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows with their target.

    Parameters
    ----------
    blocks : Blocks of n_rows rows
    target : int64 array (n_rows,) of class numbers, or float32 array (n_rows, n_outputs)
    weight : float32 array of shape (n_rows,), positive
    groups : int array of shape (n_rows,)
        Rows of one group are never on both sides of a split.
    """

    blocks: Blocks
    target: np.ndarray
    weight: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def table(self) -> EncodedTable:
        """The encoded cells."""
        return self.blocks.table

    @property
    def columns(self) -> np.ndarray:
        """The encoded columns as one matrix."""
        return self.blocks[COLUMNS]

    def take(self, index: np.ndarray) -> LabelledRows:
        """Return the rows of an index array."""
        return LabelledRows(
            self.blocks.take(index), self.target[index], self.weight[index], self.groups[index]
        )
