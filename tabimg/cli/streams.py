"""Tables larger than memory: read and written in parts, and written as a whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tabimg.datasets.table_file import (
    ARROW_SUFFIXES,
    PARQUET_SUFFIXES,
    TABLE_SUFFIXES,
    read_frame,
    separator_of,
)
from tabimg.messages import import_hint, listing

ROWS_AT_ONCE = 20_000
Write = Callable[[pd.DataFrame], None]


def read_parts(
    path: str,
    text_columns: Sequence[Any] = (),
    dates: Sequence[Any] = (),
    n_rows: int = ROWS_AT_ONCE,
) -> Iterator[pd.DataFrame]:
    """Read a table part by part.

    Parameters
    ----------
    path : str
    text_columns : sequence of column labels
        Columns of a CSV or TSV file to read as text in every part. Types are inferred part by part:
        a column of codes may hold nothing but digits in one of them.
    dates : sequence of column labels
    n_rows : int

    Yields
    ------
    DataFrame
        Of at most ``n_rows`` rows; its index counts the rows of the table.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        As `load_paired`.
    """
    name = path.lower()
    if not (name.endswith(TABLE_SUFFIXES) and os.path.isfile(path)):
        read_frame(path, ())  # says what is wrong
    separator = separator_of(path)
    if separator is not None:
        parts = _text_parts(path, separator, text_columns, n_rows)
    else:
        with import_hint("Reading Parquet and Arrow files needs pyarrow", "pyarrow"):
            parts = _arrow_parts(path, n_rows)
    start = 0
    for part in parts:
        part.index = pd.RangeIndex(start, start + len(part))
        start += len(part)
        for column in dates:
            if column in part.columns:
                part[column] = pd.to_datetime(part[column])
        yield part


def _text_parts(
    path: str, separator: str, text_columns: Sequence[Any], n_rows: int
) -> Iterator[pd.DataFrame]:
    try:
        as_text = dict.fromkeys(text_columns, str)
        with pd.read_csv(
            path, sep=separator, dtype=as_text, chunksize=n_rows, low_memory=False
        ) as parts:
            yield from parts
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"table: {path} is empty.") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"table: {path} cannot be read ({error}).") from error


def _arrow_parts(path: str, n_rows: int) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.lower().endswith(PARQUET_SUFFIXES):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=n_rows):
                    yield batch.to_pandas()
            return
        with pa.memory_map(path) as source:
            try:
                file = pa.ipc.open_file(source)
                batches = (file.get_batch(number) for number in range(file.num_record_batches))
            except pa.ArrowInvalid:
                source.seek(0)
                batches = iter(pa.ipc.open_stream(source))
            for batch in batches:
                for start in range(0, batch.num_rows, n_rows):
                    yield batch.slice(start, n_rows).to_pandas()
    except pa.ArrowInvalid as error:
        raise ValueError(f"table: {path} cannot be read ({error}).") from error


@contextlib.contextmanager
def writing(path: str) -> Iterator[Write]:
    """Write a table part by part, under another name until it is complete.

    Parameters
    ----------
    path : str
        By its suffix a CSV, TSV (also ``.gz``), Parquet or Arrow file; ``-`` is standard output, as
        CSV.

    Yields
    ------
    callable
        Takes a DataFrame; all have the same columns.

    Raises
    ------
    ValueError
        For another suffix.
    """
    if path == "-":
        yield _text_writer(sys.stdout, ",")
        return
    target = Path(path)
    suffixes = (".csv", ".tsv", ".csv.gz", ".tsv.gz", *PARQUET_SUFFIXES, *ARROW_SUFFIXES)
    if not path.lower().endswith(suffixes):
        raise ValueError(f"{path}: predictions are written as {listing(suffixes)}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _writer(scratch, path.lower()) as write:
            yield write
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def _writer(scratch: Path, name: str) -> Iterator[Write]:
    separator = separator_of(name)
    if separator is None:
        with import_hint("Writing Parquet and Arrow files needs pyarrow", "pyarrow"):
            import pyarrow  # noqa: F401
        with _arrow_writer(scratch, name.endswith(PARQUET_SUFFIXES)) as write:
            yield write
        return
    make: Any = gzip.open if name.endswith(".gz") else open
    with make(scratch, "wt", encoding="utf-8", newline="") as file:
        yield _text_writer(file, separator)


def _text_writer(file: Any, separator: str) -> Write:
    is_first = True

    def write(part: pd.DataFrame) -> None:
        nonlocal is_first
        part.to_csv(file, sep=separator, index=False, header=is_first)
        is_first = False

    return write


@contextlib.contextmanager
def _arrow_writer(path: Path, is_parquet: bool) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        opened: dict[str, Any] = {}

        def write(part: pd.DataFrame) -> None:
            table = pa.Table.from_pandas(part, schema=opened.get("schema"), preserve_index=False)
            if not opened:
                opened["schema"] = table.schema
                make = pq.ParquetWriter if is_parquet else pa.ipc.new_file
                opened["writer"] = stack.enter_context(make(str(path), table.schema))
            opened["writer"].write_table(table)

        yield write


def text_columns_of(codec: Any) -> list[Any]:
    """List the columns that a model knows as text: categories that are not all plain numbers."""
    names = getattr(codec, "categorical_names", [])
    categories: Sequence[Sequence[str]] = getattr(codec, "categories", [])
    return [
        name
        for name, keys in zip(names, categories, strict=True)
        if not all(map(_is_plain_number, keys)) and not set(keys) <= {"True", "False"}
    ]


def _is_plain_number(key: str) -> bool:
    """Whether a number, read from a file, would be written as this key again."""
    try:
        number = float(key)
    except ValueError:
        return False
    return key == (str(int(number)) if number.is_integer() else repr(number))


def select_columns(part: pd.DataFrame, needed: Sequence[Any], kept: Mapping[Any, Any]) -> Any:
    """Take the columns that a model needs, and say which are missing.

    Raises
    ------
    ValueError
        Naming them.
    """
    absent = [name for name in needed if name not in part.columns]
    if absent:
        raise ValueError(
            f"the table lacks the columns {listing(absent)}, which the model was fitted on. It has "
            f"{listing(list(part.columns))}."
        )
    return part[[*needed, *(name for name in kept if name in part.columns)]]
