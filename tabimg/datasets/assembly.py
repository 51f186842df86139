"""What all generated tables share: repeated rows, missing cells, the final Bunch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

PHOTO_COLUMN = "photo"


def count_distinct(n_samples: int, repeat_rate: float) -> int:
    """Return the number of distinct rows in a table of which ``repeat_rate`` are repetitions."""
    return n_samples - int(np.floor(repeat_rate * n_samples))


def draw_groups(n_samples: int, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Group of each row, int64 (n_samples,): each group at least once, the rest at random."""
    extra = rng.integers(n_groups, size=n_samples - n_groups)
    return rng.permutation(np.concatenate([np.arange(n_groups), extra]))


def blank_cells(table: pd.DataFrame, missing: np.ndarray) -> pd.DataFrame:
    """Return a copy of ``table`` in which the cells marked in ``missing`` (n, p) are empty."""
    blanked = {}
    for j, (name, column) in enumerate(table.items()):
        if pd.api.types.is_numeric_dtype(column):
            values = column.to_numpy(dtype=np.float64, copy=True)
            values[missing[:, j]] = np.nan
        else:
            values = column.to_numpy(dtype=object, copy=True)
            values[missing[:, j]] = None
        blanked[name] = values
    return pd.DataFrame(blanked, index=table.index)


def assemble(
    table: pd.DataFrame,
    photos: list[str],
    target: pd.Series,
    *,
    return_X_y: bool,
    **known: Any,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Join table, photo paths and target as scikit-learn's data sets do.

    Parameters
    ----------
    table : DataFrame of shape (n, p)
        The columns.
    photos : list of str
        Absolute paths, one per row.
    target : Series of shape (n,)
        Named target.
    return_X_y : bool
        Return ``(data, target)`` in place of the Bunch.
    **known
        What else is known about the data; these become further entries of the Bunch.
    """
    data = table.assign(**{PHOTO_COLUMN: photos})
    if return_X_y:
        return data, target
    return Bunch(
        frame=data.assign(**{str(target.name): target}),
        data=data,
        target=target,
        feature_names=list(table.columns),
        image_column=PHOTO_COLUMN,
        **known,
    )
