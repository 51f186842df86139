"""Read a table from a CSV, TSV, Parquet or Arrow file, or take a frame, as a pandas frame."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from tabimg.datasets.near_names import is_address, near_entries
from tabimg.messages import import_hint, shorten

COMPRESSIONS = ("", ".gz", ".bz2", ".xz", ".zst", ".zip")
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
TEXT_SUFFIXES = tuple(kind + packed for kind in SEPARATORS for packed in COMPRESSIONS)
PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
TABLE_SUFFIXES = TEXT_SUFFIXES + PARQUET_SUFFIXES + ARROW_SUFFIXES
READERS = {
    (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"): "read_excel",
    (".json", ".jsonl", ".ndjson"): "read_json",
    (".txt", ".dat"): "read_csv(path, sep='\\t')",
    (".dta",): "read_stata",
    (".sav",): "read_spss",
    (".sas7bdat", ".xpt"): "read_sas",
    (".h5", ".hdf5"): "read_hdf",
    (".orc",): "read_orc",
    (".html", ".htm"): "read_html",
}
MOST_LISTED = 2000
READ_IT_YOURSELF = (
    "Read it yourself, for example with pandas.read_csv(path, sep=..., encoding=...), and pass the "
    "frame."
)


def read_frame(table: Any, text_columns: Sequence[Any]) -> pd.DataFrame:
    """Read a table.

    Parameters
    ----------
    table : str, path-like, or eager pandas, Polars or pyarrow frame
        A CSV or TSV file (also compressed), a Parquet or an Arrow file (Feather, or a stream) is
        recognised by its suffix.
    text_columns : sequence of column labels
        Columns of a CSV or TSV file to read as text, so that ``"007"`` stays as it is.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    FileNotFoundError
        If there is no such file; shows files with similar names.
    ImportError
        If Parquet or Arrow is to be read, or a frame converted, without pyarrow.
    TypeError, ValueError
        If ``table`` is not a table, or a folder, has another suffix, or cannot be read.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if not isinstance(table, (str, os.PathLike)):
        return _convert(table)
    if is_address(os.fspath(table)):
        raise FileNotFoundError(
            f"table is an address, {shorten(table)}: download the file, or read it yourself with "
            "pandas.read_csv, and pass the frame."
        )
    path = Path(table).expanduser()
    shown, name = shorten(str(path)), path.name.lower()
    if path.is_dir():
        raise ValueError(f"table: {shown} is a folder.{_tables_in(path)}")
    if not name.endswith(TABLE_SUFFIXES):
        raise ValueError(
            f"table: {shown} is neither a .csv nor a .tsv, .parquet or .arrow file. Read it "
            f"yourself, for example with {_reader_of(name)}, and pass the frame."
        )
    if not path.is_file():
        raise FileNotFoundError(f"table: there is no file {shown}.{near_entries(path.absolute())}")
    if (separator := separator_of(name)) is not None:
        as_text = dict.fromkeys(text_columns, str)
        return read_csv(path, as_text, READ_IT_YOURSELF, separator=separator)
    needs = "Reading Parquet and Arrow files needs pyarrow"
    with _readable(path, READ_IT_YOURSELF), import_hint(needs, "pyarrow"):
        return pd.read_parquet(path) if name.endswith(PARQUET_SUFFIXES) else _read_arrow(path)


def separator_of(name: str) -> str | None:
    """Return what separates the cells of a text file, by its name; None for other files."""
    for kind, separator in SEPARATORS.items():
        if name.lower().endswith(tuple(kind + packed for packed in COMPRESSIONS)):
            return separator
    return None


def _read_arrow(path: Path) -> pd.DataFrame:
    """Read Arrow's file format, which Feather is, or its stream."""
    import pyarrow as pa

    try:
        return pd.read_feather(path)
    except pa.ArrowInvalid:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            return stream.read_pandas()


def read_csv(
    path: Path,
    dtype: Any,
    remedy: str,
    wanted: Callable[[Any], bool] | None = None,
    separator: str = ",",
) -> pd.DataFrame:
    """Read a CSV file that is there.

    Parameters
    ----------
    path : Path
    dtype : type, or mapping of column label to type
        As of `pandas.read_csv`.
    remedy : str
        What to do about a file that cannot be read.
    wanted : callable, optional
        Tells by its label whether a column is read; None reads all.
    separator : str, default=","

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    with _readable(path, remedy):
        # Types are inferred from whole columns, not from blocks of rows.
        return pd.read_csv(path, sep=separator, dtype=dtype, usecols=wanted, low_memory=False)


@contextlib.contextmanager
def _readable(path: Path, remedy: str) -> Iterator[None]:
    """Name the file that a parser fails on, and say what to do."""
    shown = shorten(str(path))
    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"table: {shown} is empty.") from error
    except ValueError as error:  # of the parsers, pyarrow's among them, and of the text's encoding
        raise ValueError(
            f"table: {shown} cannot be read ({shorten(str(error))}). {remedy}"
        ) from error


def _reader_of(name: str) -> str:
    """Name the pandas function for a kind of file."""
    known = [reader for suffix, reader in READERS.items() if name.endswith(suffix)]
    return f"pandas.{known[0] if known else 'read_excel'}"


def _tables_in(folder: Path) -> str:
    """Show the tables in a folder."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, MOST_LISTED))
    tables = [name for name in names if name.lower().endswith(TABLE_SUFFIXES)]
    if not tables:
        return " Give the table's file, or read it yourself and pass the frame."
    return f" Give the file, such as {shorten(str(folder / tables[0]))}."


def _convert(table: Any) -> pd.DataFrame:
    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        raise TypeError(
            "table must be the path of a CSV, TSV, Parquet or Arrow file, or a pandas, Polars or "
            "pyarrow frame "
            f"(a lazy one collected), got {type(table).__name__}."
        ) from error
    library = type(table).__module__.partition(".")[0]
    with import_hint(f"Converting a {library} frame needs pyarrow", "pyarrow"):
        return frame.to_pandas()
