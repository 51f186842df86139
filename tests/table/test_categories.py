from __future__ import annotations

import warnings

import numpy as np
import pytest

from tabimg.table.categories import MAX_CATEGORIES, Vocabulary
from tabimg.table.columns import ColumnKind, RawColumn


def text(*keys: str | None) -> RawColumn:
    return RawColumn("city", ColumnKind.CATEGORICAL, np.array(keys, dtype=object))


def test_codes_follow_the_sorted_keys():
    vocabulary = Vocabulary.fit(text("b", "a", None, "c", "a"))
    assert vocabulary.categories == ["a", "b", "c"]
    assert vocabulary.cardinality == 5
    codes = vocabulary.encode(np.array(["a", "b", "c", None, "new"], dtype=object))
    assert codes.dtype == np.int64 and codes.tolist() == [2, 3, 4, 1, 0]


def test_decode_gives_back_what_encode_took():
    column = text("b", None, "a")
    vocabulary = Vocabulary.fit(column)
    assert vocabulary.decode(vocabulary.encode(column.values)).tolist() == ["b", None, "a"]
    assert vocabulary.decode(np.array([0])).tolist() == [None]


def test_boolean_column_always_has_two_categories():
    column = RawColumn("sold", ColumnKind.BOOLEAN, np.array(["True", None], dtype=object))
    vocabulary = Vocabulary.fit(column)
    assert vocabulary.cardinality == 4
    assert vocabulary.encode(np.array(["False", "True"], dtype=object)).tolist() == [2, 3]


def test_most_frequent_of_too_many_categories_are_kept_with_a_warning():
    rare = [f"rare {k:04d}" for k in range(MAX_CATEGORIES)]
    frequent = ["zebra", "yak"] * 2
    with pytest.warns(UserWarning, match="column 'city' has 1026 categories: the 1024 most"):
        vocabulary = Vocabulary.fit(text(*rare, *frequent))
    assert len(vocabulary.categories) == MAX_CATEGORIES
    assert vocabulary.categories == sorted(["zebra", "yak", *rare[: MAX_CATEGORIES - 2]])
    assert vocabulary.encode(np.array([rare[-1]], dtype=object)).tolist() == [0]


def test_as_many_categories_as_allowed_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vocabulary = Vocabulary.fit(text(*map(str, range(MAX_CATEGORIES)), None))
    assert vocabulary.cardinality == MAX_CATEGORIES + 2
