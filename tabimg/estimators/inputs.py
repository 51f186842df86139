"""What a user hands in, taken apart: the table, the image cells, the groups."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import _num_samples, validate_data

from tabimg.estimators.containers import as_container, as_image_cells, cells_of
from tabimg.image.cells import is_blank
from tabimg.image.row_names import RowNames
from tabimg.messages import bounded_errors, listing, shorten
from tabimg.table import ColumnKind, RawColumn, looks_like_file_paths, read_columns
from tabimg.table.columns import describe
from tabimg.table.frames import not_two_dimensional
from tabimg.table.objects import missing_cells
from tabimg.table.schema import first_misfit

HEAD_ROWS = 100
MOST_COLUMNS = 20
# What the frame of `Unlabeled` is called in messages.
UNLABELED = "unlabeled"
# What messages about columns call the two frames of a fit.
UNLABELED_NAMES = ("X", "the unlabeled rows")


class Unlabeled:
    """Extra rows, with photos, that have no target: for pre-training and distillation.

    Parameters
    ----------
    frame : DataFrame or array of shape (n_rows, n_columns), or mapping of cohort name to DataFrame
        With the columns of the labelled frame, the image columns included. Further columns, such
        as a target that is not to be used, are ignored. Of another cohort, which CITab takes, all
        columns are read: leave its target out.
    image_paths : sequence of length n_rows, optional
        The photos, where they are not a column of the frame.

    Notes
    -----
    It has neither a length nor a shape on purpose: scikit-learn would cut it up with the folds
    whenever its length happened to equal that of ``X``.

    Examples
    --------
    >>> clf.fit(df, y, unlabeled=Unlabeled(more_pairs))  # doctest: +SKIP
    """

    def __init__(self, frame: Any, image_paths: Sequence[Any] | None = None) -> None:
        self.frame = as_container(frame, "the frame of unlabeled rows")
        self.image_paths = as_image_cells(self.frame, image_paths)

    def __repr__(self) -> str:
        return f"Unlabeled({type(self.frame).__name__} of shape {np.shape(self.frame)})"


@dataclass(frozen=True)
class Inputs:
    """A frame taken apart.

    Parameters
    ----------
    table : DataFrame or array
        Without image and group columns.
    image_cells : list of sequences, or None
        One sequence of cells per image column; None where there is none.
    groups : object array of shape (n_rows,)
        Names of the groups; None for a row without one.
    row_names : RowNames
        What the rows are called in messages.
    """

    table: Any
    image_cells: list[Sequence[Any]] | None
    groups: np.ndarray
    row_names: RowNames

    @property
    def has_photos(self) -> bool:
        """Whether there is an image cell that is not blank."""
        cells = (cell for column in self.image_cells or [] for cell in column)
        return any(not is_blank(cell) for cell in cells)


def is_frame(X: Any) -> bool:
    """Tell a frame with named columns from an array.

    Raises
    ------
    TypeError
        If it is a lazy frame: to ask one for its columns may mean to compute it.
    """
    if hasattr(type(X), "collect") and isinstance(
        nw.from_native(X, pass_through=True), nw.LazyFrame
    ):
        raise TypeError(
            f"X is a lazy frame ({type(X).__module__}), which holds no rows yet: collect it first, "
            "X.collect()"
        )
    return hasattr(X, "columns") and not isinstance(X, pd.Series)


def column_names(table: Any) -> list[Any]:
    """List a frame's column labels, or an array's positions."""
    return list(table.columns) if is_frame(table) else list(range(np.shape(table)[1]))


def as_column_list(columns: Any) -> list[Hashable]:
    """Make a list of an ``image_column=`` parameter: None, one column, or several."""
    if isinstance(columns, np.ndarray):
        return np.atleast_1d(columns).tolist()
    if isinstance(columns, list):
        return columns
    if hasattr(columns, "to_list") or hasattr(columns, "to_pylist"):  # a Series, Index or column
        return cells_of(columns)
    # A tuple is a label: that of a column under several headers.
    return [] if columns is None else [columns]


def take_apart(
    X: Any,
    image_column: Hashable | Sequence[Hashable] | None,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None = None,
    frame: str = "X",
) -> Inputs:
    """Split image and group columns off; either may be absent.

    Parameters
    ----------
    X, image_column, group_column, image_paths
        As given to `fit`.
    frame : str, default="X"
        What X is called in messages.

    Raises
    ------
    ValueError
        If photos come both as a column and as ``image_paths``, or the lengths differ.
    TypeError
        If the frame is a lazy one, or the path of a file.
    """
    X = as_container(X, frame)
    if not is_frame(X):
        X = _as_array(X, frame)
    image_columns = as_column_list(image_column)
    present = [c for c in image_columns if is_frame(X) and c in list(X.columns)]
    if present and image_paths is not None:
        raise ValueError(
            f"photos are given twice: in the column {shorten(present[0])} and as image_paths; give "
            "one"
        )
    cells: list[Sequence[Any]] | None = None
    if present:
        cells = [column_values(X, name) for name in present]
    elif image_paths is not None:
        cells = [as_image_cells(X, image_paths) or []]
    n_rows = _num_samples(X)
    groups = np.full(n_rows, None, dtype=object)
    extra = list(present)
    if group_column is not None and is_frame(X) and group_column in list(X.columns):
        groups[:] = column_values(X, group_column)
        extra.append(group_column)
    labels = X.index if isinstance(X, pd.DataFrame) else None
    row_names = RowNames.of(n_rows, frame, labels)
    return Inputs(without_columns(X, extra), cells, groups, row_names)


def group_ids(parts: Sequence[Inputs]) -> np.ndarray:
    """Number the groups over all parts; -1 for a row without one; int64 array."""
    names = np.concatenate([part.groups for part in parts])
    return pd.factorize(names)[0].astype(np.int64)


def require_columns(X: Any, columns: Sequence[Hashable], parameter: str, frame: str = "X") -> None:
    """Check that declared columns are in the frame, which messages call ``frame``.

    Raises
    ------
    ValueError
        Naming the parameter, the missing column and the nearest existing ones.
    """
    if not is_frame(X):
        if columns:
            raise ValueError(
                f"{parameter}={shorten(columns[0])} names a column, but {frame} is a bare "
                f"{type(X).__name__}: give a DataFrame, or the photos as fit(X, image_paths=...)"
            )
        return
    names = list(X.columns)
    for column in columns:
        if column not in names:
            raise ValueError(
                f"{parameter}={shorten(column)} is not a column of {frame}; its columns are "
                f"{listing(names, MOST_COLUMNS)}.{_meant(column, names)}"
            )


def _meant(column: Hashable, names: Sequence[Hashable]) -> str:
    """Guess which columns a wrong label means."""
    if isinstance(column, tuple) and all(part in names for part in column):
        return f" A tuple is one label: several columns are a list, [{listing(column)}]."
    # Under several headers a label is a tuple.
    near: list[Hashable] = [name for name in names if isinstance(name, tuple) and column in name]
    near = near or list(difflib.get_close_matches(str(column), [str(n) for n in names], n=3))
    return f" Did you mean {' or '.join(map(shorten, near[:3]))}?" if near else ""


def check_table(estimator: Any, table: Any, *, reset: bool) -> Any:
    """Check shape and feature names of the table as scikit-learn does; return what to encode.

    Cells are not looked at here: the codec reports what it cannot encode.
    """
    with bounded_errors():
        if is_frame(table):
            check_frame(estimator, table)
        else:
            table = check_array(
                table, dtype=None, ensure_all_finite=False, estimator=estimator, input_name="X"
            )
        validate_data(estimator, table, reset=reset, skip_check_array=True)
    return table


def check_fit_rows(estimator: Any, n_rows: int) -> None:
    """Raise a ValueError for a single training row."""
    if n_rows < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs at least 2 rows to fit, got n_samples = {n_rows}"
        )


def reject_paths_as_target(y: Any) -> None:
    """Raise a ValueError for a target that looks like file paths.

    scikit-learn hands the second positional argument of ``fit`` on as ``y``.
    """
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if (
        values.ndim == 1
        and values.dtype.kind in "OUS"
        and looks_like_file_paths(values[:HEAD_ROWS])
    ):
        raise ValueError(
            "y looks like file paths. Photos are given as a column, image_column=..., or by name: "
            "fit(X, image_paths=...)"
        )


def reject_missing_target(y: Any) -> None:
    """Raise a ValueError for a training target with missing values."""
    refuse_missing_target(
        y,
        "leave them out, or let them take part in pre-training: fit(..., "
        "unlabeled=Unlabeled(frame))",
    )


def refuse_missing_target(y: Any, remedy: str) -> None:
    """Raise a ValueError for a target, as `as_target` gives it, with missing values."""
    missing = missing_cells("y", np.atleast_1d(np.asarray(y)))
    if missing.any():
        rows = np.flatnonzero(missing.any(axis=tuple(range(1, missing.ndim))))
        raise ValueError(
            f"Input y contains NaN: {len(rows)} of {len(missing)} rows have no target, the first "
            f"is row {rows[0]}: {remedy}"
        )


def stack_tables(first: Any, second: Any) -> Any:
    """Put the rows of two tables of the same kind and columns below each other.

    Raises
    ------
    ValueError
        If they are of different types, columns are missing from the second, or a column holds
        another kind of cells there.
    """
    _check_one_container(first, second, UNLABELED_NAMES)
    if is_frame(first):
        require_columns(second, list(first.columns), "the unlabeled rows' column")
    return stack_known_columns(first, second)


def stack_known_columns(first: Any, second: Any, names: tuple[str, str] = UNLABELED_NAMES) -> Any:
    """Put the rows of two tables below each other, in the columns of the first.

    Columns that the second lacks are missing there; others that it has are left out.

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
    # The library's own relaxed form: whole numbers meet fractions, and categories meet text.
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
    """Put together, numbers and text would silently become categories."""
    for ours, theirs in zip(read_columns(first), _read_second(second, names[1]), strict=True):
        if ours.kind != theirs.kind and not (ours.all_missing() or theirs.all_missing()):
            # The one that is text is the one to be mended.
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


def column_values(X: Any, name: Hashable) -> list[Any]:
    """List the cells of a column; raise a ValueError where two have its name."""
    column = X[name]
    if getattr(column, "ndim", 1) != 1:
        raise ValueError(f"the frame has more than one column named {shorten(name)}")
    return cells_of(column)


def without_columns(X: Any, names: Sequence[Hashable]) -> Any:
    """Drop columns of a frame; an array has no named columns to drop."""
    if not names or not is_frame(X):
        return X
    if isinstance(X, pd.DataFrame):
        return X.drop(columns=list(names))
    return nw.from_native(X).drop(*names).to_native()


def check_frame(estimator: Any, table: Any) -> None:
    """Raise a ValueError for a frame without rows or columns, or with a name that stands twice."""
    names = list(table.columns)
    if len(set(names)) < len(names):
        twice = next(column for column in names if names.count(column) > 1)
        raise ValueError(f"the frame has more than one column named {shorten(twice)}: rename one")
    n_rows, n_columns = table.shape
    name = type(estimator).__name__
    if n_columns == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={table.shape}) while a minimum of 1 is required "
            f"by {name}: there is no column beside image and group columns"
        )
    if n_rows == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={table.shape}) while a minimum of 1 is required "
            f"by {name}."
        )


def _as_array(rows: Any, name: str) -> Any:
    """Make an array of what is no frame; sparse matrices are left for the checks to refuse."""
    if issparse(rows):
        return rows
    if isinstance(rows, Mapping):
        raise TypeError(
            f"{name} is a {type(rows).__name__}, and it takes a frame or an array of rows: pass "
            "pandas.DataFrame(X)"
        )
    array = np.asarray(rows)
    if array.ndim == 0:
        raise TypeError(
            f"Expected 2D array, got scalar array instead: {name} is {shorten(rows)}, and it takes "
            "a frame or an array of rows"
        )
    if array.ndim == 1:
        raise not_two_dimensional(array.shape)
    if array.dtype.kind == "c" and array.size:
        raise ValueError(
            f"Complex data not supported: {name} holds complex numbers, such as "
            f"{shorten(array.flat[0])} in row 0. Give their real part, or another number"
        )
    if array.dtype.kind in "US" and not isinstance(rows, np.ndarray):
        # numpy turns the numbers of a mixed list into strings; keep every cell as it is.
        return np.asarray(rows, dtype=object)
    return array
