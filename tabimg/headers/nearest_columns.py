"""Tables with columns that were not there in fit: read by what their headers mean."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tabimg.headers.names import header_texts
from tabimg.headers.text_vectors import TextVectors, nearest_headers
from tabimg.messages import shorten
from tabimg.table.codec import TableCodec
from tabimg.table.columns import ColumnKind, RawColumn, plain_name
from tabimg.table.encoded import EncodedTable
from tabimg.table.schema import as_kind

Descriptions = Mapping[Hashable, str] | None
_SCALING = ("medians", "scales", "clip_means", "clip_stds")


@dataclass(frozen=True, eq=False)
class Adopted:
    """A table encoded by a codec that was made for it.

    Parameters
    ----------
    codec : TableCodec
        Of the cohort's known columns, then of new ones with an observed cell.
    encoded : EncodedTable
    nearest : dict of str or int to (str, float)
        For each column that the known table lacks: the nearest known header, and the cosine
        similarity of the two. Numbers are scaled like those of that column.
    """

    codec: TableCodec
    encoded: EncodedTable
    nearest: dict[str | int, tuple[str, float]]


def texts_of(codec: TableCodec, descriptions: Descriptions) -> dict[str | int, str]:
    """Return the text of each column's header."""
    names = codec.schema.names
    return dict(zip(names, header_texts(names, described(names, descriptions)), strict=True))


def described(names: Sequence[Hashable], descriptions: Descriptions) -> dict[Hashable, str]:
    """Keep the descriptions of some columns."""
    return {name: text for name, text in (descriptions or {}).items() if plain_name(name) in names}


@dataclass(frozen=True)
class KnownColumn:
    """A column that a codec knows.

    Parameters
    ----------
    text : str
        Of its header.
    kind : ColumnKind
    scaling : tuple of 4 float, or None
        For a column of numbers or dates, see `RobustScaling`; None for categories.
    """

    text: str
    kind: ColumnKind
    scaling: tuple[float, ...] | None

    def is_like(self, column: RawColumn) -> bool:
        """Return whether cells mean the same sort of thing: dates are not numbers."""
        return self.kind is column.kind or (self.kind.is_discrete and column.kind.is_discrete)


def known_columns(codecs: Sequence[TableCodec], descriptions: Descriptions) -> list[KnownColumn]:
    """List the columns of several codecs, those of the first one first."""
    return [
        KnownColumn(texts[name], kind, scalings.get(name))
        for codec in codecs
        for texts, scalings in [(texts_of(codec, descriptions), codec.scalings())]
        for name, kind in zip(codec.schema.names, codec.schema.kinds, strict=True)
        if kind is not ColumnKind.EMPTY
    ]


def adopt(
    columns: Sequence[RawColumn],
    own: TableCodec | None,
    others: Sequence[TableCodec],
    descriptions: Descriptions,
    vectors: TextVectors,
) -> Adopted:
    """Encode columns of which some, or all, are new.

    Parameters
    ----------
    columns : sequence of RawColumn
        As read from a table. New ones without an observed cell are left out; known ones that are
        absent become missing.
    own : TableCodec or None
        Of the cohort that the rows belong to, if known.
    others : sequence of TableCodec
        Of the other known cohorts.
    descriptions : mapping of column name to str, or None
    vectors : TextVectors
        Learns the texts that are new.

    Returns
    -------
    Adopted

    Notes
    -----
    A row's encoding may not depend on the rows around it, so a number can only be scaled like a
    known column: its own, or the one with the nearest header. Categories need no such help: each
    is its text.

    Raises
    ------
    ValueError
        If no cell of an unknown cohort is observed, a column is of another kind than in its own
        cohort, or there is no known column of numbers or dates to scale one by.
    """
    old, new = _own_and_new(columns, own)
    if not old and not new:
        raise ValueError("every cell of these rows is missing: there is nothing to embed")
    names = [column.name for column in (*old, *new)]
    # Known columns come first and complete, so that their headers read as they did in fit.
    texts = header_texts(names, described(names, descriptions))[len(old) :]
    known = known_columns([*([] if own is None else [own]), *others], descriptions)
    found = [_nearest(c, text, known, vectors) for c, text in zip(new, texts, strict=True)]
    scalings: dict[str | int, tuple[float, ...] | None] = {}
    scalings |= {} if own is None else own.scalings()
    scalings |= {c.name: near.scaling for c, (near, _) in zip(new, found, strict=True)}
    codec = _build([*old, *new], scalings, own)
    return Adopted(
        codec,
        codec.encode_columns([*old, *new]),
        {c.name: (near.text, cosine) for c, (near, cosine) in zip(new, found, strict=True)},
    )


def _own_and_new(
    columns: Sequence[RawColumn], own: TableCodec | None
) -> tuple[list[RawColumn], list[RawColumn]]:
    """Separate a cohort's known columns, in its own order, from new ones."""
    given = {column.name: column for column in columns}
    old = []
    if own is not None:
        nothing = np.full(len(columns[0]), np.nan)
        for name, kind in zip(own.schema.names, own.schema.kinds, strict=True):
            absent = RawColumn(name, ColumnKind.EMPTY, nothing)
            old.append(as_kind(given.pop(name, absent), kind))
    new = [column for column in given.values() if not column.all_missing()]
    return old, sorted(new, key=lambda column: str(column.name))


def _nearest(
    column: RawColumn, text: str, known: Sequence[KnownColumn], vectors: TextVectors
) -> tuple[KnownColumn, float]:
    """Find the known column of the same sort whose header is nearest."""
    alike = [each for each in known if each.is_like(column)]
    if not alike and column.kind.is_continuous:
        raise ValueError(
            f"column {shorten(column.name)} is {column.kind.value}, and there was no such column "
            "in fit: there is nothing to scale it by. Leave it out, or turn it into categories"
        )
    if not alike:
        return KnownColumn("", column.kind, None), 0.0
    same = [each for each in alike if each.text == text]
    if same:  # other spellings may be just as near
        return same[0], 1.0
    header, cosine = nearest_headers([text], [each.text for each in alike], vectors)[text][0]
    return next(each for each in alike if each.text == header), cosine


def _build(
    columns: Sequence[RawColumn],
    scalings: Mapping[str | int, tuple[float, ...] | None],
    own: TableCodec | None,
) -> TableCodec:
    """Make a codec from scalings and the categories that occur."""
    continuous = [scalings[column.name] for column in columns if column.kind.is_continuous]
    numbers = np.array(continuous, dtype=np.float64).reshape(-1, 4)
    categories = [_categories(c, own) for c in columns if c.kind.is_discrete]
    return TableCodec.from_state(
        {
            "names": [column.name for column in columns],
            "kinds": [column.kind.value for column in columns],
            "categories": categories,
            "numeric_has_missing": np.ones(len(numbers), dtype=bool),
            "categorical_has_missing": np.ones(len(categories), dtype=bool),
            **dict(zip(_SCALING, numbers.T, strict=True)),
        }
    )


def _categories(column: RawColumn, own: TableCodec | None) -> list[str]:
    """List the column's categories: those known to its own cohort, then those that are new."""
    known: list[str] = []
    if own is not None and column.name in own.categorical_names:
        known = own.categories[own.categorical_names.index(column.name)]
    new = sorted(set(column.values[~column.missing()].tolist()) - set(known))
    return [*known, *new]


def nearest_known(
    texts: Mapping[str | int, str], known: Sequence[str], vectors: TextVectors
) -> dict[str | int, tuple[str, float]]:
    """Find which known columns the new columns of a table are taken for.

    Parameters
    ----------
    texts : mapping of column name to str
        The texts of the table's headers.
    known : sequence of str
        Those of the known tables.
    vectors : TextVectors
        Learns the texts that are new.

    Returns
    -------
    dict of column name to (str, float)
        The nearest known header and the cosine similarity, for each column whose own header is
        unknown.
    """
    new = {name: text for name, text in texts.items() if text not in known}
    found = nearest_headers(list(new.values()), known, vectors)
    return {name: found[text][0] for name, text in new.items()}
