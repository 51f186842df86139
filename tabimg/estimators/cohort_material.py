"""From what a pretrainer of cohorts is given to the rows, photos and groups that it trains on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tabimg.estimators.material import Material
from tabimg.headers import check_descriptions, header_texts
from tabimg.headers.adoption import Descriptions, described
from tabimg.image import RowImages
from tabimg.inputs.categorical import declares_categories, find_categorical
from tabimg.inputs.checks import check_fit_rows, check_frame, check_table
from tabimg.inputs.cohorts import (
    check_container,
    holds_several,
    require_image_columns,
    require_in_some,
    split,
)
from tabimg.inputs.frames import column_names, is_frame, require_columns, without_columns
from tabimg.inputs.hints import warn_of_odd_columns
from tabimg.inputs.rows import Rows, take_apart
from tabimg.inputs.stacking import stack_known_columns
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.inputs.weights import check_weights
from tabimg.messages import listing, shorten, warn
from tabimg.table import CohortCodec, read_columns
from tabimg.table.columns import plain_name


@dataclass(frozen=True, eq=False)
class CohortTables:
    """Tables by cohort; as `Material.table`.

    Parameters
    ----------
    names : list of str or int
    tables : list of tables
    order : int64 array of shape (n_rows,)
        Where the rows, in the order in which they were handed in, stand in the tables below each
        other.
    """

    names: list[str | int]
    tables: list[Any]
    order: np.ndarray


def gather_cohorts(
    pretrainer: Any,
    X: Any,
    sample_weight: Any,
    image_paths: Sequence[Any] | None,
    unlabeled: Unlabeled | None,
    *,
    reset: bool,
) -> Material:
    """Check the input of a pretrainer's fit, and put the rows of each cohort below each other."""
    special = (pretrainer.cohort_column, pretrainer.image_column, pretrainer.group_column)
    check_container(X)
    _require_special(pretrainer, X, image_paths)
    cohorts = split(X, *special, image_paths)
    _note_features(pretrainer, X, cohorts, reset=reset)
    n_rows = sum(len(cohort) for cohort in cohorts)
    if isinstance(sample_weight, Mapping):
        raise TypeError(
            "sample_weight is one array over the rows of all cohorts, one frame after the other; "
            "got a mapping"
        )
    weight = check_weights(sample_weight, np.zeros(n_rows))
    if unlabeled is not None:
        further = _split_unlabeled(pretrainer, unlabeled, special)
        cohorts += [replace(cohort, places=cohort.places + n_rows) for cohort in further]
    by_name: dict[str | int, list[Rows]] = {}
    for cohort in cohorts:
        by_name.setdefault(cohort.cohort, []).append(cohort)
    for name, same in by_name.items():
        _require_shared_columns(name, same)
    tables = [_stacked(name, [each.table for each in same]) for name, same in by_name.items()]
    for table in tables:
        warn_of_odd_columns(table)
    cohorts = [cohort for same in by_name.values() for cohort in same]
    order = np.argsort(np.concatenate([cohort.places for cohort in cohorts]))
    weight = np.concatenate([weight, np.ones(len(order) - n_rows)])
    check_fit_rows(pretrainer, int((weight > 0).sum()))
    images = _images(pretrainer, cohorts)
    return Material(
        CohortTables(list(by_name), tables, order),
        None if images is None else images.take(order),
        group_numbers(cohorts)[order],
        weight.astype(np.float32),
    )


def _split_unlabeled(
    pretrainer: Any, unlabeled: Unlabeled, special: tuple[Any, Any, Any]
) -> list[Rows]:
    if not isinstance(unlabeled, Unlabeled):
        raise TypeError(
            f"unlabeled must be tabimg.Unlabeled(frame), got {type(unlabeled).__name__}"
        )
    if pretrainer.cohort_column is not None and not holds_several(unlabeled.frame):
        declared = [pretrainer.cohort_column]
        require_columns(unlabeled.frame, declared, "the unlabeled rows' cohort_column")
    cohorts = split(unlabeled.frame, *special, unlabeled.image_paths, UNLABELED)
    _check_frames(pretrainer, cohorts)
    return cohorts


def own_columns(table: Any, several: bool) -> Any:
    """Give the columns of a cohort, sorted by name, without those that it lacks.

    A cohort among several lacks the columns without any cell. However frames were put together,
    the same columns come out.
    """
    if not is_frame(table):
        return table
    names = sorted(table.columns, key=lambda name: str(plain_name(name)))
    absent = [c.name for c in read_columns(table) if c.all_missing()] if several else []
    there = [name for name in names if plain_name(name) not in absent]
    # Where nothing is there, the codec says so.
    return table[there or names]


def categorical_of_cohorts(categorical_features: Any, cohorts: CohortTables) -> list[str | int]:
    """Find the columns of any cohort that a ``categorical_features`` parameter names.

    Raises
    ------
    ValueError
        As `find_categorical`; and for positions where the cohorts have different columns.
    """
    columns = [column_names(table) for table in cohorts.tables]
    if all(names == columns[0] for names in columns):
        return find_categorical(categorical_features, columns[0])
    chosen = list(categorical_features) if declares_categories(categorical_features) else []
    if any(isinstance(each, (bool, np.bool_, int, np.integer)) for each in chosen):
        raise ValueError("the cohorts have different columns: categorical_features must give names")
    return find_categorical(chosen, list(dict.fromkeys(c for names in columns for c in names)))


def check_headers(cohorts: CohortTables, codec: CohortCodec, descriptions: Descriptions) -> None:
    """Check that each column that is used has a header, or a description, that says something.

    Raises
    ------
    TypeError, ValueError
        See `check_descriptions` and `header_texts`; names the cohort where there are several.
    """
    known = [each.schema.names for each in codec.codecs]
    check_descriptions([column for names in known for column in names], descriptions)
    for name, table, own in zip(cohorts.names, cohorts.tables, known, strict=True):
        # In the user's order, for the message gives the position.
        names = table.columns if is_frame(table) else own
        columns = [plain_name(column) for column in names if plain_name(column) in own]
        try:
            header_texts(columns, described(columns, descriptions))
        except ValueError as error:
            if len(known) == 1:
                raise
            raise ValueError(f"cohort {shorten(name)}: {error}") from error


def group_numbers(cohorts: Sequence[Rows]) -> np.ndarray:
    """Number the groups, int64, -1 for a row without one; each cohort has groups of its own."""
    numbers: dict[tuple[Any, Any], int] = {}
    return np.array(
        [
            -1 if pd.isna(group) else numbers.setdefault((cohort.cohort, group), len(numbers))
            for cohort in cohorts
            for group in cohort.groups
        ],
        dtype=np.int64,
    )


def _require_special(pretrainer: Any, X: Any, image_paths: Sequence[Any] | None) -> None:
    """Check that declared columns are there; of several frames each may lack photos or groups."""
    if image_paths is None:
        require_image_columns(X, pretrainer.image_column)
    if holds_several(X):
        if pretrainer.group_column is not None:
            require_in_some(X, pretrainer.group_column, "group_column")
        return
    if pretrainer.group_column is not None:
        require_columns(X, [pretrainer.group_column], "group_column")
    if pretrainer.cohort_column is not None:
        require_columns(X, [pretrainer.cohort_column], "cohort_column")


def _note_features(pretrainer: Any, X: Any, cohorts: Sequence[Rows], *, reset: bool) -> None:
    """Set, or check, what scikit-learn knows of the columns: all that any cohort has."""
    if not holds_several(X):
        table = take_apart(X, pretrainer.image_column, pretrainer.group_column).table
        is_special = is_frame(table) and pretrainer.cohort_column in list(table.columns)
        table = without_columns(table, [pretrainer.cohort_column] if is_special else [])
        check_table(pretrainer, table, reset=reset)
        return
    _check_frames(pretrainer, cohorts)
    names = list(dict.fromkeys(name for cohort in cohorts for name in cohort.table.columns))
    # All that scikit-learn wants to know of are the names.
    check_table(pretrainer, pd.DataFrame(np.zeros((1, len(names))), columns=names), reset=reset)


def _check_frames(pretrainer: Any, cohorts: Sequence[Rows]) -> None:
    """Check the shape and the names of each cohort's frame."""
    for cohort in cohorts:
        try:
            if is_frame(cohort.table):
                check_frame(pretrainer, cohort.table)
        except ValueError as error:
            raise ValueError(f"cohort {shorten(cohort.cohort)}: {error}") from error


def _require_shared_columns(name: str | int, parts: Sequence[Rows]) -> None:
    """Check that unlabeled rows share a column with their cohort; each may lack some."""
    first, *others = (part.table for part in parts)
    for other in others:
        frames = is_frame(first) and is_frame(other)
        if frames and not set(first.columns) & set(other.columns):
            raise ValueError(
                f"the unlabeled rows of cohort {shorten(name)} have none of its columns "
                f"[{listing(first.columns)}]. Rows of another cohort go into a mapping, by its "
                "name: Unlabeled({'name': frame})"
            )


def _stacked(name: str | int, tables: list[Any]) -> Any:
    """Put labelled and unlabeled rows of one cohort below each other."""
    if len(tables) == 1:
        return tables[0]
    try:
        return stack_known_columns(*tables)
    except ValueError as error:
        raise ValueError(f"cohort {shorten(name)}: {error}") from error


def _images(pretrainer: Any, cohorts: Sequence[Rows]) -> RowImages | None:
    """Collect the photos; None where none are wanted or fewer than two rows have one."""
    if not pretrainer._wants_photos() or all(cohort.image_cells is None for cohort in cohorts):
        return None
    parts = [cohort.images(pretrainer.image_root) for cohort in cohorts]
    images = RowImages.concat(parts)
    if images.has_image.sum() >= 2:
        if pretrainer.lambda_mtr == 0:
            n_photos: Counter[str | int] = Counter()
            for cohort, part in zip(cohorts, parts, strict=True):
                n_photos[cohort.cohort] += int(part.has_image.sum())
            _check_compared(n_photos, within=pretrainer.negatives == "cohort")
        return images
    warn("fewer than two rows have a photo: only masked cells are restored")
    return None


def _check_compared(n_photos: Mapping[str | int, int], within: bool) -> None:
    """Check that each cohort has photos to learn from where no masked cell is restored.

    Parameters
    ----------
    n_photos : mapping of cohort name to int
    within : bool
        Pairs are compared within their cohort alone.
    """
    idle = [name for name, count in n_photos.items() if count < (2 if within else 1)]
    if not idle:
        return
    if len(idle) == len(n_photos):
        raise ValueError(
            f"none of the {len(idle)} cohorts has two photos to compare, and lambda_mtr is 0: "
            "there is nothing to learn from. Does cohort_column name the cohorts?"
        )
    warn(
        f"nothing is learned from the rows of [{listing(idle)}], which have too few photos to "
        "compare, for lambda_mtr is 0: lambda_mtr=1 restores masked cells of all rows as well"
    )
