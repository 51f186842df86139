"""Warnings about tables that are probably not what the user meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from tabimg.inputs.frames import HEAD_ROWS, is_frame
from tabimg.inputs.unlabeled import Unlabeled
from tabimg.messages import listing, shorten, warn
from tabimg.table import ColumnKind, EncodedTable, TableCodec, looks_like_file_paths, read_columns
from tabimg.table.categories import FIRST_CATEGORY, UNKNOWN
from tabimg.table.columns import describe
from tabimg.table.text import suspicion

# A single new category is normal; a whole column of them suggests another spelling.
MANY_ROWS = 10
# Headers of codes and identifiers, as words.
_CODE_HEADER = re.compile(r"\b(?:zip|zipcode|postcode|plz|postal|code|codes|id|ids|uid|uuid)\b")


def warn_of_odd_columns(table: Any) -> None:
    """Warn about undeclared photos, and about dates, numbers and row names given as text."""
    # Sampled from the whole table: second photos may be rare, and come late.
    rows = np.unique(np.linspace(0, len(table) - 1, HEAD_ROWS).astype(int))
    head = _safe_indexing(table, rows)
    if not is_frame(table) and np.asarray(head).dtype.kind not in "OUS":
        return
    for column in read_columns(head):
        # The codec, which sees all cells, warns about mixed types.
        if column.kind is not ColumnKind.CATEGORICAL or column.cells is not None:
            continue
        if looks_like_file_paths(column.values):
            warn(
                f"{describe(column.name)} looks like file paths and is used as categories. If "
                f"these are photos, declare them: image_column={shorten(column.name)}, or fit(X, "
                "image_paths=...); otherwise drop the column"
            )
        elif (looks := suspicion(column.values)) is not None:
            warn(f"{describe(column.name)} is used as categories, but it {looks}")


def warn_of_codes(table: Any, categorical: Sequence[str | int]) -> None:
    """Warn about whole numbers that are names: codes, judging by the header, or row numbers."""
    for column in read_columns(table.head(HEAD_ROWS)) if is_frame(table) else []:
        if column.kind is not ColumnKind.NUMERIC or column.name in categorical:
            continue
        looks = "is named like a code" if _CODE_HEADER.search(_words(column.name)) else None
        looks = looks if looks and _are_whole(column.values) else None
        if looks is None and _counts_rows(column.values):
            looks = "numbers the rows"
        if looks is not None:
            warn(
                f"{describe(column.name)} {looks} and is used as numbers. If it names things, "
                f"declare it: categorical_features=[{shorten(column.name)}], or turn it into text; "
                "if it names the rows, drop it"
            )


def warn_of_target_among_columns(y: Any, X: Any, unlabeled: Unlabeled | None = None) -> None:
    """Warn about columns with the target's name: it was probably left in the frame."""
    names = list(y.columns) if is_frame(y) else [getattr(y, "name", None)]
    frames = {"X": X, "the unlabeled rows": getattr(unlabeled, "frame", None)}
    for where, given in frames.items():
        for frame in given.values() if isinstance(given, Mapping) else [given]:
            columns = set(frame.columns) if is_frame(frame) else ()
            leaked = [str(name) for name in names if name not in (None, "") and name in columns]
            if leaked:
                warn(
                    f"{describe(leaked[0])} of {where} has the name of y: the target would be "
                    "learned from itself. Drop it, or rename y if it is something else"
                )
                break


def warn_of_unknown_categories(codec: TableCodec, encoded: EncodedTable) -> None:
    """Warn about columns in which no category is known from training."""
    if len(encoded) < MANY_ROWS:
        return
    for name, codes in zip(codec.categorical_names, encoded.codes.T, strict=True):
        # Missing cells say nothing about the spelling of the others.
        if (codes == UNKNOWN).any() and not (codes >= FIRST_CATEGORY).any():
            warn(
                f"no category of {describe(name)} was seen in training, so the column is useless: "
                "is it written in another way, such as '01' in training and 1 here?"
            )


def _words(header: str | int) -> str:
    """Write a header as words in lower case: ``zipCode`` and ``ZIP_CODE`` are ``zip code``."""
    return re.sub(r"[\W_]+|(?<=[a-z])(?=[A-Z])", " ", str(header)).lower()


def _are_whole(values: np.ndarray) -> bool:
    observed = values[~np.isnan(values)]
    return len(np.unique(observed)) > 2 and bool((observed == np.rint(observed)).all())


def _counts_rows(values: np.ndarray) -> bool:
    """Return whether cells number the rows in order, starting at 0 or 1."""
    if len(values) < MANY_ROWS or values[0] not in (0.0, 1.0):
        return False
    return bool((np.diff(values) == 1).all())


def warn_of_several_cohorts(names: Sequence[Any]) -> None:
    """Warn that the cohorts that a frame names are fitted as one table."""
    if len(names) > 1:
        warn(
            f"X holds {len(names)} cohorts, [{listing(names)}], which are fitted as one table: "
            "columns with the same name share scaling and categories. Fit each cohort by itself, "
            "and give the others as unlabeled=Unlabeled(...)"
        )
