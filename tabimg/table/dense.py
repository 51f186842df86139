"""An encoded table as a dense matrix, for models that take plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tabimg.table.categories import FIRST_CATEGORY, MISSING
from tabimg.table.encoded import EncodedTable


def dense_matrix(
    table: EncodedTable,
    numeric_has_missing: np.ndarray,
    cardinalities: Sequence[int],
    categorical_has_missing: np.ndarray,
) -> np.ndarray:
    """Lay an encoded table out as one matrix.

    Parameters
    ----------
    table : EncodedTable
    numeric_has_missing : ndarray of shape (p,), dtype bool
        Numeric columns that get a missing-indicator column.
    cardinalities : sequence of int, length q
        Number of codes of each categorical column.
    categorical_has_missing : ndarray of shape (q,), dtype bool
        Categorical columns that get a missing-indicator column.

    Returns
    -------
    ndarray of shape (n_rows, m), dtype float32
        The numeric columns (missing = 0), their missing indicators, then for each categorical
        column the one-hot code of its categories and its missing indicator. An unknown cell is
        all 0.
    """
    missing = np.isnan(table.numeric)
    parts = [
        np.where(missing, np.float32(0.0), table.numeric),
        missing[:, numeric_has_missing].astype(np.float32),
    ]
    for column, (cardinality, has_missing) in enumerate(
        zip(cardinalities, categorical_has_missing, strict=True)
    ):
        wanted = np.arange(FIRST_CATEGORY, cardinality)
        if has_missing:
            wanted = np.append(wanted, MISSING)
        parts.append((table.codes[:, column, None] == wanted).astype(np.float32))
    return np.hstack(parts)


def dense_names(
    numeric_names: Sequence[str | int],
    numeric_has_missing: np.ndarray,
    categorical_names: Sequence[str | int],
    categories: Sequence[Sequence[str]],
    categorical_has_missing: np.ndarray,
) -> list[str]:
    """Return the name of each column of :func:`dense_matrix`, in its order.

    ``price``, ``price is missing``, ``color=red``, ``color is missing``.
    """
    names = [str(name) for name in numeric_names]
    names += [
        f"{name} is missing"
        for name, flag in zip(numeric_names, numeric_has_missing, strict=True)
        if flag
    ]
    for name, keys, flag in zip(
        categorical_names, categories, categorical_has_missing, strict=True
    ):
        names += [f"{name}={key}" for key in keys]
        if flag:
            names.append(f"{name} is missing")
    return names
