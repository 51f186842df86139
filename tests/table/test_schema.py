from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tabimg.table.columns import ColumnKind
from tabimg.table.frames import read_columns
from tabimg.table.schema import TableSchema


def fitted(*values: list[object]) -> TableSchema:
    return TableSchema.fit(read_columns(frame(*values)))


def frame(*values: list[object]) -> pd.DataFrame:
    return pd.DataFrame({f"x{j}": pd.Series(v, dtype=object) for j, v in enumerate(values)})


def conformed(schema: TableSchema, *values: list[object]) -> list[list[object]]:
    columns = schema.conform(read_columns(frame(*values)))
    assert [c.kind for c in columns] == list(schema.kinds)
    return [c.values.tolist() for c in columns]


def test_schema_keeps_names_and_kinds_in_order():
    schema = fitted([1.0], ["a"], [True], [pd.Timestamp("2020-01-01")])
    assert schema.names == ("x0", "x1", "x2", "x3")
    assert [kind.value for kind in schema.kinds] == [
        "numeric",
        "categorical",
        "boolean",
        "datetime",
    ]
    assert schema.positions(ColumnKind.NUMERIC, ColumnKind.DATETIME).tolist() == [0, 3]


@pytest.mark.parametrize("empty", [[None, None], [np.nan, np.nan], [pd.NaT, pd.NaT]])
def test_all_missing_column_warns_with_its_name_and_is_empty(empty):
    with pytest.warns(UserWarning, match="No observed value in column 'x1': ignored"):
        schema = fitted([1, 2], empty)
    assert schema.kinds[1] is ColumnKind.EMPTY


def test_float_column_of_nan_is_empty():
    with pytest.warns(UserWarning, match="column 1"):
        schema = TableSchema.fit(read_columns(np.array([[1.0, np.nan]])))
    assert schema.kinds[1] is ColumnKind.EMPTY


def test_table_without_observed_cells_raises():
    with pytest.raises(ValueError, match="Every cell of the table is missing"):
        fitted([None], [np.nan])


def test_table_without_rows_or_columns_raises():
    with pytest.raises(ValueError, match=r"0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1"):
        TableSchema.fit(read_columns(np.zeros((0, 2))))
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        TableSchema.fit([])


def test_all_missing_column_fits_every_kind():
    schema = fitted([1.0], ["a"], [True], [pd.Timestamp("2020-01-01")])
    numeric, text, boolean, instant = conformed(schema, *[[None, pd.NA]] * 4)
    assert np.isnan(numeric).all() and np.isnan(instant).all()
    assert text == boolean == [None, None]


def test_neighbouring_kinds_convert_without_loss():
    schema = fitted([1.5], [True], ["a"], ["a"])
    got = conformed(schema, [True, None], [1, None], [2.0, 2.5], [False, True])
    assert got[0][0] == 1.0 and np.isnan(got[0][1])
    assert got[1:] == [["True", None], ["2", "2.5"], ["False", "True"]]


def test_numbers_with_missing_cells_become_category_keys():
    assert conformed(fitted(["a"]), [3, None, 1, 3.0]) == [["3", None, "1", "3"]]


def test_boolean_column_takes_its_own_words():
    assert conformed(fitted([True]), ["True", "False"]) == [["True", "False"]]


@pytest.mark.parametrize(
    ("training", "later", "words"),
    [
        ([1.0], ["abc"], "numeric in fit but is categorical now: row 0 holds 'abc'"),
        ([1.0], ["1.0"], "numeric in fit but is categorical now"),
        ([1.0], [pd.Timestamp("2020-01-01")], "numeric in fit but is datetime now"),
        ([pd.Timestamp("2020-01-01")], [1.0], "datetime in fit but is numeric now"),
        ([pd.Timestamp("2020-01-01")], ["2020-01-01"], "datetime in fit but is categorical now"),
        (["a"], [pd.Timestamp("2020-01-01")], "categorical in fit but is datetime now"),
        ([True], [0.5], "boolean in fit but is numeric now"),
        ([True], ["yes"], "boolean in fit but is categorical now: row 0 holds 'yes'"),
    ],
)
def test_column_of_another_kind_raises_with_name_and_both_kinds(training, later, words):
    with pytest.raises(ValueError, match=f"column 'x0' was {words}"):
        conformed(fitted(training), later)


def test_empty_column_ignores_whatever_arrives():
    with pytest.warns(UserWarning, match="x1"):
        schema = fitted([1.0], [None])
    assert np.isnan(conformed(schema, [1.0], ["text"])[1]).all()


def test_other_number_of_columns_raises():
    with pytest.raises(ValueError, match=r"X has 1 features, but \w+ is expecting 2 features as"):
        fitted([1], [2]).conform(read_columns(np.zeros((1, 1))))


def test_other_names_raise_and_bare_arrays_do_not():
    schema = fitted([1], [2])
    with pytest.raises(ValueError, match=r"feature names should match.*'x1' at position 0"):
        schema.conform(read_columns(pd.DataFrame({"x1": [1], "x0": [2]})))
    assert len(schema.conform(read_columns(np.ones((1, 2))))) == 2


NUMBERS = [1.5 * row for row in range(24)]
DATES = list(pd.date_range("2020-01-01", periods=24))


def but_in_row_7(cells: list[object], cell: object) -> list[object]:
    return [*cells[:7], cell, *cells[8:]]


@pytest.mark.parametrize(
    ("training", "later", "words"),
    [
        (NUMBERS, but_in_row_7(NUMBERS, "?"), r"row 7 holds '\?'.*to_numeric"),
        (NUMBERS, but_in_row_7(NUMBERS, "3.5"), "row 7 holds '3.5'"),
        (NUMBERS, but_in_row_7([str(n) for n in NUMBERS], "n/a"), "row 7 holds 'n/a'"),
        (NUMBERS, but_in_row_7(NUMBERS, pd.Timestamp("2020")), "row 7 holds Timestamp"),
        (DATES, but_in_row_7(DATES, "unknown"), "row 7 holds 'unknown'.*to_datetime"),
        ([True, False] * 12, but_in_row_7([True, False] * 12, "?"), r"row 7 holds '\?'"),
        ([True, False] * 12, but_in_row_7([1, 0] * 12, 2), "row 7 holds 2.0"),
        (NUMBERS, but_in_row_7(NUMBERS, "x" * 100_000), "row 7 holds 'xxx"),
    ],
)
def test_cell_of_another_kind_is_shown_with_its_row(training, later, words):
    with pytest.raises(ValueError, match=words) as raised:
        conformed(fitted(training), later)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (but_in_row_7(NUMBERS, "?"), r"23 of its 24 cells are numbers: row 7 holds '\?'"),
        (but_in_row_7(DATES, "?"), r"23 of its 24 cells are dates: row 7 holds '\?'"),
        (but_in_row_7([True, False] * 12, "?"), r"23 of its 24 cells are bools: row 7 holds"),
    ],
)
def test_stray_cell_that_makes_categories_of_a_column_is_pointed_out(cells, words):
    with pytest.warns(UserWarning, match=words):
        assert fitted(cells).kinds == (ColumnKind.CATEGORICAL,)
