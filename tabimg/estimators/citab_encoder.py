"""The table encoder of CITab: by parameters, for any columns, applied to rows."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch

from tabimg.estimators.parameters import check_choice, check_positive, check_positive_int
from tabimg.headers import TextVectors, resolve_header_encoder
from tabimg.headers.adoption import Adopted, Descriptions, adopt, texts_of
from tabimg.inputs.frames import MOST_COLUMNS, as_column_list, is_frame
from tabimg.inputs.image_roots import UNNAMED
from tabimg.inputs.rows import Rows
from tabimg.messages import join, listing, shorten, warn
from tabimg.table import EncodedTable, RawColumn, TableCodec, read_columns
from tabimg.table.cohorts import require_distinct
from tabimg.training.citab_architectures import EXPERTS, VALUE_FORMS, CohortRecipe, ColumnVectors
from tabimg.training.fitted_module import FittedModule
from tabimg.training.inference import apply_to_table
from tabimg.training.runtime import resolve_device


def check_table_parameters(estimator: Any) -> None:
    """Check the parameters of the table encoder, and which columns are none of its."""
    special = [estimator.cohort_column, estimator.group_column]
    special = [*as_column_list(estimator.image_column), *(c for c in special if c is not None)]
    for column in special:
        if special.count(column) > 1:
            raise ValueError(
                f"column {shorten(column)} is declared twice among image_column, group_column and "
                "cohort_column: it can be one of them"
            )
    for name in ("dim", "n_heads", "n_layers", "n_experts"):
        check_positive_int(name, getattr(estimator, name))
    check_positive("expansion", estimator.expansion)
    if estimator.dim % estimator.n_heads:
        raise ValueError(
            f"n_heads must divide dim, got n_heads={estimator.n_heads} and dim={estimator.dim}"
        )
    check_choice("expert", estimator.expert, EXPERTS)
    check_choice("value_form", estimator.value_form, VALUE_FORMS)
    resolve_header_encoder(estimator.header_encoder)


def cohort_recipe(estimator: Any, columns: tuple[ColumnVectors, ...]) -> CohortRecipe:
    """Give the recipe of a table encoder by an estimator's parameters and its ``vectors_``."""
    return CohortRecipe(
        columns=columns,
        text_dim=estimator.vectors_.width,
        dim=int(estimator.dim),
        n_heads=int(estimator.n_heads),
        n_layers=int(estimator.n_layers),
        n_experts=int(estimator.n_experts),
        expansion=float(estimator.expansion),
        expert=estimator.expert,
        value_form=estimator.value_form,
    )


def column_vectors(
    codec: TableCodec, descriptions: Descriptions, vectors: TextVectors
) -> ColumnVectors:
    """Collect the text vectors of a codec's columns, learning those that are new.

    Parameters
    ----------
    codec : TableCodec
    descriptions : mapping of column name to str, or None
    vectors : TextVectors
    """
    texts = texts_of(codec, descriptions)
    headers = [texts[name] for name in (*codec.numeric_names, *codec.categorical_names)]
    # All texts at once: the encoder may be slow to call.
    known = vectors([*headers, *(key for keys in codec.categories for key in keys)])
    cuts = np.cumsum([len(headers), *map(len, codec.categories)])
    parts = np.split(known, cuts[:-1])
    return ColumnVectors(parts[0], tuple(parts[1:]))


def encode_cohort(pretrainer: Any, rows: Rows) -> tuple[EncodedTable, ColumnVectors]:
    """Encode rows of a cohort by what its headers mean.

    Parameters
    ----------
    pretrainer : CITabPretrainer
        Fitted.
    rows : Rows
        Of one cohort.

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
    codec, descriptions = pretrainer.codec_, pretrainer.column_descriptions
    own = codec.find(rows.cohort)
    # What is learned of texts here is forgotten: transforming changes nothing.
    vectors = pretrainer.vectors_.copy()
    if own is not None and not is_frame(rows.table):
        return own.encode(rows.table), column_vectors(own, descriptions, vectors)
    columns = read_columns(rows.table)
    others = [each for each in codec.codecs if each is not own]
    try:
        require_distinct([column.name for column in columns])
        adopted = adopt(columns, own, others, descriptions, vectors)
    except (TypeError, ValueError) as error:
        if rows.cohort == UNNAMED:
            raise
        raise type(error)(f"cohort {shorten(rows.cohort)}: {error}") from error
    lacking = _lacking(own, columns)
    if adopted.nearest or lacking:
        _report(pretrainer, rows, own is not None, adopted, lacking)
    return adopted.encoded, column_vectors(adopted.codec, descriptions, vectors)


def names_of_cohorts(pretrainer: Any) -> list[Any]:
    """Name the cohorts that a pretrainer knows."""
    return list(pretrainer.codec_.names)


def _lacking(own: TableCodec | None, columns: Sequence[RawColumn]) -> list[Any]:
    """List the columns that a cohort had in fit and lacks now."""
    if own is None:
        return []
    there = {column.name for column in columns}
    return [name for name in own.numeric_names + own.categorical_names if name not in there]


def _report(
    pretrainer: Any, rows: Rows, is_known: bool, adopted: Adopted, lacking: Sequence[Any]
) -> None:
    # Of a new cohort, headers that are known to the letter need no line of their own.
    new = [
        f"{shorten(name)} (nearest known: {shorten(header)}, similarity {cosine:.2f})"
        if header
        else shorten(name)
        for name, (header, cosine) in adopted.nearest.items()
        if is_known or header != str(name)
    ]
    columns = join(new[:MOST_COLUMNS], len(new), "; ")
    parts = []
    if not is_known:
        which = f"with the columns {columns}" if columns else "all of whose columns are known"
        parts.append(f"{_stranger(pretrainer, rows)}, {which}")
    elif columns:
        parts.append(f"columns that cohort {shorten(rows.cohort)} did not have in fit: {columns}")
    if lacking:
        parts.append(f"cohort {shorten(rows.cohort)} without its columns [{listing(lacking)}]")
    what = "; and ".join(parts)
    if pretrainer.on_new_columns == "raise":
        raise ValueError(
            f"X holds {what}. Give the columns of fit, empty where nothing is known, and no others,"
            " or set on_new_columns='embed' to embed new ones by what their headers mean"
        )
    warn(f"embedded by their headers: {what}")


def _stranger(pretrainer: Any, rows: Rows) -> str:
    known = f"known are [{listing(names_of_cohorts(pretrainer))}]"
    if rows.cohort != UNNAMED:
        names = [str(name) for name in names_of_cohorts(pretrainer)]
        similar = get_close_matches(str(rows.cohort), names, n=1)
        guess = f"; is it {shorten(similar[0])}?" if similar else ""
        return f"a cohort that was not there in fit, {shorten(rows.cohort)} ({known}{guess})"
    column = pretrainer.cohort_column
    way = f"add the column {shorten(column)}"
    if column is None:
        way = "give a mapping of cohort to frame"
    return f"rows that name no cohort ({known}: {way})"


def embed_rows(
    network: FittedModule[Any, Any], encoded: EncodedTable, columns: ColumnVectors, device: str
) -> np.ndarray:
    """Embed rows of any columns from the table alone; float32 (n_rows, dim)."""
    where = resolve_device(device)
    net, layout = network.on(where), columns.build().to(where)

    def embed(numeric: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return net.encode(numeric, codes, layout)[0][:, 0]

    return apply_to_table(embed, encoded, device=where)
