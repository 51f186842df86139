"""scikit-learn's checks of a table: shape, names, enough rows."""

from __future__ import annotations

from typing import Any

from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from tabimg.inputs.frames import is_frame
from tabimg.messages import bounded_errors, shorten


def check_table(estimator: Any, table: Any, *, reset: bool) -> Any:
    """Check shape and feature names of the table as scikit-learn does; return what to encode.

    Cells are not checked here: the codec reports what it cannot encode.
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


def check_frame(estimator: Any, table: Any) -> None:
    """Raise a ValueError for a frame without rows or columns, or with a name that occurs twice."""
    names = list(table.columns)
    if len(set(names)) < len(names):
        twice = next(column for column in names if names.count(column) > 1)
        raise ValueError(f"the frame has more than one column named {shorten(twice)}: rename one")
    n_rows, n_columns = table.shape
    name = type(estimator).__name__
    if n_columns == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={table.shape}) while a minimum of 1 is required "
            f"by {name}: there is no column besides image and group columns"
        )
    if n_rows == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={table.shape}) while a minimum of 1 is required "
            f"by {name}."
        )


def check_fit_rows(estimator: Any, n_rows: int) -> None:
    """Raise a ValueError for a single training row."""
    if n_rows < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs at least 2 rows to fit, got n_samples = {n_rows}"
        )
