"""The target of a study: its task and its values, whatever it is stored as."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tabimg.evaluation.data.study_target import read_target

HALVES = [3.5, 4.0, 4.5, 5.0] * 3
WHOLE = [0, 1, 2] * 4
TEXTS = ["no", "yes"] * 6
BOOLS = [True, False] * 6
DECIMALS = [Decimal(str(value)) for value in HALVES]
LARGE = [2**63, 2**63 + 1] * 6


class Answer(str, enum.Enum):
    NO = "no"
    YES = "yes"


@pytest.mark.parametrize(
    "y",
    [
        HALVES,
        np.array(HALVES, dtype=np.float32),
        pd.Series(HALVES, dtype=object),
        pd.Series(HALVES, dtype="Float64"),
        pd.Series(HALVES, dtype="float64[pyarrow]"),
        DECIMALS,
        pd.Series(DECIMALS, dtype=object),
        pd.Series(DECIMALS, dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
        pl.Series(DECIMALS),
        pa.chunked_array([pa.array(DECIMALS)]),
        pd.DataFrame({"y": HALVES}),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_numbers_with_fractions_are_a_regression(y: Any) -> None:
    target, task = read_target(y, "auto")
    assert (task, target.dtype) == ("regression", np.float64)
    np.testing.assert_array_equal(target, HALVES)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (pd.Series(WHOLE, dtype="Int64"), WHOLE),
        (pd.Series(WHOLE, dtype="int32[pyarrow]"), WHOLE),
        (pd.Series(WHOLE, dtype=object), WHOLE),
        (pd.Series(WHOLE, dtype="category"), WHOLE),
        (np.array(WHOLE, dtype=np.uint8), WHOLE),
        (pd.Series(BOOLS, dtype="boolean"), BOOLS),
        (pd.Series(BOOLS, dtype=object), BOOLS),
        (pd.Series(TEXTS, dtype="string"), TEXTS),
        (pd.Series(TEXTS, dtype="string[pyarrow]"), TEXTS),
        (pd.Series(TEXTS, dtype="category"), TEXTS),
        (pl.Series(TEXTS, dtype=pl.Categorical), TEXTS),
        (np.array([text.encode() for text in TEXTS]), TEXTS),
        (pd.cut(pd.Series([1, 9] * 6), [0, 5, 10]), ["(0, 5]", "(5, 10]"] * 6),
        (pd.Series([1, "b"] * 6, dtype=object), ["1", "b"] * 6),
        ([Answer(text) for text in TEXTS], TEXTS),
        (pd.Series([Answer(text) for text in TEXTS], dtype=object), TEXTS),
        (pl.Series(WHOLE, dtype=getattr(pl, "Int128", pl.Int64)), WHOLE),
        (LARGE, LARGE),
        (pd.Series(LARGE, dtype=object), LARGE),
        (pa.table({"y": WHOLE}), WHOLE),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_labels_are_classes_of_a_plain_dtype(y: Any, labels: list[Any]) -> None:
    target, task = read_target(y, "auto")
    assert task == "classification"
    assert target.tolist() == labels
    assert len(np.unique(target)) == len(set(labels))


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        ([Decimal(value) for value in WHOLE], "auto", "decimals that are all whole: .*task="),
        (pd.Series(HALVES, dtype="category"), "auto", "category of numbers .*task="),
        (pd.Series(range(30), dtype=object), "auto", "30 different whole numbers: .*task="),
        (pd.Series(range(30), dtype="Int64"), "auto", "30 different whole numbers: .*task="),
        (pd.Series([1, pd.NA], dtype="Int64"), "auto", "1 of 2 rows have no target.*row 1"),
        (pd.Series(["a", None], dtype="string"), "auto", "1 of 2 rows have no target.*row 1"),
        ([Decimal("NaN"), Decimal(1)], "auto", "1 of 2 rows have no target.*row 0"),
        (np.ma.array([1.5, 2.5], mask=[0, 1]), "auto", "1 of 2 rows have no target.*row 1"),
        (np.ma.array(["a", "b"], mask=[0, 1]), "auto", "1 of 2 rows have no target.*row 1"),
        (["a", np.nan], "auto", "1 of 2 rows have no target.*row 1"),
        ([Decimal(1), Decimal("sNaN")], "auto", "y.*, row 1: Decimal\\('sNaN'\\) cannot be read"),
        ([2**70, 2**70 + 1], "auto", r"y, row 0: 1.18\d+e\+21 is too large for a numeric label"),
        (np.arange(960) * 1j, "auto", "y holds complex numbers, such as 0j in row 0"),
        ([Decimal("Infinity"), Decimal(1)], "auto", "cannot be read as a target: .*row 0"),
        (pd.date_range("2020", periods=4), "auto", "dates or durations"),
        (pd.date_range("2020", periods=4, tz="UTC"), "auto", "dates or durations"),
        (pd.period_range("2020", periods=4, freq="M"), "auto", "dates or durations"),
        (pd.timedelta_range("1h", periods=4), "auto", "dates or durations"),
        ([dt.timedelta(1), dt.timedelta(2)], "auto", "dates or durations"),
        (TEXTS, "regression", "row 0 holds 'no'"),
        (pd.Series([1.5, "?"], dtype=object), "regression", r"row 1 holds '\?'"),
        (HALVES, "classification", "numbers that are not whole"),
        (DECIMALS, "classification", "numbers that are not whole"),
        ([], "auto", "y is empty"),
        (WHOLE, "ranking", "task must be 'auto' or one of"),
    ],
)
def test_what_is_no_target_or_may_be_either_is_an_error(y: Any, task: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_target(y, task)


def test_cells_that_are_no_scalars_are_an_error() -> None:
    with pytest.raises(TypeError, match=r"y cannot be read as a target: .*'ndarray'"):
        read_target(pd.Series([np.arange(2)] * 3), "auto")


def test_whole_decimals_are_what_the_user_says() -> None:
    y = [Decimal(value) for value in WHOLE]
    assert read_target(y, "classification")[0].tolist() == WHOLE
    assert read_target(y, "regression")[0].tolist() == [float(value) for value in WHOLE]
