"""Columns declared as categories, whatever they hold: ``categorical_features``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tabimg.inputs.containers import cells_of
from tabimg.messages import listing, shorten
from tabimg.table.columns import plain_name

FROM_DTYPE = "from_dtype"


def declares_categories(categorical_features: Any) -> bool:
    """Return whether the parameter names columns; None and "from_dtype" leave it to the cells."""
    is_default = isinstance(categorical_features, str) and categorical_features == FROM_DTYPE
    return categorical_features is not None and not is_default


def check_categorical_features(categorical_features: Any) -> None:
    """Raise a TypeError for anything that cannot name columns."""
    if declares_categories(categorical_features) and (
        np.ndim(categorical_features) != 1
        or (
            np.asarray(categorical_features).dtype.kind not in "biuUO" and len(categorical_features)
        )
    ):
        raise TypeError(
            "categorical_features must be None, 'from_dtype', or a list of column names, of "
            f"positions, or of bools, one per column; got {shorten(categorical_features)}"
        )


def find_categorical(categorical_features: Any, columns: Sequence[Any]) -> list[str | int]:
    """Find the columns that a ``categorical_features`` parameter names.

    Parameters
    ----------
    categorical_features : None, "from_dtype", or array-like of str, int or bool
    columns : sequence of column labels
        Of the table, without image and group columns.

    Returns
    -------
    list of str or int
        Their labels, as `RawColumn` has them.

    Raises
    ------
    ValueError
        For a name or position that the table does not have, or a wrong number of bools.
    """
    if not declares_categories(categorical_features):
        return []
    names = [plain_name(column) for column in columns]
    chosen = np.asarray(cells_of(categorical_features), dtype=object)
    if len(chosen) and all(isinstance(each, (bool, np.bool_)) for each in chosen):
        if len(chosen) != len(names):
            raise ValueError(
                f"categorical_features has {len(chosen)} bools, and X has {len(names)} columns "
                "without image and group columns"
            )
        return [name for name, flag in zip(names, chosen, strict=True) if flag]
    return list(dict.fromkeys(_find(each, names) for each in chosen))


def _find(wanted: Any, names: Sequence[str | int]) -> str | int:
    if isinstance(wanted, (int, np.integer)):
        if not 0 <= wanted < len(names):
            raise ValueError(
                f"categorical_features names position {wanted}; X has the positions 0 to "
                f"{len(names) - 1}, without image and group columns"
            )
        return names[int(wanted)]
    if plain_name(wanted) in names:
        return plain_name(wanted)
    near = difflib.get_close_matches(str(wanted), [str(name) for name in names], n=3)
    hint = f" Did you mean {' or '.join(map(shorten, near))}?" if near else ""
    raise ValueError(
        f"categorical_features names {shorten(wanted)}, which is none of the columns "
        f"{listing(names)}; image and group columns are not features.{hint}"
    )
