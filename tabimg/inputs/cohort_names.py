"""How cohorts are named: by a column of the frame, or by the keys of a mapping."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from tabimg.messages import shorten
from tabimg.table.columns import plain_name


@dataclass(frozen=True, eq=False)
class CohortColumn:
    """The column that names the cohort of each row.

    Parameters
    ----------
    label : column label
    cells : list of length n_rows
    """

    label: Hashable
    cells: list[Any]

    def names(self) -> np.ndarray:
        """Name the cohort of each row, str or int, object (n_rows,).

        Raises
        ------
        ValueError
            If a row has no cohort.
        """
        missing = [row for row, name in enumerate(self.cells) if is_nameless(name)]
        if missing:
            raise ValueError(
                f"{len(missing)} rows have no cohort in column {shorten(self.label)}, the first is "
                f"row {missing[0]}: name it, or leave these rows out"
            )
        names = np.empty(len(self.cells), dtype=object)
        names[:] = [plain_cohort(name) for name in self.cells]
        return names

    def take(self, rows: Sequence[int]) -> CohortColumn:
        """Select the cells of some rows."""
        return replace(self, cells=[self.cells[row] for row in rows])


def is_nameless(name: Any) -> bool:
    """Return whether the name of a cohort is blank."""
    is_missing = pd.api.types.is_scalar(name) and bool(pd.isna(name))
    return is_missing or (isinstance(name, str) and not name.strip())


def plain_cohort(name: Any) -> str | int:
    """Name a cohort as a saved state can hold it; a whole number is one name in any dtype."""
    if isinstance(name, (float, np.floating)) and float(name).is_integer():
        return int(name)
    if isinstance(name, timedelta):  # pandas and Python write one duration in two ways
        return str(pd.Timedelta(name))
    return plain_name(name)
