"""A table as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class EncodedTable:
    """Rows of a table as the networks take them.

    Parameters
    ----------
    numeric : ndarray of shape (n_rows, p), dtype float32
        Scaled numeric and datetime cells, NaN = missing.
    codes : ndarray of shape (n_rows, q), dtype int64
        Categorical and boolean cells: 0 = unknown, 1 = missing, 2 and up = categories.

    Raises
    ------
    ValueError
        The two arrays are not 2-D or differ in rows.
    """

    numeric: np.ndarray
    codes: np.ndarray

    def __post_init__(self) -> None:
        if self.numeric.ndim != 2 or self.codes.ndim != 2:
            raise ValueError(
                f"numeric and codes must be 2-D, got shapes {self.numeric.shape} and "
                f"{self.codes.shape}."
            )
        if len(self.numeric) != len(self.codes):
            raise ValueError(
                f"numeric has {len(self.numeric)} rows, codes has {len(self.codes)}: they must "
                "describe the same rows."
            )

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, index: np.ndarray) -> EncodedTable:
        """Return the rows at ``index`` (int positions, repeats allowed), in that order."""
        rows = np.asarray(index, dtype=np.int64)
        return EncodedTable(np.take(self.numeric, rows, axis=0), np.take(self.codes, rows, axis=0))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both arrays."""
        return self.numeric, self.codes

    @staticmethod
    def concat(tables: Sequence[EncodedTable]) -> EncodedTable:
        """Stack the rows of several tables.

        Parameters
        ----------
        tables : sequence of EncodedTable
            At least one, all with the same columns.

        Raises
        ------
        ValueError
            There is no table, or the tables differ in columns.
        """
        widths = {(table.numeric.shape[1], table.codes.shape[1]) for table in tables}
        if len(widths) != 1:
            raise ValueError(
                "concat needs at least one table, all with the same columns; got (numeric, "
                f"categorical) widths {sorted(widths)}."
            )
        return EncodedTable(
            np.concatenate([table.numeric for table in tables]),
            np.concatenate([table.codes for table in tables]),
        )

    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which cells have a known value.

        Returns
        -------
        numeric_observed : ndarray of shape (n_rows, p), dtype bool
        code_observed : ndarray of shape (n_rows, q), dtype bool
            False for missing and for unknown cells.
        """
        return ~np.isnan(self.numeric), self.codes > 1

    def row_keys(self) -> np.ndarray:
        """Number the distinct rows.

        Returns
        -------
        ndarray of shape (n_rows,), dtype int64
            Two rows have the same id if and only if they are identical; missing cells are equal.
            Ids count from 0 in order of first appearance, so they compare rows of one table only.
        """
        # One bit pattern per value: NaN has many, zero has two.
        numeric = np.where(np.isnan(self.numeric), np.float32(np.nan), self.numeric + 0.0)
        packed = np.hstack(
            [
                np.ascontiguousarray(numeric, dtype=np.float32).view(np.uint8),
                np.ascontiguousarray(self.codes, dtype=np.int64).view(np.uint8),
            ]
        )
        width = packed.shape[1]
        if width == 0:
            return np.zeros(len(self), dtype=np.int64)
        data = packed.tobytes()
        first: dict[bytes, int] = {}
        ids = (
            first.setdefault(data[start : start + width], len(first))
            for start in range(0, len(data), width)
        )
        return np.fromiter(ids, dtype=np.int64, count=len(self))
