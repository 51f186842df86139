"""The categories of one column and their codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import repeat

import numpy as np

from tabimg.messages import warn
from tabimg.table.columns import ColumnKind, RawColumn, describe

MAX_CATEGORIES = 1024
UNKNOWN = 0
MISSING = 1
FIRST_CATEGORY = 2

BOOLEAN_CATEGORIES = ("False", "True")


class Vocabulary:
    """Keys to codes: 0 = unknown, 1 = missing, 2 and up = the categories in the given order.

    Parameters
    ----------
    categories : sequence of str
        Distinct keys.
    """

    def __init__(self, categories: Sequence[str]) -> None:
        self.categories = list(categories)
        self._codes: dict[str | None, int] = {
            key: code for code, key in enumerate(self.categories, start=FIRST_CATEGORY)
        }
        self._codes[None] = MISSING

    @classmethod
    def fit(cls, column: RawColumn) -> Vocabulary:
        """Learn the categories of a column, in sorted order.

        Parameters
        ----------
        column : RawColumn
            Categorical or boolean. A boolean column always has its two categories.

        Returns
        -------
        Vocabulary

        Warns
        -----
        UserWarning
            More than ``MAX_CATEGORIES`` distinct values, with the column's name: the most frequent
            are kept (ties: the first in sorted order), the rest are unknown (code 0).
        """
        if column.kind is ColumnKind.BOOLEAN:
            return cls(BOOLEAN_CATEGORIES)
        counts = Counter(column.values.tolist())
        del counts[None]
        if len(counts) > MAX_CATEGORIES:
            warn(
                f"{describe(column.name)} has {len(counts)} categories: the {MAX_CATEGORIES} most "
                "frequent are kept, the others count as unknown. Drop the column if it is an "
                "identifier."
            )
        by_frequency = sorted(counts, key=lambda key: (-counts[key], key))
        return cls(sorted(by_frequency[:MAX_CATEGORIES]))

    @property
    def cardinality(self) -> int:
        """Number of codes, the two special ones included."""
        return len(self.categories) + FIRST_CATEGORY

    def encode(self, keys: np.ndarray) -> np.ndarray:
        """Return the codes (int64) of an object array of keys (None = missing)."""
        codes = map(self._codes.get, keys.tolist(), repeat(UNKNOWN))
        return np.fromiter(codes, dtype=np.int64, count=len(keys))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the keys (object) of codes; None for unknown and missing cells."""
        return np.array([None, None, *self.categories], dtype=object)[codes]
