"""Tables of several cohorts below each other, each with columns of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tabimg.table import CohortCodec, CohortTable, TableCodec

NORTH = pd.DataFrame({"age": [30.0, np.nan, 50.0], "sex": ["f", "m", None], "bmi": [20.0, 25, 30]})
SOUTH = pd.DataFrame({"grade": ["a", "b"], "site": ["arm", "leg"], "years": [3, 4]})


@pytest.fixture
def codec() -> CohortCodec:
    return CohortCodec.fit(["north", "south"], [NORTH, SOUTH])


def test_rows_hold_their_own_cells_first_and_missing_ones_behind(codec: CohortCodec) -> None:
    table = codec.encode(["north", "south"], [NORTH, SOUTH])
    north, south = (TableCodec().fit(t).encode(t) for t in (NORTH, SOUTH))
    assert table.numeric.shape == (5, 2) and table.codes.shape == (5, 2)
    assert (table.numeric.dtype, table.codes.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(table.numeric[:3], north.numeric)
    np.testing.assert_array_equal(table.codes[:3, :1], north.codes)
    np.testing.assert_array_equal(table.numeric[3:, :1], south.numeric)
    np.testing.assert_array_equal(table.codes[3:], south.codes)
    assert np.isnan(table.numeric[3:, 1]).all()
    assert (table.codes[:3, 1] == 1).all()
    assert table.cohorts.tolist() == [0, 0, 0, 1, 1]


def test_cohorts_keep_their_number_in_any_order_and_selection(codec: CohortCodec) -> None:
    whole = codec.encode(["north", "south"], [NORTH, SOUTH])
    turned = codec.encode(["south", "north"], [SOUTH, NORTH])
    order = np.array([3, 4, 0, 1, 2])
    for ours, theirs in zip(whole.take(order).arrays(), turned.arrays(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    alone = codec.encode(["south"], [SOUTH])
    assert alone.cohorts.tolist() == [1, 1]
    assert alone.numeric.shape == (2, 1)


def test_columns_may_come_in_another_order_beside_empty_ones(codec: CohortCodec) -> None:
    plain = codec.encode(["north"], [NORTH])
    mixed = codec.encode(["north"], [NORTH[["bmi", "sex", "age"]].assign(grade=np.nan)])
    for ours, theirs in zip(plain.arrays(), mixed.arrays(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_columns_that_are_not_those_of_fit_are_named(codec: CohortCodec) -> None:
    with pytest.raises(ValueError, match=r"'north'.*missing: \['bmi'\], not known: \['weight'\]"):
        codec.encode(["north"], [NORTH.rename(columns={"bmi": "weight"})])


def test_cohort_that_is_not_known_is_named(codec: CohortCodec) -> None:
    assert codec.find("west") is None
    assert codec.find("south") is codec.codecs[1]
    with pytest.raises(ValueError, match=r"\['west'\] are not known, only \['north', 'south'\]"):
        codec.encode(["west"], [NORTH])


def test_messages_name_the_cohort_where_there_are_several() -> None:
    broken = NORTH.assign(age=np.inf)
    with pytest.raises(ValueError, match=r"cohort 'south': .*'age'"):
        CohortCodec.fit(["north", "south"], [NORTH, broken])
    with pytest.raises(ValueError, match=r"^(?!cohort).*'age'"):
        CohortCodec.fit(["table"], [broken])
    with pytest.raises(ValueError, match=r"cohort 'south': Every cell of the table is missing"):
        CohortCodec.fit(["north", "south"], [NORTH, SOUTH.assign(grade=None)[["grade"]]])


def test_name_that_stands_twice_is_refused() -> None:
    twice = pd.concat([NORTH, NORTH[["age"]]], axis=1)
    with pytest.raises(ValueError, match="more than one column named 'age'"):
        CohortCodec.fit(["north"], [twice])


def test_cohort_of_one_row_or_one_column_is_encoded() -> None:
    codec = CohortCodec.fit(["one", "north"], [NORTH.iloc[[0]][["age"]], NORTH])
    table = codec.encode(["one", "north"], [pd.DataFrame({"age": [30.0, 31.0]}), NORTH])
    assert table.numeric[0, 0] == 0.0
    assert np.isfinite(table.numeric[:2, 0]).all()
    assert table.numeric.shape == (5, 2)


def test_row_keys_tell_cohorts_apart() -> None:
    same = pd.DataFrame({"age": [1.0, 2.0, 2.0]})
    codec = CohortCodec.fit(["a", "b"], [same, same])
    keys = codec.encode(["a", "b"], [same, same]).row_keys()
    assert keys.tolist() == [0, 1, 1, 2, 3, 3]


def test_take_repeats_and_orders_rows(codec: CohortCodec) -> None:
    table = codec.encode(["north", "south"], [NORTH, SOUTH])
    taken = table.take(np.array([4, 0, 4]))
    assert isinstance(taken, CohortTable) and len(taken) == 3
    assert taken.cohorts.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(taken.codes, table.codes[[4, 0, 4]])
