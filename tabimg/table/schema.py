"""Which column is what: decided once on the training rows, checked on every table after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tabimg.messages import LISTED, shorten, warn
from tabimg.table.columns import ColumnKind, RawColumn, boolean_keys, describe, number_key
from tabimg.table.objects import strays
from tabimg.table.text import reads_as, remedy

__all__ = ["ColumnKind", "TableSchema"]

_FEW_CELLS = 5


@dataclass(frozen=True)
class TableSchema:
    """Names and kinds of a table's columns.

    Parameters
    ----------
    names : tuple of str or int
        Column names in order; they may repeat.
    kinds : tuple of ColumnKind
        One per column. ``EMPTY`` columns had no observed cell in the training rows and are
        ignored.
    """

    names: tuple[str | int, ...]
    kinds: tuple[ColumnKind, ...]

    @classmethod
    def fit(cls, columns: Sequence[RawColumn]) -> TableSchema:
        """Learn the schema from the training rows.

        Parameters
        ----------
        columns : sequence of RawColumn
            As read by :func:`tabimg.table.frames.read_columns`.

        Returns
        -------
        TableSchema

        Raises
        ------
        ValueError
            There is no column, no row, or no observed cell at all.

        Warns
        -----
        UserWarning
            Columns without any observed cell, by name: they are ignored from here on. A column of
            categories most of whose cells are numbers, dates or bools, with the first that is not
            one.
        """
        if not columns:
            raise ValueError("Found a table with 0 feature(s) while a minimum of 1 is required.")
        if len(columns[0]) == 0:
            raise ValueError(
                f"Found a table with 0 sample(s) (shape=(0, {len(columns)})) while a minimum of 1 "
                "is required."
            )
        names = tuple(column.name for column in columns)
        kinds = tuple(
            ColumnKind.EMPTY if column.all_missing() else column.kind for column in columns
        )
        empty = [describe(n) for n, kind in zip(names, kinds, strict=True) if kind == "empty"]
        if len(empty) == len(columns):
            raise ValueError("Every cell of the table is missing: there is nothing to learn from.")
        if empty:
            more = f" and {len(empty) - LISTED} more" if len(empty) > LISTED else ""
            warn(
                f"No observed value in {', '.join(empty[:LISTED])}{more}: ignored. Drop it, or "
                "check how the table was read."
            )
        for column in columns:
            if (looks := _looks_of_most(column)) is not None:
                warn(looks)
        return cls(names, kinds)

    def positions(self, *kinds: ColumnKind) -> np.ndarray:
        """Return the positions (int64) of the columns of the given kinds, in order."""
        return np.array([j for j, kind in enumerate(self.kinds) if kind in kinds], dtype=np.int64)

    def conform(self, columns: Sequence[RawColumn]) -> list[RawColumn]:
        """Bring the columns of another table to the fitted kinds.

        A column without an observed cell fits every kind, bools serve as numbers (0 and 1), the
        numbers 0 and 1 as bools, and numbers as categories (by their key).

        Parameters
        ----------
        columns : sequence of RawColumn

        Returns
        -------
        list of RawColumn
            One per fitted column, each of the fitted kind.

        Raises
        ------
        ValueError
            The number or the names of the columns differ, or a column is of another kind; the
            message names it and both kinds.
        """
        self.check_names([column.name for column in columns])
        return [as_kind(c, kind) for c, kind in zip(columns, self.kinds, strict=True)]

    def check_names(self, names: Sequence[str | int]) -> None:
        """Raise ValueError where the number of columns, or their names, differ from the fit's.

        Names are compared only where both tables have them (positions stand in for missing names).

        Parameters
        ----------
        names : sequence of str or int
        """
        if len(names) != len(self.names):
            raise ValueError(
                f"X has {len(names)} features, but TableSchema is expecting {len(self.names)} "
                "features as input."
            )
        for position, (got, fitted) in enumerate(zip(names, self.names, strict=True)):
            if got != fitted and isinstance(got, str) and isinstance(fitted, str):
                raise ValueError(
                    "The feature names should match those that were passed during fit, in the "
                    f"same order: {describe(got)} at position {position} was {describe(fitted)}."
                )


def as_kind(column: RawColumn, fitted: ColumnKind) -> RawColumn:
    """Bring one column to a fitted kind, as `TableSchema.conform` does.

    Raises
    ------
    ValueError
        If it is of another kind; names it and both kinds.
    """
    if column.kind is fitted:
        return column
    if fitted is ColumnKind.EMPTY or column.all_missing():
        return RawColumn(column.name, fitted, _no_values(len(column), fitted))
    convert = _CONVERSIONS.get((column.kind, fitted))
    values = None if convert is None else convert(column.values)
    if values is None:
        row, cell = first_misfit(column, fitted)
        raise ValueError(
            f"{describe(column.name)} was {fitted.value} in fit but is {column.kind.value} now: "
            f"row {row} holds {shorten(cell)}. Set unknown cells to missing, and convert the "
            f"column to the type it had in fit{_how(column.kind, fitted)}."
        )
    return RawColumn(column.name, fitted, values)


def as_categories(column: RawColumn) -> RawColumn:
    """Turn a column of numbers or bools into one of categories; equal numbers are one category.

    Raises
    ------
    ValueError
        If it holds dates.
    """
    if column.kind is ColumnKind.DATETIME:
        raise ValueError(
            f"{describe(column.name)} holds dates, which are not categories: turn them into text"
        )
    if column.all_missing() or column.kind is ColumnKind.CATEGORICAL:
        return RawColumn(column.name, column.kind, column.values)
    return as_kind(column, ColumnKind.CATEGORICAL)


def first_misfit(column: RawColumn, kind: ColumnKind) -> tuple[int, object]:
    """Find the cell that keeps a column from being of a kind.

    Parameters
    ----------
    column : RawColumn
        Of another kind, with an observed cell.
    kind : ColumnKind

    Returns
    -------
    row : int
    cell : object
        As it came, or as it was read: the first that does not fit, or the first of all if each
        would fit on its own.
    """
    if column.cells is not None and len(rows := strays(column.cells, kind)):
        return int(rows[0]), column.cells[rows[0]]
    rows = np.flatnonzero(~column.missing())
    fits = (_fits(column.values[row], column.kind, kind) for row in rows)
    row = int(next((row for row, fit in zip(rows, fits, strict=True) if not fit), rows[0]))
    return row, _readable(column.values[row], column.kind)


def _fits(value: object, now: ColumnKind, kind: ColumnKind) -> bool:
    if now.is_discrete:
        return reads_as(kind.value, str(value))
    return now is ColumnKind.NUMERIC and kind is ColumnKind.BOOLEAN and value in (0.0, 1.0)


def _readable(value: object, kind: ColumnKind) -> object:
    if kind is not ColumnKind.DATETIME:
        return value
    return np.datetime64(round(float(str(value)) * 86_400e6), "us")


def _how(now: ColumnKind, kind: ColumnKind) -> str:
    return f", {remedy(kind.value)}" if now is ColumnKind.CATEGORICAL and kind.is_continuous else ""


def _looks_of_most(column: RawColumn) -> str | None:
    """Say what a column of mixed cells looks like, apart from a few of them."""
    if column.cells is None:
        return None
    n_cells = int((~column.missing()).sum())
    for kind, noun in _NOUNS.items():
        rows = strays(column.cells, kind)
        if n_cells >= _FEW_CELLS and 0 < 2 * len(rows) < n_cells:
            return (
                f"{describe(column.name)} is used as categories, but {n_cells - len(rows)} of its "
                f"{n_cells} cells are {noun}: row {rows[0]} holds {shorten(column.cells[rows[0]])}."
                f" Set unknown cells to missing, {remedy(kind.value)}; if categories are meant, "
                "turn all cells into text."
            )
    return None


_NOUNS = {
    ColumnKind.BOOLEAN: "bools",
    ColumnKind.NUMERIC: "numbers",
    ColumnKind.DATETIME: "dates",
}


def _no_values(count: int, kind: ColumnKind) -> np.ndarray:
    if kind.is_discrete:
        return np.full(count, None, dtype=object)
    return np.full(count, np.nan)


def _keep(values: np.ndarray) -> np.ndarray:
    return values


def _keys_to_floats(keys: np.ndarray) -> np.ndarray:
    as_number = {"False": 0.0, "True": 1.0, None: np.nan}
    return np.array([as_number[key] for key in keys])


def _floats_to_boolean_keys(values: np.ndarray) -> np.ndarray | None:
    observed = ~np.isnan(values)
    if not np.isin(values[observed], (0.0, 1.0)).all():
        return None
    keys = np.full(len(values), None, dtype=object)
    keys[observed] = boolean_keys(values[observed])
    return keys


def _only_boolean_keys(keys: np.ndarray) -> np.ndarray | None:
    return keys if set(keys) <= {"False", "True", None} else None


def _floats_to_keys(values: np.ndarray) -> np.ndarray:
    observed = ~np.isnan(values)
    unique, inverse = np.unique(values[observed], return_inverse=True)
    keys = np.full(len(values), None, dtype=object)
    keys[observed] = np.array([number_key(value) for value in unique], dtype=object)[inverse]
    return keys


# (kind now, kind in fit) -> the values in the fitted kind, or None where they do not fit.
_CONVERSIONS = {
    (ColumnKind.BOOLEAN, ColumnKind.NUMERIC): _keys_to_floats,
    (ColumnKind.NUMERIC, ColumnKind.BOOLEAN): _floats_to_boolean_keys,
    (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN): _only_boolean_keys,
    (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL): _keep,
    (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL): _floats_to_keys,
}
