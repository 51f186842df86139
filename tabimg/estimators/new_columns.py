"""Rows for a pre-trained network of cohorts, whether it has seen their columns or not."""

from __future__ import annotations

import warnings
from typing import Any

from tabimg.estimators.cohorts import Cohort
from tabimg.estimators.column_texts import column_vectors
from tabimg.estimators.inputs import is_frame
from tabimg.table import EncodedTable, read_columns
from tabimg.table.adoption import Adopted, adopt
from tabimg.training.citab_recipes import ColumnVectors


def encode_cohort(pretrainer: Any, cohort: Cohort) -> tuple[EncodedTable, ColumnVectors]:
    """Encode rows of a cohort by what its headers mean.

    Parameters
    ----------
    pretrainer : CITabPretrainer
        Fitted.
    cohort : Cohort

    Returns
    -------
    encoded : EncodedTable
    columns : ColumnVectors
        Of the encoded columns.

    Raises
    ------
    ValueError
        For a cohort or columns that are not known, with ``on_new_columns="raise"``.

    Warns
    -----
    UserWarning
        For these, with ``on_new_columns="embed"``: what the network takes them for.
    """
    codec = pretrainer.codec_
    own = codec.find(cohort.name)
    # What is learned of texts here is forgotten: transforming changes nothing.
    vectors = pretrainer.vectors_.copy()
    if own is not None and not is_frame(cohort.table):
        return own.encode(cohort.table), column_vectors(
            own, pretrainer.column_descriptions, vectors
        )
    others = [each for each in codec.codecs if each is not own]
    adopted = adopt(
        _relevant(pretrainer, cohort, own), own, others, pretrainer.column_descriptions, vectors
    )
    if adopted.nearest:
        _report(pretrainer, cohort, own is not None, adopted)
    return adopted.encoded, column_vectors(adopted.codec, pretrainer.column_descriptions, vectors)


def names_of_cohorts(pretrainer: Any) -> list[Any]:
    """Name the cohorts that a pretrainer knows."""
    return list(pretrainer.codec_.names)


def _relevant(pretrainer: Any, cohort: Cohort, own: Any) -> list[Any]:
    """Read the columns; those of other cohorts are none of this one's where they are empty."""
    columns = read_columns(cohort.table)
    return [column for column in columns if not column.all_missing()] or columns


def _report(pretrainer: Any, cohort: Cohort, is_known: bool, adopted: Adopted) -> None:
    columns = "; ".join(
        f"{name!r} (nearest known: {header!r}, similarity {cosine:.2f})" if header else f"{name!r}"
        for name, (header, cosine) in adopted.nearest.items()
    )
    if is_known:
        what = f"columns that cohort {cohort.name!r} did not have in fit: {columns}"
    else:
        what = (
            f"a cohort that was not there in fit, {cohort.name!r} (known are "
            f"{names_of_cohorts(pretrainer)}; cohort_column={pretrainer.cohort_column!r}), with "
            f"the columns {columns}"
        )
    if pretrainer.on_new_columns == "raise":
        raise ValueError(
            f"X holds {what}. Leave them out, or set on_new_columns='embed' to embed them by what "
            "their headers mean"
        )
    warnings.warn(f"embedded by their headers: {what}", UserWarning, stacklevel=5)
