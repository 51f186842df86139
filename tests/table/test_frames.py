from __future__ import annotations

import datetime as dt
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from tabimg.table.columns import ColumnKind, RawColumn
from tabimg.table.frames import numeric_matrix, read_columns


def only(X: Any) -> RawColumn:
    (column,) = read_columns(X)
    return column


def cells(values: list[Any]) -> np.ndarray:
    array = np.empty((len(values), 1), dtype=object)
    for row, value in enumerate(values):
        array[row, 0] = value
    return array


def same(values: np.ndarray, expected: list[Any]) -> bool:
    if values.dtype == object:
        return values.tolist() == expected
    return np.array_equal(values, np.array(expected, dtype=float), equal_nan=True)


def assert_same_columns(X: Any, reference: pd.DataFrame) -> None:
    for mine, theirs in zip(read_columns(X), read_columns(reference), strict=True):
        assert mine.kind == theirs.kind
        assert mine.values.dtype == theirs.values.dtype
        assert same(mine.values, theirs.values.tolist())


def test_frame_of_every_kind_gives_the_same_columns(mixed_frame, to_frame):
    assert_same_columns(to_frame(mixed_frame), mixed_frame)


def test_every_other_container_gives_the_same_columns(mixed_frame, container):
    assert_same_columns(container(mixed_frame), mixed_frame)


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([1.0, 2.0, None]),
        pd.Series([0, 2**53 + 1, 2**63 - 1]),
        pd.Series([0, 2**64 - 1], dtype=np.uint64),
        pd.Series([0.1, np.nan], dtype=np.float32),
        pd.Series([1, None, 2], dtype=object),
        pd.Series([True, None], dtype=object),
        pd.Series([None, None], dtype=object),
        pd.Series([np.nan, np.nan]),
        pd.Series(["", " ", "a", None], dtype=object),
        pd.Series(["b", None, "a"], dtype="category"),
        pd.Series([dt.date(2020, 2, 29), None], dtype=object),
        pd.Series(pd.to_datetime(["2020-01-01 00:00:00.000000001", None])),
        pd.Series(pd.to_datetime(["2020-07-01 12:00", None]).tz_localize("Europe/Paris")),
        pd.Series(pd.to_timedelta([1, None], "ns")),
    ],
    ids=lambda cells: f"{cells.dtype}-{cells[0]}",
)
def test_cells_are_read_alike_from_a_frame_of_every_kind(cells, to_frame):
    frame = cells.to_frame("x")
    assert_same_columns(to_frame(frame), frame)


def test_pandas_kinds_are_read_as_declared(mixed_frame):
    kinds = {c.name: c.kind.value for c in read_columns(mixed_frame)}
    assert kinds == {
        "price": "numeric",
        "doors": "numeric",
        "colour": "categorical",
        "sold": "boolean",
        "seen": "datetime",
        "wait": "numeric",
        "owner": "categorical",
    }


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2.5, None], "numeric", [1.0, 2.5, np.nan]),
        ([Decimal("1.5"), Fraction(1, 4), np.float32(2)], "numeric", [1.5, 0.25, 2.0]),
        ([Decimal("NaN"), pd.NA, 3], "numeric", [np.nan, np.nan, 3.0]),
        ([10**30, 1], "numeric", [1e30, 1.0]),
        ([True, None, np.False_], "boolean", ["True", None, "False"]),
        (["1", "2", None], "categorical", ["1", "2", None]),
        ([1, 1.0, "1", 2.5, True, None], "categorical", ["1", "1", "1", "2.5", "True", None]),
        ([np.str_("a"), b"a", float("nan")], "categorical", ["a", "a", None]),
        (["", " a"], "categorical", ["", " a"]),
        ([Path("a") / "b.png", None], "categorical", [str(Path("a") / "b.png"), None]),
        ([dt.date(1970, 1, 2), dt.datetime(1970, 1, 3, 12), pd.NaT], "datetime", [1, 2.5, np.nan]),
        ([np.datetime64("1970-01-02"), pd.Timestamp("1970-01-01")], "datetime", [1.0, 0.0]),
        ([pd.Timestamp("1970-01-02T01:00", tz="Europe/Paris")], "datetime", [1.0]),
        ([dt.datetime(1970, 1, 2, tzinfo=dt.timezone.utc)], "datetime", [1.0]),
        ([dt.datetime(9999, 1, 1)], "datetime", [2932532.0]),
        ([pd.Period("1970-02", "M")], "datetime", [31.0]),
        ([dt.timedelta(hours=12), pd.Timedelta("1D"), None], "numeric", [0.5, 1.0, np.nan]),
        ([np.timedelta64(36, "h")], "numeric", [1.5]),
        ([dt.time(6), dt.time(18, 30)], "numeric", [0.25, 18.5 / 24]),
        ([None, np.nan, pd.NA, pd.NaT], "empty", [np.nan] * 4),
    ],
)
def test_object_cells_decide_the_kind(values, kind, expected):
    column = only(cells(values))
    assert column.kind == kind
    assert same(column.values, expected)


@pytest.mark.parametrize(
    ("series", "kind", "expected"),
    [
        (pd.Series([1, None], dtype="Int64"), "numeric", [1.0, np.nan]),
        (pd.Series([1.5, None], dtype="Float32"), "numeric", [1.5, np.nan]),
        (pd.Series([True, None], dtype="boolean"), "boolean", ["True", None]),
        (pd.Series(["a", None], dtype="string"), "categorical", ["a", None]),
        (pd.Series([2, 1, None], dtype="category"), "categorical", ["2", "1", None]),
        (pd.Series([True, None], dtype="category"), "categorical", ["True", None]),
        (pd.Series([None, None], dtype="category"), "empty", [np.nan, np.nan]),
        (pd.Series([0.0, 2.0], dtype="Sparse[float]"), "numeric", [0.0, 2.0]),
        (pd.Series(pd.period_range("1970-01", periods=2, freq="M")), "datetime", [0.0, 31.0]),
        (pd.Series(pd.arrays.IntervalArray.from_tuples([(0, 1)])), "categorical", ["(0, 1]"]),
        (
            pd.Series(pd.to_datetime(["1970-01-02T01:00"]).tz_localize("Europe/Paris")),
            "datetime",
            [1.0],
        ),
        (
            pd.Series([dt.date(1970, 1, 3), None], dtype=pd.ArrowDtype(pa.date32())),
            "datetime",
            [2.0, np.nan],
        ),
        (
            pd.Series([Decimal("1.50"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
            "numeric",
            [1.5, np.nan],
        ),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else None,
)
def test_pandas_extension_dtypes_are_read(series, kind, expected):
    column = only(series.to_frame("x"))
    assert (column.name, column.kind) == ("x", kind)
    assert same(column.values, expected)


@pytest.mark.parametrize(
    ("series", "kind", "expected"),
    [
        (pl.Series(["a", None], dtype=pl.Categorical), "categorical", ["a", None]),
        (pl.Series(["a", None], dtype=pl.Enum(["a", "b"])), "categorical", ["a", None]),
        (pl.Series([1, None], dtype=pl.UInt8), "numeric", [1.0, np.nan]),
        (pl.Series([Decimal("1.5"), None]), "numeric", [1.5, np.nan]),
        (pl.Series([True, None]), "boolean", ["True", None]),
        (pl.Series([dt.date(1970, 1, 2), None]), "datetime", [1.0, np.nan]),
        (
            pl.Series([dt.datetime(1970, 1, 2)]).dt.replace_time_zone("Etc/GMT+12"),
            "datetime",
            [1.5],
        ),
        (pl.Series([dt.time(12), None]), "numeric", [0.5, np.nan]),
        (pl.Series([None, None]), "empty", [np.nan, np.nan]),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else None,
)
def test_polars_dtypes_are_read(series, kind, expected):
    column = only(series.alias("x").to_frame())
    assert (column.name, column.kind) == ("x", kind)
    assert same(column.values, expected)


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (np.array([[1], [2]], dtype=np.uint8), "numeric", [1.0, 2.0]),
        (np.array([[True], [False]]), "boolean", ["True", "False"]),
        (np.array([["a"], ["b"]]), "categorical", ["a", "b"]),
        (np.array([["1970-01-02"], ["NaT"]], dtype="M8[D]"), "datetime", [1.0, np.nan]),
        (np.array([[36]], dtype="m8[h]"), "numeric", [1.5]),
        (np.ma.array([[1, 2]], mask=[[True, False]])[:, :1], "empty", [np.nan]),
    ],
)
def test_bare_arrays_are_read_by_dtype(array, kind, expected):
    column = only(array)
    assert (column.name, column.kind) == (0, kind)
    assert same(column.values, expected)


def test_repeated_column_names_are_read_by_position():
    frame = pd.DataFrame([[1.0, "a"], [2.0, "b"]], columns=["x", "x"])
    first, second = read_columns(frame)
    assert (first.name, second.name) == ("x", "x")
    assert first.values.tolist() == [1.0, 2.0]
    assert second.values.tolist() == ["a", "b"]


def test_multi_level_column_names_become_strings():
    frame = pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("a", 1)]))
    assert only(frame).name == "('a', 1)"


def test_array_like_object_is_read_through_its_array():
    class Wrapped:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.array([[1.0, 2.0]])

    assert [c.values.tolist() for c in read_columns(Wrapped())] == [[1.0], [2.0]]


@pytest.mark.parametrize("cell", [{"a": 1}, [1, 2], (1,), {1}, np.array([1, 2]), object()])
def test_cell_that_is_no_scalar_raises_with_column_and_row(cell):
    with pytest.raises(TypeError, match=r"column 'x', row 2: argument must be .* string.* number"):
        read_columns(pd.DataFrame({"x": pd.Series([None, 1.0, cell], dtype=object)}))


def test_polars_list_column_raises_with_column_and_row():
    with pytest.raises(TypeError, match=r"column 'x', row 1: argument must be .*list"):
        read_columns(pl.DataFrame({"x": [None, [1, 2]]}))


@pytest.mark.parametrize(
    "table",
    [
        np.array([[0.0, 1.0], [2.0, np.inf]]),
        pd.DataFrame([[0.0, 1.0], [2.0, -np.inf]]),
        pd.DataFrame([[0.0, None], [2.0, np.inf]], dtype=object),
        [[0.0, "a"], [2.0, float("inf")]],
        [[0.0, 1], [2.0, 10**400]],
    ],
)
def test_infinite_value_raises_with_column_and_row(table):
    with pytest.raises(ValueError, match=r"column 1, row 1: .*infinity"):
        read_columns(table)


def test_infinite_value_in_polars_raises_with_its_name():
    with pytest.raises(ValueError, match=r"column 'x', row 1: .*infinity"):
        read_columns(pl.DataFrame({"x": [1.0, float("inf")]}))


@pytest.mark.parametrize("table", [np.array([[1 + 2j]]), [[1 + 2j]], np.array([["a"], [2j]], "O")])
def test_complex_value_raises_with_its_column(table):
    with pytest.raises(ValueError, match="Complex data not supported: column 0"):
        read_columns(table)


@pytest.mark.parametrize(
    ("table", "error", "match"),
    [
        (np.zeros(3), ValueError, "Expected 2D array, got 1D array.*Reshape your data"),
        (np.zeros((2, 2, 2)), ValueError, "Expected 2D array, got 3D array"),
        ([1.0, 2.0], ValueError, "Expected 2D array, got 1D array.*row 0"),
        (["ab", "cd"], ValueError, "Expected 2D array, got 1D array.*'str'"),
        ([[1, 2], [3]], ValueError, "Row 1 has 1 cells, row 0 has 2"),
        ([{"a": 1}], TypeError, "Row 0 is a mapping: pass pandas.DataFrame"),
        ({"a": [1]}, TypeError, "Expected a table, got 'dict'"),
        ("table.csv", TypeError, "Expected a table, got 'str'"),
        (None, ValueError, "Expected 2D array, got 0D"),
        (pd.Series([1.0]), ValueError, "Expected 2D array, got 1D"),
        (pl.Series([1.0]), ValueError, "Expected 2D array, got 1D"),
        (pl.LazyFrame({"a": [1]}), TypeError, r"\.collect\(\)"),
        (scipy.sparse.csr_array(np.eye(2)), TypeError, r"Sparse .*toarray\(\)"),
        (np.array([[(1,)]], dtype=[("a", int)]), TypeError, "structured arrays"),
        (np.zeros((3, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1"),
        (pd.DataFrame(index=[0, 1]), ValueError, r"0 feature\(s\)"),
        ([], ValueError, r"0 feature\(s\)"),
    ],
)
def test_object_that_is_no_table_raises(table, error, match):
    with pytest.raises(error, match=match):
        read_columns(table)


@pytest.mark.parametrize(
    "table",
    [
        np.array([[1, 2]]),
        np.array([[1.0, 2.0]], dtype=np.float32),
        pd.DataFrame({"a": [1], "b": 2}),
    ],
)
def test_numeric_matrix_of_plain_numbers_is_float64(table):
    matrix = numeric_matrix(table)
    assert matrix is not None and matrix.dtype == np.float64
    assert matrix.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    "table",
    [
        [[1.0]],
        np.array([[True]]),
        np.array([[1.0]], dtype=object),
        np.ma.array([[1.0]], mask=True),
        pd.DataFrame({"a": ["x"]}),
        pd.DataFrame({"a": pd.array([1], "Int64")}),
        pl.DataFrame({"a": [1.0]}),
    ],
)
def test_numeric_matrix_of_anything_else_is_none(table):
    assert numeric_matrix(table) is None


def test_numeric_matrix_names_the_infinite_cell():
    with pytest.raises(ValueError, match=r"column 'b', row 1: .*infinity"):
        numeric_matrix(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, np.inf]}))


def test_reading_leaves_the_table_unchanged(mixed_frame):
    before = mixed_frame.copy(deep=True)
    read_columns(mixed_frame)
    pd.testing.assert_frame_equal(mixed_frame, before)


def test_column_kind_is_its_string():
    assert ColumnKind("numeric") is ColumnKind.NUMERIC and ColumnKind.NUMERIC == "numeric"


@pytest.mark.parametrize(
    "cell",
    [
        dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=5))),
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=5))),
        Decimal("sNaN"),
        pd.Period(ordinal=10**9, freq="D"),
        np.datetime64(10**15, "Y"),
        np.timedelta64(2**62, "D"),
        10**400,
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_cell_at_the_edge_of_its_type_is_named_by_column_and_row(cell):
    cells = np.array([None, None, cell], dtype=object)
    with pytest.raises(ValueError, match="column 'c', row 2"):
        read_columns(pd.DataFrame({"c": pd.Series(cells, dtype=object)}))


@pytest.mark.parametrize(
    "values", [np.array([0, 2**62]).astype("M8[s]"), np.array([0, 2**62]).astype("m8[ms]")]
)
def test_instant_beyond_microseconds_raises_instead_of_wrapping_around(values):
    for table in (values.reshape(-1, 1), pd.DataFrame({0: values})):
        with pytest.raises(ValueError, match=r"column 0, row 1: .* 292,000 years"):
            read_columns(table)


def test_column_that_its_library_cannot_convert_is_named():
    far = pd.array(pa.array([2**31 - 1], pa.date32()), dtype=pd.ArrowDtype(pa.date32()))
    with suppress(OverflowError):
        pytest.skip(f"this pandas makes it {pd.Series(far).to_numpy(dtype=object)[0]!r}")
    with pytest.raises(ValueError, match=r"column 'c' of type date32.* cannot be read"):
        read_columns(pd.DataFrame({"c": far}))


def test_arrow_dictionary_of_numbers_holds_categories():
    codes = pa.array([1, 2, None]).dictionary_encode()
    series = pd.Series(pd.array(codes, dtype=pd.ArrowDtype(codes.type)))
    for table in (pd.DataFrame({"c": series}), pa.table({"c": codes})):
        assert read_columns(table)[0].values.tolist() == ["1", "2", None]
