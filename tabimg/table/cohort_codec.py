"""Tables of several cohorts, each with its own columns, as rows of one encoded table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tabimg.messages import listing, shorten
from tabimg.table.categories import MISSING
from tabimg.table.codec import TableCodec
from tabimg.table.columns import RawColumn
from tabimg.table.encoded import EncodedTable
from tabimg.table.frames import read_columns

__all__ = ["CohortCodec", "CohortTable"]


@dataclass(frozen=True, eq=False)
class CohortTable:
    """Stacked rows of several cohorts, each with the cells of its own columns.

    Parameters
    ----------
    numeric : ndarray of shape (n_rows, P), dtype float32
        The row's own numeric cells first, as in `EncodedTable`, then NaN up to the widest cohort.
    codes : ndarray of shape (n_rows, Q), dtype int64
        The same for categorical cells, then the code of a missing cell.
    cohorts : ndarray of shape (n_rows,), dtype int64
        Position of the row's cohort in the codec's ``names``.
    """

    numeric: np.ndarray
    codes: np.ndarray
    cohorts: np.ndarray

    def __len__(self) -> int:
        return len(self.cohorts)

    def take(self, index: np.ndarray) -> CohortTable:
        """Return the rows at ``index`` (int positions, repeats allowed), in that order."""
        return CohortTable(self.numeric[index], self.codes[index], self.cohorts[index])

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the three arrays."""
        return self.numeric, self.codes, self.cohorts

    def row_keys(self) -> np.ndarray:
        """Number the distinct rows, int64 (n_rows,); rows of two cohorts are never equal."""
        return EncodedTable(self.numeric, np.column_stack([self.codes, self.cohorts])).row_keys()


@dataclass(frozen=True, eq=False)
class CohortCodec:
    """A codec for each cohort: its columns, scaling and categories are its own.

    Parameters
    ----------
    names : tuple of str or int
        Of the cohorts.
    codecs : tuple of TableCodec
    """

    names: tuple[str | int, ...]
    codecs: tuple[TableCodec, ...]

    @classmethod
    def fit(
        cls,
        names: Sequence[str | int],
        tables: Sequence[Any],
        categorical: Sequence[str | int] = (),
    ) -> CohortCodec:
        """Learn each cohort's columns from its own rows.

        Parameters
        ----------
        names : sequence of str or int
        tables : sequence of tables
            One per cohort, as in `TableCodec.fit`.
        categorical : sequence of str or int, default=()
            Columns that are categories in each cohort that has them.

        Raises
        ------
        TypeError, ValueError
            As `TableCodec.fit`, or a column's name occurs twice; the message names the cohort if
            there are several.
        """
        several = len(names) > 1
        return cls(
            tuple(names),
            tuple(_fit_one(n, t, categorical, several) for n, t in zip(names, tables, strict=True)),
        )

    def find(self, name: str | int) -> TableCodec | None:
        """Return the codec of a cohort; None if the cohort is unknown."""
        return self.codecs[self.names.index(name)] if name in self.names else None

    def encode(self, names: Sequence[str | int], tables: Sequence[Any]) -> CohortTable:
        """Encode tables of known cohorts and stack their rows.

        Columns may come in any order; further columns are allowed if they hold no observed cell.

        Raises
        ------
        ValueError
            If a cohort is unknown, lacks columns or has new ones, or as `TableCodec.encode`.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(
                f"the cohorts [{listing(unknown)}] are not known, only [{listing(self.names)}]"
            )
        places = [self.names.index(name) for name in names]
        several = len(self.names) > 1
        encoded = [
            _encode_one(name, self.codecs[place], table, several)
            for place, name, table in zip(places, names, tables, strict=True)
        ]
        numeric = _stacked([table.numeric for table in encoded], np.float32(np.nan))
        codes = _stacked([table.codes for table in encoded], np.int64(MISSING))
        cohorts = np.repeat(np.array(places), [len(table) for table in encoded])
        return CohortTable(numeric, codes, cohorts)


def _fit_one(
    name: str | int, table: Any, categorical: Sequence[str | int], is_named: bool
) -> TableCodec:
    try:
        codec = TableCodec().fit(table, categorical)
        require_distinct(codec.schema.names)
        return codec
    except (TypeError, ValueError) as error:
        if not is_named:
            raise
        raise type(error)(f"cohort {shorten(name)}: {error}") from error


def require_distinct(names: Sequence[str | int]) -> None:
    """Check that no column's name occurs twice."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"there is more than one column named {shorten(twice)}: rename one")


def _encode_one(name: str | int, codec: TableCodec, table: Any, is_named: bool) -> EncodedTable:
    columns = _known_columns(name, codec, table)
    try:
        return codec.encode_columns(columns)
    except (TypeError, ValueError) as error:
        if not is_named:
            raise
        raise type(error)(f"cohort {shorten(name)}: {error}") from error


def _known_columns(name: str | int, codec: TableCodec, table: Any) -> list[RawColumn]:
    columns = {column.name: column for column in read_columns(table)}
    known = codec.schema.names
    lacking = [column for column in known if column not in columns]
    new = [key for key, c in columns.items() if key not in known and not c.all_missing()]
    if lacking or new:
        raise ValueError(
            f"cohort {shorten(name)} must have the columns that it had in fit; missing: "
            f"[{listing(lacking)}], not known: [{listing(new)}]"
        )
    return [columns[column] for column in known]


def _stacked(parts: Sequence[np.ndarray], filling: Any) -> np.ndarray:
    """Stack matrices of different widths."""
    width = max(part.shape[1] for part in parts)
    whole = np.full((sum(map(len, parts)), width), filling, dtype=parts[0].dtype)
    start = 0
    for part in parts:
        whole[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return whole
