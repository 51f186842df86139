"""What a table's columns are like, without a cell of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tabimg.table import TableCodec
from tabimg.table.columns import ColumnKind, RawColumn
from tabimg.table.frames import read_columns

# The mean of fewer different values says what they are.
MIN_DISTINCT = 5


def data_summary(codec: TableCodec, table: Any) -> pd.DataFrame:
    """Summarise the columns of a table.

    Parameters
    ----------
    codec : TableCodec
        Says what each column was in the fit.
    table : DataFrame or array
        Without image and group columns.

    Returns
    -------
    DataFrame
        One row a column: ``column``, ``kind``, ``missing`` (share in percent), ``distinct`` values,
        and ``mean`` and ``std`` of numbers of which there are at least five different ones.
    """
    kinds = dict(zip(codec.schema.names, codec.schema.kinds, strict=True))
    rows = [_summary(column, kinds.get(column.name, column.kind)) for column in read_columns(table)]
    return pd.DataFrame(rows, columns=["column", "kind", "missing", "distinct", "mean", "std"])


def _summary(column: RawColumn, kind: ColumnKind) -> tuple[Any, ...]:
    missing = column.missing()
    known = column.values[~missing]
    distinct = len(pd.unique(known))
    mean = std = np.nan
    if kind is ColumnKind.NUMERIC and column.kind is kind and distinct >= MIN_DISTINCT:
        mean, std = float(known.mean()), float(known.std())
    share = f"{100 * missing.mean():.1f} %"
    return str(column.name), kind.value, share, distinct, mean, std
