"""The roles of a paired table's columns: checked before any file is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tabimg.datasets.assembly import PHOTO_COLUMN
from tabimg.datasets.near_names import did_you_mean
from tabimg.datasets.photo_matching import PHOTO_SUFFIXES, is_empty
from tabimg.messages import listing, shorten

HEAD_ROWS = 100
N_LISTED = 20
SEPARATORS = (";", "\t", "|")


def as_labels(columns: Any) -> list[Any]:
    """Make a list of one column label or several; a tuple is one label with several levels."""
    if isinstance(columns, np.ndarray):
        columns = np.atleast_1d(columns).tolist()
    for method in ("to_pylist", "to_list"):  # of a Series, Index or column, pyarrow's first
        if hasattr(columns, method):
            columns = getattr(columns, method)()
    labels = columns if isinstance(columns, list) else [columns]
    if not labels:
        raise ValueError("image_column is an empty list: name the columns of the photos.")
    return labels


def photo_label(frame: pd.DataFrame) -> Any:
    """Return the label of the column made from keys; it has as many levels as the others."""
    n_headers = frame.columns.nlevels
    return PHOTO_COLUMN if n_headers == 1 else (PHOTO_COLUMN, *[""] * (n_headers - 1))


def check_roles(frame: pd.DataFrame, roles: Sequence[Any], made: Any = None) -> None:
    """Check that declared columns exist exactly once and have one role each.

    Parameters
    ----------
    frame : DataFrame
    roles : sequence of column labels or None
    made : column label, optional
        Of a column that will be made, and must not exist yet.

    Raises
    ------
    ValueError
        Naming the column, and similar ones if it does not exist.
    """
    if frame.empty:
        raise ValueError(
            f"The table is empty: it has {len(frame)} rows and {frame.shape[1]} columns."
        )
    names = list(frame.columns)
    declared = [name for name in roles if name is not None]
    for name in declared:
        if name not in names:
            raise ValueError(
                f"The table has no column {shorten(name)}.{did_you_mean(name, names)} It has "
                f"{listing(names, N_LISTED)}.{_one_column_hint(names)}"
                f"{_second_header_hint(frame, name)}"
            )
        if names.count(name) > 1:
            raise ValueError(f"The table has {names.count(name)} columns {name!r}: rename them.")
        if declared.count(name) > 1:
            raise ValueError(f"The column {name!r} is declared for two roles: give each its own.")
    if made is not None and made in names:
        raise ValueError(
            f"key_column= makes a column {made!r}, and the table has one already: rename it, or "
            "give it as image_column=."
        )


def likely_photo_columns(frame: pd.DataFrame, declared: Sequence[Any]) -> list[Any]:
    """List the columns without a role whose first cells are mostly names of photos."""
    return [
        name
        for position, name in enumerate(frame.columns)
        if name not in declared and _names_photos(frame.iloc[:, position])
    ]


def _names_photos(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return False
    cells = [cell for cell in column.head(HEAD_ROWS) if not is_empty(cell)]
    named = [str(cell).lower().endswith(PHOTO_SUFFIXES) for cell in cells]
    return 2 * sum(named) > len(named)


def _one_column_hint(names: Sequence[Any]) -> str:
    """Recognise a CSV file that was read with the wrong separator."""
    only = str(names[0]) if len(names) == 1 else ""
    found = next((separator for separator in SEPARATORS if separator in only), None)
    if found is None:
        return ""
    return (
        f" Its columns seem to be separated by {found!r}: read it yourself, "
        f"pandas.read_csv(path, sep={found!r}), and pass the frame."
    )


def _second_header_hint(frame: pd.DataFrame, wanted: Any) -> str:
    """Recognise a CSV file whose column names are below a first header line."""
    if not isinstance(wanted, str) or wanted not in frame.iloc[0].tolist():
        return ""
    return (
        f" {shorten(wanted)} is in the first row below the header. If there are two header "
        "lines, read both, pandas.read_csv(path, header=[0, 1]), or only the second, "
        "pandas.read_csv(path, skiprows=1), and pass the frame."
    )
