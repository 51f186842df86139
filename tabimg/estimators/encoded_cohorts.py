"""Known and new cohorts: columns encoded by what their headers mean, and rows embedded."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch

from tabimg.estimators.shared_parameters import AnyColumnsParameters
from tabimg.headers import TextVectors, check_descriptions, header_texts
from tabimg.headers.nearest_columns import Adopted, Descriptions, adopt, described, texts_of
from tabimg.inputs.categorical import declares_categories, find_categorical
from tabimg.inputs.frames import MOST_COLUMNS, column_names, is_frame
from tabimg.inputs.image_roots import UNNAMED
from tabimg.inputs.rows import Rows
from tabimg.messages import join, listing, shorten, warn
from tabimg.table import CohortCodec, EncodedTable, RawColumn, TableCodec, read_columns
from tabimg.table.cohort_codec import require_distinct
from tabimg.table.columns import plain_name
from tabimg.training.citab_architectures import CohortArchitecture, ColumnVectors
from tabimg.training.fitted_module import FittedModule
from tabimg.training.inference import apply_to_table
from tabimg.training.runtime import resolve_device


def cohort_architecture(
    parameters: AnyColumnsParameters, columns: tuple[ColumnVectors, ...], text_dim: int
) -> CohortArchitecture:
    """Return the architecture of a table encoder for cohorts with these columns."""
    return CohortArchitecture(
        columns=columns,
        text_dim=text_dim,
        dim=int(parameters.dim),
        n_heads=int(parameters.n_heads),
        n_layers=int(parameters.n_layers),
        n_experts=int(parameters.n_experts),
        expansion=float(parameters.expansion),
        expert=parameters.expert,
        value_form=parameters.value_form,
    )


def column_vectors(
    codec: TableCodec, descriptions: Descriptions, vectors: TextVectors
) -> ColumnVectors:
    """Collect the text vectors of a codec's columns, computing those that are new.

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


@dataclass(frozen=True, eq=False)
class KnownCohorts:
    """What a pretrainer knows about cohorts, and what it does with new ones.

    Parameters
    ----------
    codec : CohortCodec
    vectors : TextVectors
    descriptions : mapping of column name to str, or None
    cohort_column : column label or None
    on_new_columns : {"raise", "embed"}
    """

    codec: CohortCodec
    vectors: TextVectors
    descriptions: Descriptions
    cohort_column: Hashable | None
    on_new_columns: str

    @classmethod
    def of(cls, pretrainer: Any) -> KnownCohorts:
        """Return what a fitted pretrainer knows."""
        return cls(
            pretrainer.codec_,
            pretrainer.vectors_,
            pretrainer.column_descriptions,
            pretrainer.cohort_column,
            pretrainer.on_new_columns,
        )

    def encode(self, rows: Rows) -> tuple[EncodedTable, ColumnVectors]:
        """Encode rows of one cohort.

        Returns
        -------
        encoded : EncodedTable
        columns : ColumnVectors
            Of the encoded columns.

        Raises
        ------
        ValueError
            For an unknown cohort or unknown columns, with ``on_new_columns="raise"``.

        Warns
        -----
        UserWarning
            For these, with ``on_new_columns="embed"``; says what the network takes them for.
        """
        own = self.codec.find(rows.cohort)
        # A copy, since transforming must not change the estimator.
        vectors = self.vectors.copy()
        if own is not None and not is_frame(rows.table):
            return own.encode(rows.table), column_vectors(own, self.descriptions, vectors)
        columns = read_columns(rows.table)
        others = [each for each in self.codec.codecs if each is not own]
        try:
            require_distinct([column.name for column in columns])
            adopted = adopt(columns, own, others, self.descriptions, vectors)
        except (TypeError, ValueError) as error:
            if rows.cohort == UNNAMED:
                raise
            raise type(error)(f"cohort {shorten(rows.cohort)}: {error}") from error
        lacking = _lacking(own, columns)
        if adopted.nearest or lacking:
            self._report(rows, own is not None, adopted, lacking)
        return adopted.encoded, column_vectors(adopted.codec, self.descriptions, vectors)

    def _report(self, rows: Rows, is_known: bool, adopted: Adopted, lacking: Sequence[Any]) -> None:
        # In a new cohort, headers that are literally known are not listed.
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
            parts.append(f"{self._stranger(rows)}, {which}")
        elif columns:
            parts.append(
                f"columns that cohort {shorten(rows.cohort)} did not have in fit: {columns}"
            )
        if lacking:
            parts.append(f"cohort {shorten(rows.cohort)} without its columns [{listing(lacking)}]")
        what = "; and ".join(parts)
        if self.on_new_columns == "raise":
            raise ValueError(
                f"X holds {what}. Give the columns of fit, empty where unknown, and no others, or "
                "set on_new_columns='embed' to embed new ones by what their headers mean"
            )
        warn(f"embedded by their headers: {what}")

    def _stranger(self, rows: Rows) -> str:
        names = list(self.codec.names)
        known = f"known are [{listing(names)}]"
        if rows.cohort != UNNAMED:
            similar = get_close_matches(str(rows.cohort), list(map(str, names)), n=1)
            guess = f"; did you mean {shorten(similar[0])}?" if similar else ""
            return f"a cohort that fit did not see, {shorten(rows.cohort)} ({known}{guess})"
        way = f"add the column {shorten(self.cohort_column)}"
        if self.cohort_column is None:
            way = "give a mapping of cohort to frame"
        return f"rows that name no cohort ({known}: {way})"


def _lacking(own: TableCodec | None, columns: Sequence[RawColumn]) -> list[Any]:
    """List the columns that a cohort had in fit but lacks now."""
    if own is None:
        return []
    there = {column.name for column in columns}
    return [name for name in own.numeric_names + own.categorical_names if name not in there]


def own_columns(table: Any, several: bool) -> Any:
    """Return the columns of a cohort, sorted by name, without those that it lacks.

    A cohort among several lacks the columns that are empty. The same columns result however the
    frames were put together.
    """
    if not is_frame(table):
        return table
    names = sorted(table.columns, key=lambda name: str(plain_name(name)))
    absent = [c.name for c in read_columns(table) if c.all_missing()] if several else []
    there = [name for name in names if plain_name(name) not in absent]
    # If no column is left, the codec raises the error.
    return table[there or names]


def categorical_of_cohorts(categorical_features: Any, tables: Sequence[Any]) -> list[str | int]:
    """Find the columns of any cohort that a ``categorical_features`` parameter names.

    Raises
    ------
    ValueError
        As `find_categorical`; and for positions if the cohorts have different columns.
    """
    columns = [column_names(table) for table in tables]
    if all(names == columns[0] for names in columns):
        return find_categorical(categorical_features, columns[0])
    chosen = list(categorical_features) if declares_categories(categorical_features) else []
    if any(isinstance(each, (bool, np.bool_, int, np.integer)) for each in chosen):
        raise ValueError("the cohorts have different columns: categorical_features must give names")
    return find_categorical(chosen, list(dict.fromkeys(c for names in columns for c in names)))


def check_headers(tables: Sequence[Any], codec: CohortCodec, descriptions: Descriptions) -> None:
    """Check that each used column has a meaningful header or description.

    Raises
    ------
    TypeError, ValueError
        See `check_descriptions` and `header_texts`; names the cohort if there are several.
    """
    known = [each.schema.names for each in codec.codecs]
    check_descriptions([column for names in known for column in names], descriptions)
    for name, table, own in zip(codec.names, tables, known, strict=True):
        # In the user's order, since the message gives the position.
        names = table.columns if is_frame(table) else own
        columns = [plain_name(column) for column in names if plain_name(column) in own]
        try:
            header_texts(columns, described(columns, descriptions))
        except ValueError as error:
            if len(known) == 1:
                raise
            raise ValueError(f"cohort {shorten(name)}: {error}") from error


def embed_rows(
    network: FittedModule[Any, Any], encoded: EncodedTable, columns: ColumnVectors, device: str
) -> np.ndarray:
    """Embed rows of any columns from the table alone; float32 (n_rows, dim)."""
    where = resolve_device(device)
    net, layout = network.on(where), columns.build().to(where)

    def embed(numeric: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return net.encode(numeric, codes, layout)[0][:, 0]

    return apply_to_table(embed, encoded, device=where)
