"""The table and photos that the options name: read, paired, and said in words."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tabimg.cli.console import say
from tabimg.datasets import load_paired, suggest_pairing
from tabimg.datasets.column_roles import check_roles
from tabimg.datasets.table_file import read_frame
from tabimg.estimators import Unlabeled
from tabimg.evaluation.data.study_target import MAX_OBVIOUS_CLASSES
from tabimg.messages import listing
from tabimg.table.columns import number_key

STANDARD_INPUT = "-"
FORMATS = ("csv", "tsv", "parquet", "arrow")


@dataclass(frozen=True)
class Source:
    """What the options say about the data; named as these."""

    table: str
    images: str | None = None
    target: str | None = None
    image_column: Sequence[str] | None = None
    key_column: str | None = None
    groups: str | None = None
    categorical: Sequence[str] | None = None
    dates: Sequence[str] | None = None
    drop: Sequence[str] | None = None
    task: str = "auto"
    log_target: bool = False
    on_missing: str = "raise"
    format: str = "csv"


@dataclass(frozen=True, eq=False)
class Data:
    """Rows with their photos, and a target if there is one.

    Parameters
    ----------
    frame : DataFrame
        With photo and group columns, photos as absolute paths, without the target.
    target : Series or None
        Cells may be missing; on the scale of the table.
    task : str
        "classification" or "regression"; "auto" without a target.
    image_column : list of str, empty without photos
    missing_photos : DataFrame
        As from `load_paired`.
    n_unused : int
        Photos of the folder that no row names.
    understood : list of str
        What was concluded, in sentences.
    """

    frame: pd.DataFrame
    target: pd.Series | None
    source: Source
    task: str
    image_column: list[str]
    missing_photos: pd.DataFrame
    n_unused: int
    understood: list[str] = field(default_factory=list)

    @property
    def known(self) -> np.ndarray:
        """Which rows have a target; bool (n_rows,)."""
        assert self.target is not None
        return self.target.notna().to_numpy()

    @property
    def X(self) -> pd.DataFrame:
        """The rows that have a target."""
        return self.frame[self.known].reset_index(drop=True)

    @property
    def y(self) -> pd.Series:
        """Their targets, as they are learned: logarithms with ``--log-target``."""
        assert self.target is not None
        y = self.target[self.known].reset_index(drop=True)
        return np.log1p(y) if self.source.log_target else y

    @property
    def unlabeled(self) -> Unlabeled | None:
        """The rows without a target, if there are some and photos can teach."""
        others = self.frame[~self.known].reset_index(drop=True)
        return Unlabeled(others) if len(others) and self.image_column else None


def load(source: Source) -> Data:
    """Read a table, find its photos, and look at its target.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        Naming file, row or column, and what to do.
    """
    with table_path(source.table, source.format) as path:
        keys = [source.key_column] if source.key_column else []
        if source.images is not None and not (source.image_column or source.key_column):
            pairing = suggest_pairing(path, source.images)
            root, columns, key = pairing.image_root, pairing.image_column, pairing.key_column
            keys = [key] if key is not None else []
        else:
            root = source.images or str(Path(path).expanduser().resolve().parent)
            columns, key = list(source.image_column or []) or None, source.key_column
        frame = read_frame(path, text_columns=keys)
    check_roles(frame, [*(source.drop or []), source.target, source.groups])
    frame = _with_dates(frame.drop(columns=list(source.drop or [])), source.dates)
    understood = []
    missing, n_unused = pd.DataFrame(columns=["row", "column", "photo"]), 0
    if columns is None and key is None:
        columns = []
    else:
        paired: Any = load_paired(
            frame,
            root,
            image_column=columns,
            key_column=key,
            on_missing=source.on_missing,
            on_unused="ignore",
        )
        frame, missing, n_unused = paired.frame, paired.missing_photos, len(paired.unused_photos)
        columns = _as_list(paired.image_column)
        understood.append(_photos_in_words(frame, columns, key, root, n_unused))
    target, task = None, source.task
    if source.target is not None:
        target = frame.pop(source.target)
        task, told = _task_of(target, source)
        understood.append(told)
    frame = _with_categories(frame, source.categorical)
    return Data(frame, target, source, task, columns, missing, n_unused, understood)


@contextlib.contextmanager
def table_path(table: str, form: str) -> Iterator[str]:
    """Give the path of a table; standard input is copied to a file for as long as it is read."""
    if table != STANDARD_INPUT:
        yield table
        return
    if form not in FORMATS:
        raise ValueError(f"--format must be one of {listing(FORMATS)}, got {form!r}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"standard-input.{form}"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield str(path)


def say_understood(data: Data) -> None:
    """Say what was concluded from table and folder."""
    for line in data.understood:
        say(line)


def _with_dates(frame: pd.DataFrame, dates: Sequence[str] | None) -> pd.DataFrame:
    frame = frame.copy(deep=False)
    check_roles(frame, list(dates or []))
    for name in dates or []:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # each cell is parsed by itself
                frame[name] = pd.to_datetime(frame[name])
        except (ValueError, TypeError) as error:
            raise ValueError(f"--dates {name}: {error}") from error
    return frame


def _with_categories(frame: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """Turn numbers that are names into text, for every model that is compared."""
    check_roles(frame, list(names or []))
    frame = frame.copy(deep=False)
    for name in names or []:
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        write = number_key if numeric else str
        cells = [None if pd.isna(cell) else write(cell) for cell in frame[name]]
        frame[name] = pd.Series(cells, index=frame.index, dtype=object)
    return frame


def _as_list(column: Any) -> list[str]:
    return list(column) if isinstance(column, list) else [column]


def _photos_in_words(
    frame: pd.DataFrame, columns: list[str], key: str | None, root: str, n_unused: int
) -> str:
    n_found = int(frame[columns].notna().any(axis=1).sum())
    by = f"column {key!r}, by name without suffix" if key is not None else listing(columns)
    unused = f"; {n_unused} photos are named by no row" if n_unused else ""
    return f"photos: {n_found} of {len(frame)} rows have one, from {by}, in {root}{unused}"


def _task_of(target: pd.Series, source: Source) -> tuple[str, str]:
    """Tell the task, where Python's studies would ask: many whole numbers are quantities."""
    known = target.dropna()
    if not len(known):
        raise ValueError(f"no row has a target: column {source.target!r} is empty")
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    n_values = known.nunique()
    task, why = source.task, "as --task says"
    if task == "auto":
        whole = numeric and bool((known == known.round()).all())
        is_number = numeric and (not whole or n_values > MAX_OBVIOUS_CLASSES)
        task = "regression" if is_number else "classification"
        why = f"{n_values} different {'numbers' if numeric else 'values'}"
        if numeric:
            other = "classification" if is_number else "regression"
            why += f"; if that is wrong, --task {other}"
    elif task not in ("classification", "regression"):
        raise ValueError("--task must be auto, classification or regression")
    if source.log_target:
        if task != "regression" or not numeric:
            raise ValueError("--log-target is for numbers: leave it out, or say --task regression")
        if (known <= -1).any():
            row = int(np.flatnonzero((target <= -1).to_numpy())[0])
            raise ValueError(
                f"--log-target needs numbers above -1, and row {row} of {source.target!r} holds "
                f"{target.iloc[row]}"
            )
    without = len(target) - len(known)
    rest = f"; {without} rows have none" if without else ""
    return task, f"target: {source.target!r}, {task} ({why}){rest}"
