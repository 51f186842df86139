"""Categories that are written in several ways, or known from another table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tabimg.headers.names import normalise_header
from tabimg.headers.nearest_columns import Descriptions, texts_of
from tabimg.headers.text_vectors import TextVectors, nearest_headers
from tabimg.table.codec import TableCodec
from tabimg.table.columns import ColumnKind, RawColumn
from tabimg.table.frames import read_columns

# Texts that differ in spelling only, such as in case. A lower bound would not do: opposites such
# as "typical" and "atypical" are nearer than many synonyms.
SAME_READING = 0.99


def extend_categories(
    codec: TableCodec,
    texts: Mapping[str | int, str],
    known: Sequence[TableCodec],
    descriptions: Descriptions,
) -> TableCodec:
    """Add the categories that known codecs have of columns with an equal header.

    A few labelled rows show only some categories; those of the pre-training are known as well.
    Other spellings of a category that is there are left to `respell`.

    Parameters
    ----------
    codec : TableCodec
    texts : mapping of column name to str
        The texts of its headers.
    known : sequence of TableCodec
    descriptions : mapping of column name to str, or None
        Of the known codecs' columns.
    """
    seen: dict[str, list[str]] = {}
    for other in known:
        headers = texts_of(other, descriptions)
        for name, keys in zip(other.categorical_names, other.categories, strict=True):
            seen.setdefault(headers[name], []).extend(keys)
    state = codec.to_state()
    kinds = dict(zip(codec.schema.names, codec.schema.kinds, strict=True))
    state["categories"] = [
        keys if kinds[name] is ColumnKind.BOOLEAN else _extended(keys, seen.get(texts[name], []))
        for name, keys in zip(codec.categorical_names, codec.categories, strict=True)
    ]
    return TableCodec.from_state(state)


def respell(
    table: Any, codec: TableCodec, vectors: TextVectors
) -> tuple[list[RawColumn], dict[str | int, dict[str, str]]]:
    """Read a table, replacing each other spelling of a known category by that category.

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
        What was read as what. All other unknown categories stay as they are.
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
        read_as = {key: near[0][0] for key, near in nearest.items() if near[0][1] >= SAME_READING}
        if read_as:
            changed[column.name] = read_as
            values = np.array([read_as.get(key, key) for key in column.values], dtype=object)
            column = RawColumn(column.name, column.kind, values)
        columns.append(column)
    return columns, changed


def _extended(own: Sequence[str], further: Sequence[str]) -> list[str]:
    readings = {_reading(key) for key in own}
    return [*own, *dict.fromkeys(key for key in further if _reading(key) not in readings)]


def _reading(key: str) -> str:
    return normalise_header(key) or key
