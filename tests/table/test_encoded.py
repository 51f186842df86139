from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tabimg.table.encoded import EncodedTable


def table(numeric: object, codes: object) -> EncodedTable:
    return EncodedTable(np.array(numeric, dtype=np.float32), np.array(codes, dtype=np.int64))


def random_table(n: int, p: int, q: int) -> EncodedTable:
    rng = np.random.default_rng(0)
    numeric = rng.choice(np.array([np.nan, 0.0, -0.0, 1.5], dtype=np.float32), (n, p))
    return EncodedTable(numeric, rng.integers(0, 3, (n, q)))


@pytest.mark.parametrize(("p", "q"), [(3, 2), (2, 0), (0, 3)])
def test_row_keys_agree_with_pandas_grouping(p, q):
    rows = random_table(300, p, q)
    frame = pd.DataFrame(np.hstack([rows.numeric + 0.0, rows.codes]))
    expected = frame.groupby(list(frame.columns), dropna=False, sort=False).ngroup()
    assert rows.row_keys().dtype == np.int64
    assert rows.row_keys().tolist() == expected.tolist()


def test_row_keys_of_differently_stored_nan_are_equal():
    bits = np.array([[0x7FC00000], [0x7FC00001], [0xFFC00000]], dtype=np.uint32)
    rows = EncodedTable(bits.view(np.float32), np.zeros((3, 0), dtype=np.int64))
    assert np.isnan(rows.numeric).all()
    assert rows.row_keys().tolist() == [0, 0, 0]


def test_row_keys_tell_the_smallest_difference():
    one = np.float32(1.0)
    assert table([[one], [np.nextafter(one, np.float32(2))]], [[0], [0]]).row_keys().tolist() == [
        0,
        1,
    ]


def test_row_keys_of_no_rows_are_empty():
    assert random_table(0, 2, 1).row_keys().shape == (0,)


def test_take_selects_and_repeats_rows():
    rows = table([[1.0], [2.0], [3.0]], [[4], [5], [6]])
    taken = rows.take(np.array([2, 0, 2]))
    assert taken.numeric[:, 0].tolist() == [3.0, 1.0, 3.0]
    assert taken.codes[:, 0].tolist() == [6, 4, 6]
    assert len(taken) == 3 and len(rows.take(np.array([], dtype=int))) == 0


def test_concat_stacks_rows_and_keeps_dtypes():
    rows = random_table(5, 2, 1)
    both = EncodedTable.concat([rows.take(np.arange(2)), rows.take(np.arange(2, 5))])
    np.testing.assert_array_equal(both.numeric, rows.numeric)
    np.testing.assert_array_equal(both.codes, rows.codes)
    assert (both.numeric.dtype, both.codes.dtype) == (np.float32, np.int64)


def test_concat_of_different_columns_or_nothing_raises():
    with pytest.raises(ValueError, match=r"widths \[\(1, 1\), \(2, 1\)\]"):
        EncodedTable.concat([random_table(1, 2, 1), random_table(1, 1, 1)])
    with pytest.raises(ValueError, match="at least one table"):
        EncodedTable.concat([])


def test_observed_excludes_missing_and_unknown_cells():
    numeric, codes = table([[np.nan, 1.0]], [[0, 1, 2]]).observed()
    assert numeric.tolist() == [[False, True]]
    assert codes.tolist() == [[False, False, True]]


def test_arrays_of_other_shapes_raise():
    with pytest.raises(ValueError, match="must be 2-D"):
        table([1.0], [[1]])
    with pytest.raises(ValueError, match="numeric has 2 rows, codes has 1"):
        table([[1.0], [2.0]], [[1]])
