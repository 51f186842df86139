"""Two tables stacked: the rows of the second follow those of the first."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from tabimg.inputs.frames import is_frame, require_columns
from tabimg.inputs.unlabeled import UNLABELED_NAMES
from tabimg.messages import shorten
from tabimg.table import ColumnKind, RawColumn, read_columns
from tabimg.table.columns import describe
from tabimg.table.schema import first_misfit


def stack_tables(first: Any, second: Any) -> Any:
    """Stack two tables of the same type with the same columns.

    Raises
    ------
    ValueError
        If they are of different types, the second lacks columns, or a column holds another kind of
        cells there.
    """
    _check_one_container(first, second, UNLABELED_NAMES)
    if is_frame(first):
        require_columns(second, list(first.columns), "the unlabeled rows' column")
    return stack_known_columns(first, second)


def stack_known_columns(first: Any, second: Any, names: tuple[str, str] = UNLABELED_NAMES) -> Any:
    """Stack two tables, with the columns of the first.

    Columns that the second lacks are filled with missing cells; its further columns are left out.

    Parameters
    ----------
    first, second : DataFrame or array
    names : pair of str, default=("X", "the unlabeled rows")
        What messages call the two.

    Raises
    ------
    ValueError
        As `stack_tables`, but for missing columns of a frame.
    """
    _check_one_container(first, second, names)
    if not is_frame(first):
        if first.shape[1] != np.shape(second)[1]:
            raise ValueError(
                f"{names[0]} has {first.shape[1]} columns, {names[1]} have {np.shape(second)[1]}"
            )
        _check_equal_kinds(first, second, names)
        return np.concatenate([first, second])
    shared = [column for column in first.columns if column in list(second.columns)]
    second = second[shared]
    if shared:
        _check_equal_kinds(first[shared], second, names)
    if isinstance(first, pd.DataFrame):
        return pd.concat([first, second], ignore_index=True)
    # The library's own relaxed form: whole numbers may meet fractions, and categories text.
    return nw.get_native_namespace(first).concat([first, second], how="diagonal_relaxed")


def _check_one_container(first: Any, second: Any, names: tuple[str, str]) -> None:
    frames = is_frame(first), is_frame(second)
    pandas_frames = isinstance(first, pd.DataFrame), isinstance(second, pd.DataFrame)
    if frames[0] != frames[1] or pandas_frames[0] != pandas_frames[1]:
        raise ValueError(
            f"{' and '.join(names)} must both be frames or both be arrays, and frames of one "
            f"library; got {type(first).__name__} of {type(first).__module__} and "
            f"{type(second).__name__} of {type(second).__module__}"
        )


def _check_equal_kinds(first: Any, second: Any, names: tuple[str, str]) -> None:
    """Refuse different kinds: stacked, numbers and text would silently become categories."""
    for ours, theirs in zip(read_columns(first), _read_second(second, names[1]), strict=True):
        if ours.kind != theirs.kind and not (ours.all_missing() or theirs.all_missing()):
            # The one that is text is the one to correct.
            where, odd, kind = names[1], theirs, ours.kind
            if ours.kind is ColumnKind.CATEGORICAL:
                where, odd, kind = names[0], ours, theirs.kind
            row, cell = first_misfit(odd, kind)
            raise ValueError(
                f"{describe(ours.name)} is {ours.kind.value} in {names[0]} and {theirs.kind.value} "
                f"in {names[1]}: row {row} of {where} holds {shorten(cell)}. Set unknown cells to "
                "missing, and give the column one type in both"
            )


def _read_second(table: Any, name: str) -> list[RawColumn]:
    try:
        return read_columns(table)
    except (TypeError, ValueError) as error:
        raise type(error)(f"in {name}, {error}") from error
