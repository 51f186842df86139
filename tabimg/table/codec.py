"""From a user's table to numbers and back: fitted on the training rows, applied to any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

from tabimg.table.categories import MAX_CATEGORIES, Vocabulary
from tabimg.table.columns import ColumnKind, RawColumn
from tabimg.table.dense import dense_matrix, dense_names
from tabimg.table.encoded import EncodedTable
from tabimg.table.frames import column_names, numeric_matrix, read_columns
from tabimg.table.scaling import RobustScaling
from tabimg.table.schema import TableSchema, as_categories

__all__ = ["MAX_CATEGORIES", "EncodedTable", "TableCodec"]

_CONTINUOUS = (ColumnKind.NUMERIC, ColumnKind.DATETIME)
_DISCRETE = (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)
_LARGEST_DAY = 1e8  # datetime64 in microseconds reaches a little further


class TableCodec:
    """Encode tables as scaled numbers and category codes.

    Numeric and datetime columns are scaled (:class:`~tabimg.table.scaling.RobustScaling`);
    categorical and boolean columns become codes (:class:`~tabimg.table.categories.Vocabulary`).
    Everything is learned from the rows given to :meth:`fit`. Columns without an observed cell
    there are ignored.

    Attributes
    ----------
    schema : TableSchema
        Names and kinds of all columns.
    numeric_names, categorical_names : list of str or int
        The p numeric (or datetime) and the q categorical (or boolean) columns.
    cardinalities : list of int
        Number of codes of each categorical column, unknown and missing included.
    categories : list of list of str
        The keys behind the codes 2 and up of each categorical column.
    numeric_has_missing, categorical_has_missing : ndarray of shape (p,) and (q,), dtype bool
        Whether a missing cell was seen in fit.
    medians, scales : ndarray of shape (p,), dtype float64
        Centre and scale of each numeric column, in its own unit (days for datetimes).

    Examples
    --------
    >>> from tabimg.table import TableCodec
    >>> codec = TableCodec().fit([[1.0, "red"], [3.0, "blue"], [None, "red"]])
    >>> codec.encode([[1.0, "green"], [None, "blue"]]).codes.tolist()
    [[0], [2]]
    """

    schema: TableSchema
    numeric_has_missing: np.ndarray
    categorical_has_missing: np.ndarray
    _scaling: RobustScaling
    _vocabularies: list[Vocabulary]
    _numeric_positions: np.ndarray
    _categorical_positions: np.ndarray

    def fit(self, X: Any, categorical: Sequence[str | int] = ()) -> TableCodec:
        """Learn kinds, scaling and categories from the training rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_columns)
            See :func:`tabimg.table.frames.read_columns`.
        categorical : sequence of str or int, default=()
            Names of columns that are categories even where they hold numbers.

        Returns
        -------
        TableCodec
            The codec itself.

        Raises
        ------
        TypeError, ValueError
            See :func:`~tabimg.table.frames.read_columns` and :meth:`TableSchema.fit`.

        Warns
        -----
        UserWarning
            A column without an observed cell, or with more than ``MAX_CATEGORIES`` categories.
        """
        columns = [as_categories(c) if c.name in categorical else c for c in read_columns(X)]
        self._adopt(TableSchema.fit(columns))
        matrix = _stack([columns[j] for j in self._numeric_positions], len(columns[0]))
        discrete = [columns[j] for j in self._categorical_positions]
        self.numeric_has_missing = np.isnan(matrix).any(axis=0)
        self.categorical_has_missing = np.array([c.missing().any() for c in discrete], dtype=bool)
        self._scaling = RobustScaling.fit(matrix)
        self._vocabularies = [Vocabulary.fit(column) for column in discrete]
        return self

    def _adopt(self, schema: TableSchema) -> None:
        self.schema = schema
        self._numeric_positions = schema.positions(*_CONTINUOUS)
        self._categorical_positions = schema.positions(*_DISCRETE)

    @property
    def numeric_names(self) -> list[str | int]:
        """Names of the p numeric and datetime columns."""
        return [self.schema.names[j] for j in self._numeric_positions]

    @property
    def categorical_names(self) -> list[str | int]:
        """Names of the q categorical and boolean columns."""
        return [self.schema.names[j] for j in self._categorical_positions]

    @property
    def cardinalities(self) -> list[int]:
        """Number of codes of each categorical column, unknown and missing included."""
        return [vocabulary.cardinality for vocabulary in self._vocabularies]

    @property
    def categories(self) -> list[list[str]]:
        """Keys behind the codes 2 and up of each categorical column."""
        return [list(vocabulary.categories) for vocabulary in self._vocabularies]

    @property
    def medians(self) -> np.ndarray:
        """Centre of each numeric column, in its own unit."""
        return self._scaling.medians

    @property
    def scales(self) -> np.ndarray:
        """Scale of each numeric column, in its own unit."""
        return self._scaling.scales

    def scalings(self) -> dict[str | int, tuple[float, ...]]:
        """Return what `RobustScaling` learned of each numeric column, by name."""
        scaling = self._scaling
        entries = (scaling.medians, scaling.scales, scaling.clip_means, scaling.clip_stds)
        values = np.column_stack(entries).tolist()
        return dict(zip(self.numeric_names, map(tuple, values), strict=True))

    def encode(self, X: Any) -> EncodedTable:
        """Encode a table of the fitted columns.

        Parameters
        ----------
        X : table of shape (n_rows, n_columns)

        Returns
        -------
        EncodedTable
            float32 ``numeric`` (n_rows, p) and int64 ``codes`` (n_rows, q).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            :meth:`fit` was not called.
        TypeError, ValueError
            The table cannot be read or does not fit the schema; see
            :func:`~tabimg.table.frames.read_columns` and :meth:`TableSchema.conform`.
        """
        self._check_fitted()
        matrix = self._numeric_matrix(X)
        if matrix is not None:
            no_codes = np.empty((len(matrix), 0), dtype=np.int64)
            return EncodedTable(self._scaling.transform(matrix), no_codes)
        return self.encode_columns(read_columns(X))

    def encode_columns(self, columns: Sequence[RawColumn]) -> EncodedTable:
        """Encode columns that were read already; see :meth:`encode`."""
        self._check_fitted()
        columns = self.schema.conform(columns)
        n_rows = len(columns[0])
        matrix = _stack([columns[j] for j in self._numeric_positions], n_rows)
        codes = np.empty((n_rows, len(self._vocabularies)), dtype=np.int64)
        for place, position in enumerate(self._categorical_positions):
            codes[:, place] = self._vocabularies[place].encode(columns[position].values)
        return EncodedTable(self._scaling.transform(matrix), codes)

    def _numeric_matrix(self, X: Any) -> np.ndarray | None:
        """Return the numeric columns in one go if table and schema hold nothing but numbers."""
        if len(self._categorical_positions) or ColumnKind.DATETIME in self.schema.kinds:
            return None
        matrix = numeric_matrix(X)
        if matrix is None:
            return None
        self.schema.check_names(column_names(X))
        if len(self._numeric_positions) == matrix.shape[1]:
            return matrix
        return matrix[:, self._numeric_positions]

    def decode(self, table: EncodedTable) -> pd.DataFrame:
        """Turn an encoded table back into a frame.

        Parameters
        ----------
        table : EncodedTable
            As made by :meth:`encode`, or predicted by a network.

        Returns
        -------
        pandas.DataFrame of shape (n_rows, n_columns)
            float64 for numeric columns (see :meth:`RobustScaling.inverse` for the precision),
            datetime64 (UTC, without a time zone) for datetimes, object for the others: str keys,
            True and False, None for missing and unknown cells. A column without observed cells in
            fit is all None.

        Raises
        ------
        ValueError
            The table has other columns than this codec makes.
        """
        self._check_fitted()
        self._check_widths(table)
        numbers = self._scaling.inverse(table.numeric)
        series: dict[int, Any] = {}
        for place, position in enumerate(self._numeric_positions):
            series[position] = _decode_numbers(numbers[:, place], self.schema.kinds[position])
        for place, position in enumerate(self._categorical_positions):
            keys = self._vocabularies[place].decode(table.codes[:, place])
            series[position] = _decode_keys(keys, self.schema.kinds[position])
        nothing = np.full(len(table), None, dtype=object)
        ordered = {
            position: pd.Series(values, dtype=values.dtype)
            for position in range(len(self.schema.names))
            for values in [series.get(position, nothing)]
        }
        frame = pd.DataFrame(ordered)
        frame.columns = pd.Index(self.schema.names)
        return frame

    def to_matrix(self, table: EncodedTable) -> np.ndarray:
        """Return the dense float32 matrix (n_rows, m) of :func:`tabimg.table.dense.dense_matrix`.

        Missing indicators exist for the columns in which fit saw a missing cell.
        """
        self._check_fitted()
        self._check_widths(table)
        return dense_matrix(
            table, self.numeric_has_missing, self.cardinalities, self.categorical_has_missing
        )

    def matrix_names(self) -> list[str]:
        """Return the m column names of :meth:`to_matrix`."""
        self._check_fitted()
        return dense_names(
            self.numeric_names,
            self.numeric_has_missing,
            self.categorical_names,
            self.categories,
            self.categorical_has_missing,
        )

    def to_state(self) -> dict[str, Any]:
        """Return everything learned, as plain JSON values and numpy arrays."""
        self._check_fitted()
        return {
            "names": list(self.schema.names),
            "kinds": [kind.value for kind in self.schema.kinds],
            "categories": self.categories,
            "numeric_has_missing": self.numeric_has_missing,
            "categorical_has_missing": self.categorical_has_missing,
            "medians": self._scaling.medians,
            "scales": self._scaling.scales,
            "clip_means": self._scaling.clip_means,
            "clip_stds": self._scaling.clip_stds,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TableCodec:
        """Rebuild a codec from :meth:`to_state`.

        Parameters
        ----------
        state : dict
            Arrays may come back as lists.

        Returns
        -------
        TableCodec

        Raises
        ------
        ValueError
            Entries are missing; the message lists them.
        """
        entries = ("medians", "scales", "clip_means", "clip_stds")
        flags = ("numeric_has_missing", "categorical_has_missing")
        absent = {"names", "kinds", "categories", *entries, *flags} - set(state)
        if absent:
            raise ValueError(f"The saved table codec lacks the entries {sorted(absent)}.")
        codec = cls()
        kinds = tuple(ColumnKind(kind) for kind in state["kinds"])
        codec._adopt(TableSchema(tuple(state["names"]), kinds))
        codec.numeric_has_missing = np.asarray(state["numeric_has_missing"], dtype=bool)
        codec.categorical_has_missing = np.asarray(state["categorical_has_missing"], dtype=bool)
        codec._scaling = RobustScaling(*(np.asarray(state[e], dtype=np.float64) for e in entries))
        codec._vocabularies = [Vocabulary(categories) for categories in state["categories"]]
        return codec

    def _check_fitted(self) -> None:
        if not hasattr(self, "_vocabularies"):
            raise NotFittedError("This TableCodec is not fitted yet: call fit(X) first.")

    def _check_widths(self, table: EncodedTable) -> None:
        got = (table.numeric.shape[1], table.codes.shape[1])
        expected = (len(self._numeric_positions), len(self._categorical_positions))
        if got != expected:
            raise ValueError(
                f"The encoded table has {got[0]} numeric and {got[1]} categorical columns, this "
                f"codec makes {expected[0]} and {expected[1]}."
            )


def _stack(columns: Sequence[RawColumn], n_rows: int) -> np.ndarray:
    matrix = np.empty((n_rows, len(columns)), dtype=np.float64)
    for place, column in enumerate(columns):
        matrix[:, place] = column.values
    return matrix


def _decode_numbers(values: np.ndarray, kind: ColumnKind) -> np.ndarray:
    if kind is ColumnKind.NUMERIC:
        return values
    missing = np.isnan(values)
    days = np.where(missing, 0.0, np.clip(values, -_LARGEST_DAY, _LARGEST_DAY))
    instants = np.rint(days * 86_400e6).astype(np.int64).astype("M8[us]")
    instants[missing] = np.datetime64("NaT", "us")
    return instants


def _decode_keys(keys: np.ndarray, kind: ColumnKind) -> np.ndarray:
    if kind is ColumnKind.CATEGORICAL:
        return keys
    as_bool = {"False": False, "True": True, None: None}
    return np.array([as_bool[key] for key in keys], dtype=object)
