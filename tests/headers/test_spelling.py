"""Categories that are written in several ways, or known from another table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tabimg.headers import NgramEncoder, TextVectors
from tabimg.headers.nearest_columns import texts_of
from tabimg.headers.spelling import extend_categories, respell
from tabimg.table import TableCodec


def test_categories_of_columns_with_an_equal_header_are_added() -> None:
    own = TableCodec().fit(pd.DataFrame({"sex": ["f", "f"], "site": ["arm", "leg"], "n": [1, 2]}))
    known = [
        TableCodec().fit(pd.DataFrame({"sex": ["m", "F"], "place": ["head", "leg"]})),
        TableCodec().fit(pd.DataFrame({"Körper": ["arm", "back"], "sex": ["m", "x"]})),
    ]
    extended = extend_categories(own, texts_of(own, None), known, {"place": "site"})
    # "F" is "f", written otherwise.
    assert dict(zip(extended.categorical_names, extended.categories, strict=True)) == {
        "sex": ["f", "m", "x"],
        "site": ["arm", "leg", "head"],
    }
    table = pd.DataFrame({"sex": ["f", "m"], "site": ["head", "leg"], "n": [1, 2]})
    assert extended.encode(table).codes.tolist() == [[2, 4], [3, 3]]
    np.testing.assert_array_equal(extended.encode(table).numeric, own.encode(table).numeric)


def test_boolean_column_keeps_its_two_categories() -> None:
    own = TableCodec().fit(pd.DataFrame({"smoker": [True, False]}))
    known = TableCodec().fit(pd.DataFrame({"smoker": ["yes", "no"]}))
    extended = extend_categories(own, texts_of(own, None), [known], None)
    assert extended.categories == [["False", "True"]]


@pytest.mark.parametrize(
    ("known", "given", "read_as"),
    [
        (["Lower Back", "arm"], "lower_back", "Lower Back"),
        (["Grün", "rot"], "grun", "Grün"),
        (["male", "other"], "female", None),
        (["typical", "absent"], "atypical", None),
        (["smoker", "unknown"], "non-smoker", None),
        (["stage 1", "stage 2"], "stage 3", None),
        (["HER2+", "none"], "HER2-", None),
    ],
)
def test_only_another_spelling_is_read_as_a_known_category(
    known: list[str], given: str, read_as: str | None
) -> None:
    codec = TableCodec().fit(pd.DataFrame({"c": known, "n": [1.0, 2.0]}))
    table = pd.DataFrame({"c": [given, known[1], None], "n": [1.0, 2.0, 3.0]})
    columns, changed = respell(table, codec, TextVectors(NgramEncoder()))
    assert changed == ({"c": {given: read_as}} if read_as else {})
    codes = codec.encode_columns(columns).codes[:, 0]
    expected = 0 if read_as is None else 2 + codec.categories[0].index(read_as)
    assert codes.tolist() == [expected, 2 + codec.categories[0].index(known[1]), 1]
