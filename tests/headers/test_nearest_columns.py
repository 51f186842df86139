"""Rows of columns that were not there in fit, read by their headers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.headers import NgramEncoder, TextVectors
from tabimg.headers.nearest_columns import (
    Adopted,
    adopt,
    described,
    known_columns,
    nearest_known,
    texts_of,
)
from tabimg.table import TableCodec, read_columns

FITTED = pd.DataFrame(
    {
        "systolic_bp": [100.0, 120.0, 140.0, 160.0],
        "weight_kg": [50.0, 60.0, 70.0, np.nan],
        "sex": ["female", "male", "male", None],
        "visit": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"]),
        "smoker": [True, False, True, False],
    }
)


@pytest.fixture
def own() -> TableCodec:
    return TableCodec().fit(FITTED)


def run(table: Any, own: TableCodec | None, *others: TableCodec, **descriptions: str) -> Adopted:
    vectors = TextVectors(NgramEncoder())
    return adopt(read_columns(table), own, others, descriptions or None, vectors)


def test_known_columns_are_encoded_as_in_fit_whatever_their_order(own: TableCodec) -> None:
    expected = own.encode(FITTED)
    for table in (FITTED, FITTED[FITTED.columns[::-1]]):
        adopted = run(table, own)
        assert adopted.nearest == {}
        assert adopted.codec.schema == own.schema
        np.testing.assert_array_equal(adopted.encoded.numeric, expected.numeric)
        np.testing.assert_array_equal(adopted.encoded.codes, expected.codes)


def test_row_alone_and_in_a_batch_reads_the_same(own: TableCodec) -> None:
    together = run(FITTED, own)
    for row in range(len(FITTED)):
        alone = run(FITTED.iloc[[row]], own)
        assert alone.codec.schema == together.codec.schema
        np.testing.assert_array_equal(alone.encoded.numeric[0], together.encoded.numeric[row])
        np.testing.assert_array_equal(alone.encoded.codes[0], together.encoded.codes[row])


def test_known_columns_that_are_absent_or_empty_are_missing(own: TableCodec) -> None:
    absent = run(FITTED[["sex"]], own)
    empty = run(FITTED.assign(systolic_bp=None, weight_kg=np.nan, visit=pd.NaT, smoker=None), own)
    for adopted in (absent, empty):
        assert adopted.codec.schema == own.schema
        assert np.isnan(adopted.encoded.numeric).all()
        assert (adopted.encoded.codes[:, 1] == 1).all()
    nothing = run(FITTED.iloc[:2].assign(**dict.fromkeys(FITTED.columns)), own)
    assert np.isnan(nothing.encoded.numeric).all() and (nothing.encoded.codes == 1).all()


def test_headers_of_one_reading_keep_their_texts_in_any_order() -> None:
    table = pd.DataFrame({"age": [1.0, 2.0], "Age": [10.0, 20.0]})
    own = TableCodec().fit(table)
    assert texts_of(own, None) == {"age": "age", "Age": "Age 2"}
    for given in (table[["Age", "age"]], table.assign(age=np.nan), table[["Age"]]):
        assert texts_of(run(given, own).codec, None) == {"age": "age", "Age": "Age 2"}


def test_column_that_was_empty_in_fit_stays_nothing() -> None:
    with pytest.warns(UserWarning, match="No observed value in column 'late'"):
        own = TableCodec().fit(FITTED.assign(late=np.nan))
    adopted = run(FITTED.assign(late=[1.0, 2.0, 3.0, 4.0]), own)
    assert adopted.nearest == {}
    assert adopted.codec.numeric_names == ["systolic_bp", "weight_kg", "visit"]


def test_new_number_is_scaled_as_the_known_column_with_the_nearest_header(own: TableCodec) -> None:
    values = pd.DataFrame({"SystolicBloodPressure": [100.0, 130.0], "body weight kg": [55.0, 65.0]})
    adopted = run(values, None, own)
    found = {name: header for name, (header, _) in adopted.nearest.items()}
    assert found == {"SystolicBloodPressure": "systolic_bp", "body weight kg": "weight_kg"}
    known = pd.DataFrame({"systolic_bp": [100.0, 130.0], "weight_kg": [55.0, 65.0]})
    expected = own.encode(known.assign(sex=None, visit=pd.NaT, smoker=None)[FITTED.columns])
    order = [adopted.codec.numeric_names.index(name) for name in values.columns]
    np.testing.assert_array_equal(adopted.encoded.numeric[:, order], expected.numeric[:, :2])
    assert all(0.3 < cosine <= 1.0 for _, cosine in adopted.nearest.values())


def test_own_cohort_counts_before_others_of_the_same_header(own: TableCodec) -> None:
    other = TableCodec().fit(FITTED[["systolic_bp"]] * 10)
    new = pd.DataFrame({"systolic BP": [120.0]})
    ours = run(new.assign(systolic_bp=120.0), own, other)
    np.testing.assert_array_equal(*ours.encoded.numeric[:, [0, -1]].T)
    theirs = run(new, None, other, own)
    assert theirs.encoded.numeric[0, 0] != ours.encoded.numeric[0, 0]


def test_dates_are_scaled_as_dates_and_numbers_as_numbers(own: TableCodec) -> None:
    # "visit" alone is nearer to the number's header.
    adopted = run(pd.DataFrame({"visit weight": [60.0]}), None, own)
    assert adopted.nearest["visit weight"][0] == "weight_kg"
    dates = pd.DataFrame({"weight date": pd.to_datetime(["2020-02-15"])})
    assert run(dates, None, own).nearest["weight date"][0] == "visit"
    with pytest.raises(ValueError, match=r"'weight date' is datetime, and there was no such"):
        run(dates, None, TableCodec().fit(FITTED[["weight_kg", "sex"]]))


def test_number_without_any_known_number_is_refused(own: TableCodec) -> None:
    words = TableCodec().fit(FITTED[["sex"]])
    with pytest.raises(ValueError, match=r"'bmi' is numeric, and there was no such column"):
        run(pd.DataFrame({"bmi": [20.0]}), None, words)
    adopted = run(pd.DataFrame({"gender": ["female"]}), None, TableCodec().fit(FITTED[["visit"]]))
    assert adopted.nearest == {"gender": ("", 0.0)}


def test_categories_are_those_of_the_cohort_and_then_the_new_ones(own: TableCodec) -> None:
    adopted = run(FITTED.assign(sex=["other", "male", None, "f"]), own)
    assert adopted.codec.categories[0] == ["female", "male", "f", "other"]
    assert adopted.encoded.codes[:, 0].tolist() == [5, 3, 1, 4]
    fresh = run(pd.DataFrame({"gender": ["w", "m", "w"]}), None, own)
    assert fresh.codec.categories == [["m", "w"]]
    assert fresh.nearest["gender"][0] in {"sex", "smoker"}


def test_column_of_another_kind_than_its_cohort_has_is_refused(own: TableCodec) -> None:
    with pytest.raises(ValueError, match=r"'weight_kg' was numeric in fit but is categorical now"):
        run(FITTED.assign(weight_kg="heavy"), own)
    assert run(FITTED.assign(smoker=[1, 0, 1, np.nan]), own).encoded.codes[:, 1].tolist() == [
        *(3, 2, 3, 1)
    ]


def test_unknown_rows_without_any_cell_are_refused(own: TableCodec) -> None:
    with pytest.raises(ValueError, match="nothing to embed"):
        run(pd.DataFrame({"bmi": [np.nan], "gender": [None]}), None, own)


def test_description_is_what_is_compared(own: TableCodec) -> None:
    plain = run(pd.DataFrame({"v17": [120.0]}), None, own)
    told = run(pd.DataFrame({"v17": [120.0]}), None, own, v17="systolic blood pressure")
    assert told.nearest["v17"][0] == "systolic_bp"
    assert told.nearest["v17"][1] > plain.nearest["v17"][1]


def test_descriptions_of_other_tables_columns_are_left_out() -> None:
    texts = {"age": "years of age", 3: "third", "else": "elsewhere"}
    assert described(["age", 3], texts) == {"age": "years of age", 3: "third"}
    assert described(["age"], {np.int64(4): "x"}) == {}
    assert described([4], {np.int64(4): "x"}) == {np.int64(4): "x"}
    assert described(["age"], None) == {}


def test_known_columns_list_kind_and_scaling(own: TableCodec) -> None:
    found = {each.text: each for each in known_columns([own], {"sex": "sex at birth"})}
    assert list(found) == ["systolic_bp", "weight_kg", "sex at birth", "visit", "smoker"]
    assert found["systolic_bp"].scaling is not None and found["smoker"].scaling is None
    assert found["systolic_bp"].scaling[0] == 130.0


def test_nearest_known_lists_the_headers_that_are_not_known() -> None:
    vectors = TextVectors(NgramEncoder())
    texts = {"a": "age", "b": "Systolic BP", "c": "weight"}
    found = nearest_known(texts, ["age", "systolic_bp", "weight_kg"], vectors)
    assert set(found) == {"b", "c"}
    assert found["b"] == ("systolic_bp", pytest.approx(1.0))
    assert found["c"][0] == "weight_kg" and 0.3 < found["c"][1] < 1.0
    assert nearest_known({}, ["age"], vectors) == {}
