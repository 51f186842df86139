"""The target of a study: classes or numbers, judged by its values, not by how they are stored."""

from __future__ import annotations

from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d

from tabimg.evaluation.foundation import (
    as_target,
    missing_cells,
    plain_target,
    refuse_complex_target,
    refuse_large_labels,
    reject_paths_as_target,
)
from tabimg.evaluation.metrics import TASKS
from tabimg.messages import shorten
from tabimg.table import ColumnKind, RawColumn, read_columns

# More distinct whole numbers than this may be classes or quantities: the user must say which.
MAX_OBVIOUS_CLASSES = 20
SAY_WHICH = "task='classification' or task='regression'"


def read_target(y: Any, task: str) -> tuple[np.ndarray, str]:
    """Read the target of a study, and infer its task if the user does not say it.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        An array, list, Series or column of any dtype: nullable, pyarrow-backed, categories,
        decimals and other objects.
    task : {"auto", "classification", "regression"}
        "auto" takes text, bools, categories, and up to `MAX_OBVIOUS_CLASSES` different whole
        numbers as classes, other numbers as quantities.

    Returns
    -------
    target : ndarray of shape (n_rows,)
        float64 for regression, otherwise labels of a plain dtype: whole numbers, bools or text;
        objects of other types, such as intervals, become text.
    task : {"classification", "regression"}

    Raises
    ------
    TypeError, ValueError
        For an unknown task, missing or infinite values, cells that are not scalars, dates and
        durations, numbers that are not whole as classes, text as quantities, or a target that may
        be either.
    """
    if task not in ("auto", *TASKS):
        raise ValueError(f"task must be 'auto' or one of {TASKS}, got {shorten(task)}")
    values = _one_dimensional(y)
    _reject_missing(values)
    column = _read(values)
    reject_paths_as_target(values)
    if task == "auto":
        task = _find_task(column, values, _is_category(y))
    if task == "regression":
        return _as_numbers(column, values), task
    return _as_labels(column, values), task


def _one_dimensional(y: Any) -> np.ndarray:
    values = np.asarray(as_target(y))
    refuse_complex_target(values)
    return column_or_1d(values, warn=True)


def _is_category(y: Any) -> bool:
    return isinstance(getattr(y, "dtype", None), pd.CategoricalDtype)


def _reject_missing(values: np.ndarray) -> None:
    if not len(values):
        raise ValueError("y is empty: there is no row to study")
    missing = np.flatnonzero(missing_cells("y", values))
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(values)} rows have no target, the first is row {missing[0]}: "
            "leave them out of the study, in X and y"
        )


def _read(values: np.ndarray) -> RawColumn:
    """Read the target like a column of a table."""
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        raise ValueError(f"y is infinite in row {np.flatnonzero(~np.isfinite(values))[0]}")
    if values.dtype.kind in "mM":
        raise ValueError(_DATES)
    try:
        (column,) = read_columns(pd.DataFrame({"y": pd.Series(values, dtype=values.dtype)}))
    except (TypeError, ValueError) as error:
        raise type(error)(f"y cannot be read as a target: {error}") from error
    is_duration = values.dtype == object and pd.api.types.infer_dtype(values).startswith("time")
    if column.kind is ColumnKind.DATETIME or is_duration:
        raise ValueError(_DATES)
    return column


_DATES = (
    "y holds dates or durations: turn them into numbers, such as days, or into classes, such as "
    "years"
)


def _find_task(column: RawColumn, values: np.ndarray, is_category: bool) -> str:
    if column.kind.is_discrete:
        return "classification"
    is_whole = not (column.values != np.round(column.values)).any()
    if is_category and not is_whole:
        raise ValueError(
            "y is a category of numbers that are not whole: classes are text or whole numbers, "
            f"quantities are plain numbers. Convert it, or say {SAY_WHICH}"
        )
    if not is_whole:
        return "regression"
    if is_category:
        return "classification"
    if values.dtype == object and any(isinstance(value, Decimal) for value in values):
        raise ValueError(
            "y holds decimals that are all whole: say whether they are classes or quantities, "
            f"{SAY_WHICH}"
        )
    n_values = len(np.unique(column.values))
    if n_values > MAX_OBVIOUS_CLASSES:
        raise ValueError(
            f"y holds {n_values} different whole numbers: say whether they are classes or "
            f"quantities, {SAY_WHICH}"
        )
    return "classification"


def _as_labels(column: RawColumn, values: np.ndarray) -> np.ndarray:
    if column.kind is ColumnKind.NUMERIC:
        if (column.values != np.round(column.values)).any():
            raise ValueError(
                "task='classification' needs classes, and y holds numbers that are not whole: say "
                "task='regression', or cut y into classes"
            )
        labels = plain_target(values)
        refuse_large_labels(labels)
        is_decimal = values.dtype == object and labels.dtype.kind == "f"
        # Labels of a plain dtype stay unchanged.
        return labels.astype(np.int64) if is_decimal else labels
    if values.dtype.kind in "bU":
        return values
    return values.astype(bool) if column.kind is ColumnKind.BOOLEAN else column.values


def _as_numbers(column: RawColumn, values: np.ndarray) -> np.ndarray:
    if column.kind is ColumnKind.NUMERIC:
        return column.values
    if column.kind is ColumnKind.BOOLEAN:
        return (column.values == "True").astype(np.float64)
    row = next(row for row, cell in enumerate(values) if not isinstance(cell, Number))
    raise ValueError(
        f"y must hold numbers for task='regression', and row {row} holds {shorten(values[row])}: "
        "convert it, or leave such rows out"
    )
