"""Read a table from a CSV or Parquet file, or take a frame, as a pandas frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zst", ".csv.zip")
PARQUET_SUFFIXES = (".parquet", ".pq")


def read_frame(table: Any, text_columns: Sequence[Any]) -> pd.DataFrame:
    """Read a table.

    Parameters
    ----------
    table : str, path-like, or eager pandas, Polars or pyarrow frame
        A CSV file (also compressed) or a Parquet file is known by its suffix.
    text_columns : sequence of column labels
        Columns of a CSV file to be read as text, so that ``"007"`` stays what it is.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If Parquet is to be read, or a frame converted, without pyarrow.
    TypeError, ValueError
        If ``table`` is no table, or the suffix is another one.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if not isinstance(table, (str, os.PathLike)):
        return _convert(table)
    path = Path(table).expanduser()
    name = path.name.lower()
    if not name.endswith(CSV_SUFFIXES + PARQUET_SUFFIXES):
        raise ValueError(
            f"table: {str(path)!r} is neither a .csv nor a .parquet file. Read it yourself, for "
            "example with pandas.read_excel, and pass the frame."
        )
    if not path.is_file():
        raise FileNotFoundError(f"table: there is no file {str(path)!r}.")
    if name.endswith(CSV_SUFFIXES):
        # Types are inferred from whole columns, not from blocks of rows.
        return pd.read_csv(path, dtype=dict.fromkeys(text_columns, str), low_memory=False)
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ImportError("Reading Parquet needs pyarrow: pip install pyarrow") from error


def _convert(table: Any) -> pd.DataFrame:
    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        raise TypeError(
            "table must be the path of a CSV or Parquet file, or a pandas, Polars or pyarrow frame "
            f"(a lazy one collected), got {type(table).__name__}."
        ) from error
    try:
        return frame.to_pandas()
    except ImportError as error:
        raise ImportError(
            f"Converting a {type(table).__module__.split('.')[0]} frame needs pyarrow: "
            "pip install pyarrow"
        ) from error
