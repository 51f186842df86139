"""Tables whose columns were not all there in fit: read by what their headers mean."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tabimg.table.codec import TableCodec
from tabimg.table.columns import ColumnKind, RawColumn
from tabimg.table.encoded import EncodedTable
from tabimg.table.frames import read_columns
from tabimg.table.headers import header_texts
from tabimg.table.schema import as_kind
from tabimg.table.text_vectors import TextVectors, nearest_headers

Descriptions = Mapping[Hashable, str] | None
_SCALING = ("medians", "scales", "clip_means", "clip_stds")


@dataclass(frozen=True, eq=False)
class Adopted:
    """A table encoded by a codec that was made for it.

    Parameters
    ----------
    codec : TableCodec
        Of the table's own columns, those without any cell left out.
    encoded : EncodedTable
    nearest : dict of str or int to (str, float)
        For each column that the known table lacks: the known header that it is nearest to, and
        their cosine similarity. Numbers are scaled as that column's.
    """

    codec: TableCodec
    encoded: EncodedTable
    nearest: dict[str | int, tuple[str, float]]


def texts_of(codec: TableCodec, descriptions: Descriptions) -> dict[str | int, str]:
    """Give the text of each column's header."""
    names = codec.schema.names
    return dict(zip(names, header_texts(names, described(names, descriptions)), strict=True))


def described(names: Sequence[Hashable], descriptions: Descriptions) -> dict[Hashable, str]:
    """Keep the descriptions of some columns."""
    return {name: text for name, text in (descriptions or {}).items() if name in names}


@dataclass(frozen=True)
class KnownColumn:
    """A column that a codec knows.

    Parameters
    ----------
    text : str
        Of its header.
    scaling : tuple of 4 float, or None
        Of a column of numbers, see `RobustScaling`; None of one of categories.
    """

    text: str
    scaling: tuple[float, ...] | None


def known_columns(codecs: Sequence[TableCodec], descriptions: Descriptions) -> list[KnownColumn]:
    """List the columns of several codecs, those of the first one first."""
    found = []
    for codec in codecs:
        texts, scalings = texts_of(codec, descriptions), codec.scalings()
        found += [KnownColumn(texts[n], scalings[n]) for n in codec.numeric_names]
        found += [KnownColumn(texts[n], None) for n in codec.categorical_names]
    return found


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
        As read from a table; those without any cell are left out.
    own : TableCodec or None
        Of the cohort that the rows belong to, where it is known.
    others : sequence of TableCodec
        Of the other cohorts that are known.
    descriptions : mapping of column name to str, or None
    vectors : TextVectors
        Learns the texts that are new.

    Returns
    -------
    Adopted

    Notes
    -----
    A number can only be scaled as some known column is, for nothing of a row may depend on the
    rows beside it: as its own column, or as the one whose header is nearest. Categories need no
    such help; each is its text.

    Raises
    ------
    ValueError
        If no cell is observed, a column is of another kind than its own cohort has it, or a number
        meets no known column of numbers.
    """
    columns = [column for column in columns if not column.all_missing()]
    if not columns:
        raise ValueError("every cell of these rows is missing: there is nothing to embed")
    columns = [_as_known(column, own) for column in columns]
    names = [column.name for column in columns]
    texts = header_texts(names, described(names, descriptions))
    known = known_columns([*([] if own is None else [own]), *others], descriptions)
    nearest = [
        _nearest(column, text, known, vectors) for column, text in zip(columns, texts, strict=True)
    ]
    codec = _build(columns, [found.scaling for found, _ in nearest], own)
    familiar = set() if own is None else set(own.schema.names)
    return Adopted(
        codec,
        codec.encode_columns(columns),
        {
            name: (found.text, cosine)
            for name, (found, cosine) in zip(names, nearest, strict=True)
            if name not in familiar
        },
    )


def _as_known(column: RawColumn, own: TableCodec | None) -> RawColumn:
    if own is None or column.name not in own.schema.names:
        return column
    kind = own.schema.kinds[own.schema.names.index(column.name)]
    return column if kind is ColumnKind.EMPTY else as_kind(column, kind)


def _nearest(
    column: RawColumn, text: str, known: Sequence[KnownColumn], vectors: TextVectors
) -> tuple[KnownColumn, float]:
    """Find the known column of the same sort whose header is nearest."""
    is_number = column.kind.is_continuous
    alike = [each for each in known if (each.scaling is not None) == is_number]
    if not alike and is_number:
        raise ValueError(
            f"column {column.name!r} holds numbers, and no column of numbers was there in fit: "
            "there is nothing to scale it by. Leave it out, or turn it into categories"
        )
    if not alike:
        return KnownColumn("", None), 0.0
    header, cosine = nearest_headers([text], [each.text for each in alike], vectors)[text][0]
    return next(each for each in alike if each.text == header), cosine


def _build(
    columns: Sequence[RawColumn],
    scalings: Sequence[tuple[float, ...] | None],
    own: TableCodec | None,
) -> TableCodec:
    """Make a codec from scalings, and from the categories that are there."""
    numbers = np.array([s for s in scalings if s is not None], dtype=np.float64).reshape(-1, 4)
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
    codec: TableCodec,
    known: Sequence[TableCodec],
    descriptions: Descriptions,
    vectors: TextVectors,
) -> dict[str | int, tuple[str, float]]:
    """Find what the columns of a table that known codecs lack are taken for.

    Returns
    -------
    dict of column name to (str, float)
        The nearest known header and the cosine similarity, of each column whose own header is not
        known.
    """
    headers = [text for other in known for text in texts_of(other, descriptions).values()]
    own = texts_of(codec, descriptions)
    new = {name: text for name, text in own.items() if text not in headers}
    found = nearest_headers(list(new.values()), headers, vectors)
    return {name: found[text][0] for name, text in new.items()}


def extend_categories(
    codec: TableCodec, known: Sequence[TableCodec], descriptions: Descriptions
) -> TableCodec:
    """Add the categories that known codecs have of columns with an equal header.

    Few labelled rows show few categories; those of the pre-training have a meaning as well.
    """
    seen: dict[str, list[str]] = {}
    for other in known:
        texts = texts_of(other, descriptions)
        for name, keys in zip(other.categorical_names, other.categories, strict=True):
            seen.setdefault(texts[name], []).extend(keys)
    texts, state = texts_of(codec, descriptions), codec.to_state()
    kinds = dict(zip(codec.schema.names, codec.schema.kinds, strict=True))
    state["categories"] = [
        keys
        if kinds[name] is ColumnKind.BOOLEAN
        else list(dict.fromkeys([*keys, *seen.get(texts[name], [])]))
        for name, keys in zip(codec.categorical_names, codec.categories, strict=True)
    ]
    return TableCodec.from_state(state)


# Other spellings of one word are nearer than this, other words hardly ever.
SAME_MEANING = 0.5


def respell(
    table: Any, codec: TableCodec, vectors: TextVectors
) -> tuple[list[RawColumn], dict[str | int, dict[str, str]]]:
    """Read a table, with each unknown category read as the known one that is nearest.

    Parameters
    ----------
    table : table of the codec's columns
    codec : TableCodec
    vectors : TextVectors
        Learns the texts that are new.

    Returns
    -------
    columns : list of RawColumn
    changed : dict of column name to dict of str to str
        What was read as what. Categories with no known one nearer than ``SAME_MEANING`` stay as
        they are, unknown.
    """
    known = dict(zip(codec.categorical_names, codec.categories, strict=True))
    columns, changed = [], {}
    for column in read_columns(table):
        categories = known.get(column.name, [])
        if not column.kind.is_discrete or not categories:
            columns.append(column)
            continue
        new = sorted(set(column.values[~column.missing()].tolist()) - set(categories))
        nearest = nearest_headers(new, categories, vectors)
        read_as = {key: near[0][0] for key, near in nearest.items() if near[0][1] >= SAME_MEANING}
        if read_as:
            changed[column.name] = read_as
            values = np.array([read_as.get(key, key) for key in column.values], dtype=object)
            column = RawColumn(column.name, column.kind, values)
        columns.append(column)
    return columns, changed
