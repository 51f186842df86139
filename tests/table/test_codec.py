from __future__ import annotations

import copy
import json
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError

from tabimg.table import MAX_CATEGORIES, EncodedTable, TableCodec


def assert_same(left: EncodedTable, right: EncodedTable) -> None:
    np.testing.assert_array_equal(left.numeric, right.numeric)
    np.testing.assert_array_equal(left.codes, right.codes)
    assert left.numeric.dtype == right.numeric.dtype == np.float32
    assert left.codes.dtype == right.codes.dtype == np.int64


def assert_same_codec(table: Any, reference: Any) -> None:
    """Fitted on either of two, a codec encodes both alike."""
    expected = TableCodec().fit(reference).encode(reference)
    for fitted in (TableCodec().fit(table), TableCodec().fit(reference)):
        assert_same(fitted.encode(table), expected)
        assert_same(fitted.encode(reference), expected)


@pytest.fixture
def numbers() -> pd.DataFrame:
    """Three columns of numbers with a missing cell, which take the short way of a matrix."""
    frame = pd.DataFrame(np.random.default_rng(0).lognormal(size=(60, 3)), columns=list("abc"))
    frame.iloc[4, 1] = np.nan
    return frame


def test_frame_of_every_kind_gives_the_same_numbers(mixed_frame, numbers, to_frame):
    assert_same_codec(to_frame(mixed_frame), mixed_frame)
    assert_same_codec(to_frame(numbers), numbers)
    assert_same_codec(to_frame(numbers), numbers.to_numpy())


def test_every_other_container_gives_the_same_numbers(mixed_frame, container):
    table = container(mixed_frame)
    codec = TableCodec().fit(table)
    expected = TableCodec().fit(mixed_frame).encode(mixed_frame)
    assert_same(codec.encode(table), expected)
    assert_same(codec.encode(mixed_frame), expected)


def test_every_other_container_of_numbers_gives_the_same_numbers(numbers, container):
    assert_same_codec(container(numbers), numbers.to_numpy())


def test_single_rows_of_every_kind_encode_as_in_the_whole_table(mixed_frame, to_frame):
    codec = TableCodec().fit(to_frame(mixed_frame))
    rows = [codec.encode(to_frame(mixed_frame.iloc[[row]])) for row in (0, 3, 5, 6)]
    whole = codec.encode(to_frame(mixed_frame))
    assert_same(EncodedTable.concat(rows), whole.take(np.array([0, 3, 5, 6])))


def test_state_of_a_codec_is_that_of_every_kind_of_frame(mixed_frame, to_frame):
    state = TableCodec().fit(to_frame(mixed_frame)).to_state()
    np.testing.assert_equal(state, TableCodec().fit(mixed_frame).to_state())


def test_attributes_describe_the_columns(mixed_frame):
    codec = TableCodec().fit(mixed_frame)
    assert codec.numeric_names == ["price", "doors", "seen", "wait"]
    assert codec.categorical_names == ["colour", "sold", "owner"]
    assert codec.cardinalities == [6, 4, 4]
    assert codec.categories == [["", "blue", "grün", "red"], ["False", "True"], ["a", "b"]]
    assert codec.numeric_has_missing.tolist() == [True, False, True, True]
    assert codec.categorical_has_missing.tolist() == [False, False, True]
    assert codec.medians[0] == pytest.approx(mixed_frame["price"].median())
    quartiles = mixed_frame["price"].quantile([0.25, 0.75])
    assert codec.scales[0] == pytest.approx(np.diff(quartiles)[0] / 1.349)


def test_encode_shapes_and_missing_cells(mixed_frame):
    encoded = TableCodec().fit(mixed_frame).encode(mixed_frame)
    assert encoded.numeric.shape == (40, 4) and encoded.codes.shape == (40, 3)
    expected = mixed_frame[["price", "doors", "seen", "wait"]].isna().to_numpy()
    np.testing.assert_array_equal(np.isnan(encoded.numeric), expected)
    np.testing.assert_array_equal(encoded.codes[:, 2] == 1, mixed_frame["owner"].isna())


def test_single_rows_encode_as_in_the_whole_table(mixed_frame):
    codec = TableCodec().fit(mixed_frame)
    whole = codec.encode(mixed_frame)
    rows = [codec.encode(mixed_frame.iloc[[i]]) for i in range(len(mixed_frame))]
    assert_same(EncodedTable.concat(rows), whole)


def test_unseen_category_gets_code_zero_and_missing_code_one():
    codec = TableCodec().fit(pd.DataFrame({"c": ["a", "b"]}))
    assert codec.encode(pd.DataFrame({"c": ["z", None, "a"]})).codes[:, 0].tolist() == [0, 1, 2]


def test_integer_column_may_return_as_float_or_bool():
    codec = TableCodec().fit(np.array([[0], [1], [2]]))
    assert_same(codec.encode(np.array([[1.0]])), codec.encode(np.array([[True]])))


def test_encode_of_no_rows_is_empty(mixed_frame):
    encoded = TableCodec().fit(mixed_frame).encode(mixed_frame.iloc[:0])
    assert encoded.numeric.shape == (0, 4) and encoded.codes.shape == (0, 3)


@pytest.mark.parametrize("columns", [["price", "doors"], ["colour", "sold"]])
def test_table_of_one_family_of_columns_works(mixed_frame, columns):
    frame = mixed_frame[columns]
    codec = TableCodec().fit(frame)
    encoded = codec.encode(frame)
    assert encoded.numeric.shape[1] + encoded.codes.shape[1] == 2
    assert list(codec.decode(encoded).columns) == columns
    assert codec.to_matrix(encoded).shape == (40, len(codec.matrix_names()))


def test_all_missing_column_is_carried_as_nothing():
    frame = pd.DataFrame({"a": [1.0, 2.0], "void": [np.nan, np.nan], "b": [3.0, 5.0]})
    with pytest.warns(UserWarning, match="No observed value in column 'void'"):
        codec = TableCodec().fit(frame)
    later = frame.assign(void=[7.0, 8.0])
    assert codec.numeric_names == ["a", "b"]
    assert codec.encode(later).numeric.shape == (2, 2)
    assert_same(codec.encode(later), codec.encode(later.astype(object)))
    assert codec.decode(codec.encode(frame))["void"].tolist() == [None, None]


def test_duplicate_columns_are_both_kept():
    frame = pd.DataFrame([[1.0, 1.0, "a"], [2.0, 2.0, "b"]], columns=["x", "x", "x"])
    codec = TableCodec().fit(frame)
    encoded = codec.encode(frame)
    np.testing.assert_array_equal(encoded.numeric[:, 0], encoded.numeric[:, 1])
    assert codec.numeric_names == ["x", "x"] and codec.categorical_names == ["x"]
    assert list(codec.decode(encoded).columns) == ["x", "x", "x"]


def test_constant_columns_encode_to_one_value():
    frame = pd.DataFrame({"number": [4.2] * 5, "word": ["same"] * 5})
    codec = TableCodec().fit(frame)
    encoded = codec.encode(frame)
    assert (encoded.numeric == 0).all() and (encoded.codes == 2).all()
    pd.testing.assert_frame_equal(codec.decode(encoded), frame.astype({"word": object}))


def test_high_cardinality_column_warns_once_with_its_name():
    frame = pd.DataFrame({"id": [f"row {i}" for i in range(MAX_CATEGORIES + 10)]})
    with pytest.warns(UserWarning, match="column 'id' has 1034 categories") as caught:
        codec = TableCodec().fit(frame)
    assert len(caught) == 1
    assert codec.cardinalities == [MAX_CATEGORIES + 2]
    assert (codec.encode(frame).codes == 0).sum() == 10


def test_enormous_values_stay_finite_without_warnings():
    matrix = np.array([[1e300, 1.0], [-1e300, 2.0], [1.7e308, 3.0], [-1.7e308, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec = TableCodec().fit(matrix)
        encoded = codec.encode(matrix)
        decoded = codec.decode(encoded)
    assert np.isinf(encoded.numeric).sum() == 0
    assert np.isnan(encoded.numeric).sum() == 1
    assert np.isfinite(decoded[0]).all()


def test_decode_gives_back_what_encode_took(mixed_frame):
    codec = TableCodec().fit(mixed_frame)
    decoded = codec.decode(codec.encode(mixed_frame))

    assert list(decoded.columns) == list(mixed_frame.columns)
    np.testing.assert_allclose(decoded["price"], mixed_frame["price"], rtol=1e-4)
    np.testing.assert_allclose(decoded["doors"], mixed_frame["doors"], rtol=1e-5)
    days = mixed_frame["wait"] / pd.Timedelta("1D")
    np.testing.assert_allclose(decoded["wait"], days, rtol=1e-5, atol=1e-6)
    gap = (decoded["seen"] - mixed_frame["seen"]).abs()
    assert gap.max() < pd.Timedelta("1min")
    assert gap.isna().tolist() == mixed_frame["seen"].isna().tolist()
    for name in ("colour", "sold", "owner"):
        expected = [None if pd.isna(cell) else cell for cell in mixed_frame[name]]
        assert decoded[name].tolist() == expected


def test_decoded_rows_encode_to_the_same_codes(mixed_frame):
    codec = TableCodec().fit(mixed_frame)
    encoded = codec.encode(mixed_frame)
    again = codec.encode(codec.decode(encoded))
    np.testing.assert_array_equal(again.codes, encoded.codes)
    np.testing.assert_allclose(again.numeric, encoded.numeric, atol=2e-6)


def test_decode_of_unknown_codes_is_none():
    codec = TableCodec().fit(pd.DataFrame({"c": ["a"], "b": [True]}))
    codes = np.array([[0, 0], [2, 2]])
    decoded = codec.decode(EncodedTable(np.zeros((2, 0), dtype=np.float32), codes))
    assert decoded["c"].tolist() == [None, "a"] and decoded["b"].tolist() == [None, False]


def test_to_matrix_agrees_with_pandas_dummies(mixed_frame):
    codec = TableCodec().fit(mixed_frame)
    encoded = codec.encode(mixed_frame)
    matrix = pd.DataFrame(codec.to_matrix(encoded), columns=codec.matrix_names())

    assert (matrix.dtypes == np.float32).all() and not matrix.isna().to_numpy().any()
    assert codec.matrix_names() == [
        *["price", "doors", "seen", "wait"],
        *["price is missing", "seen is missing", "wait is missing"],
        *["colour=", "colour=blue", "colour=grün", "colour=red"],
        *["sold=False", "sold=True", "owner=a", "owner=b", "owner is missing"],
    ]
    np.testing.assert_array_equal(matrix.iloc[:, :4], np.nan_to_num(encoded.numeric))
    np.testing.assert_array_equal(matrix["price is missing"], mixed_frame["price"].isna())
    for name in ("colour", "sold", "owner"):
        dummies = pd.get_dummies(mixed_frame[name], prefix=name, prefix_sep="=")
        np.testing.assert_array_equal(matrix[list(dummies.columns)], dummies)
    np.testing.assert_array_equal(matrix["owner is missing"], mixed_frame["owner"].isna())


def test_to_matrix_of_cells_not_seen_in_fit_is_zero():
    codec = TableCodec().fit(pd.DataFrame({"x": [1.0, 2.0], "c": ["a", "b"]}))
    encoded = codec.encode(pd.DataFrame({"x": [None, None], "c": ["new", None]}))
    assert codec.matrix_names() == ["x", "c=a", "c=b"]
    assert codec.to_matrix(encoded).tolist() == [[0.0, 0.0, 0.0]] * 2


def test_state_round_trips_through_json(mixed_frame):
    codec = TableCodec().fit(mixed_frame)
    state = codec.to_state()
    plain = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
    assert json.loads(json.dumps(plain)) == plain
    as_lists = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in state.items()}

    for restored in (
        TableCodec.from_state(state),
        TableCodec.from_state(json.loads(json.dumps(as_lists))),
        pickle.loads(pickle.dumps(codec)),
        copy.deepcopy(codec),
    ):
        assert restored.schema == codec.schema
        assert restored.matrix_names() == codec.matrix_names()
        unseen = mixed_frame.assign(colour="new")
        assert_same(restored.encode(unseen), codec.encode(unseen))
        pd.testing.assert_frame_equal(
            restored.decode(restored.encode(unseen)), codec.decode(codec.encode(unseen))
        )


def test_state_of_bare_array_with_empty_column_round_trips():
    with pytest.warns(UserWarning, match="column 0"):
        codec = TableCodec().fit(np.array([[np.nan, 1.0], [np.nan, 2.0]]))
    restored = TableCodec.from_state(codec.to_state())
    assert restored.numeric_names == [1]
    assert_same(restored.encode(np.ones((1, 2))), codec.encode(np.ones((1, 2))))


def test_state_without_an_entry_raises_with_its_name(mixed_frame):
    state = TableCodec().fit(mixed_frame).to_state()
    del state["medians"], state["kinds"]
    with pytest.raises(ValueError, match=r"lacks the entries \['kinds', 'medians'\]"):
        TableCodec.from_state(state)


def test_use_before_fit_raises():
    empty = EncodedTable(np.zeros((0, 0), dtype=np.float32), np.zeros((0, 0), dtype=np.int64))
    codec = TableCodec()
    calls = (
        lambda: codec.encode([[1.0]]),
        lambda: codec.decode(empty),
        lambda: codec.to_matrix(empty),
        codec.matrix_names,
        codec.to_state,
    )
    for call in calls:
        with pytest.raises(NotFittedError, match=r"call fit\(X\) first"):
            call()


def test_encoded_table_of_other_columns_raises(mixed_frame):
    codec = TableCodec().fit(mixed_frame)
    other = TableCodec().fit(np.ones((2, 3))).encode(np.ones((2, 3)))
    for call in (codec.decode, codec.to_matrix):
        with pytest.raises(ValueError, match=r"3 numeric and 0 categorical.* makes 4 and 3"):
            call(other)


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, pl.DataFrame, np.ndarray.tolist])
def test_other_number_of_columns_raises(make):
    codec = TableCodec().fit(np.random.default_rng(0).normal(size=(5, 3)))
    with pytest.raises(ValueError, match=r"X has 2 features, but \w+ is expecting 3 features"):
        codec.encode(make(np.ones((2, 2))))


def test_frame_of_numbers_in_another_order_raises():
    codec = TableCodec().fit(pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 5.0]}))
    with pytest.raises(ValueError, match="feature names should match"):
        codec.encode(pd.DataFrame({"b": [1.0], "a": [3.0]}))


def test_infinite_value_at_predict_raises_with_its_place():
    codec = TableCodec().fit(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"column 1, row 0: .*infinity"):
        codec.encode(np.array([[1.0, np.inf]]))


def test_text_in_a_numeric_column_raises_with_both_kinds():
    codec = TableCodec().fit(pd.DataFrame({"x": [1.0, 2.0]}))
    with pytest.raises(ValueError, match="column 'x' was numeric in fit but is categorical now"):
        codec.encode(pd.DataFrame({"x": ["1.0"]}))


def test_fit_without_rows_raises():
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        TableCodec().fit(np.zeros((0, 2)))


def test_second_fit_forgets_the_first(mixed_frame):
    codec = TableCodec().fit(mixed_frame).fit(np.array([[1.0], [2.0]]))
    assert codec.numeric_names == [0] and codec.cardinalities == []
