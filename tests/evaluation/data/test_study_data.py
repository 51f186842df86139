"""A study's input: what is read, what is refused, and what its fingerprint stands for."""

from __future__ import annotations

import shutil
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tabimg.evaluation.baselines import make_baseline
from tabimg.evaluation.data import describe_pairs, read_data


def test_read_data_takes_apart_table_groups_and_classes(
    frame: pd.DataFrame, kind: np.ndarray
) -> None:
    frame.index = frame.index[::-1]
    data = read_data(frame, kind, "photo", "batch", "auto")
    assert data.task == "classification"
    assert list(data.table.columns) == ["width", "pressure", "support"]
    np.testing.assert_array_equal(data.groups, np.arange(60) // 2)
    np.testing.assert_array_equal(np.unique(kind)[data.classes], kind)


def test_read_data_row_without_group_is_a_group_of_its_own(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    frame["batch"] = frame["batch"].astype(float).where(frame.index > 3)
    groups = read_data(frame, amount, "photo", "batch", "auto").groups
    assert len(set(groups)) == 4 + 28


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (np.linspace(0, 1, 60), "regression"),
        (np.arange(60) % 3, "classification"),
        (np.arange(60) % 2 == 0, "classification"),
        (np.array(["a", "b"] * 30, dtype=object), "classification"),
        (pd.Series(["a", "b"] * 30, dtype="category"), "classification"),
    ],
)
def test_read_data_finds_the_task(frame: pd.DataFrame, target: Any, task: str) -> None:
    assert read_data(frame, target, "photo", None, "auto").task == task


def test_read_data_asks_where_whole_numbers_may_be_either(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="60 different whole numbers: say whether"):
        read_data(frame, np.arange(60), "photo", None, "auto")
    assert read_data(frame, np.arange(60), "photo", None, "regression").classes is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": np.zeros((60, 2))}, TypeError, "X must be a DataFrame"),
        ({"image_column": "foto"}, ValueError, "Did you mean 'photo'"),
        ({"image_column": None}, ValueError, "image_column must name the column"),
        ({"group_column": "bach"}, ValueError, "group_column='bach' is not a column"),
        ({"y": np.zeros(59)}, ValueError, "inconsistent numbers of samples"),
        ({"y": np.array([np.nan] * 60)}, ValueError, "60 of 60 rows have no target"),
        ({"y": np.array(["a", "b"] * 30), "task": "regression"}, ValueError, "must hold numbers"),
        ({"y": np.array([np.inf] + [0.5] * 59)}, ValueError, "infinite in row 0"),
        ({"y": [f"{i}.png" for i in range(60)]}, ValueError, "looks like file paths"),
        ({"X": pd.DataFrame({"width": np.arange(60) / 7, "photo": None})}, ValueError, "itself"),
        ({"task": "ranking"}, ValueError, "task must be 'auto' or one of"),
        ({"task": "classification"}, ValueError, "numbers that are not whole"),
    ],
)
def test_read_data_bad_input_is_error(
    frame: pd.DataFrame, change: dict[str, Any], error: Any, message: str
) -> None:
    target = np.arange(60) / 7
    given = {"X": frame, "y": target, "image_column": "photo", "group_column": None, "task": "auto"}
    with pytest.raises(error, match=message):
        read_data(**{**given, **change})


def test_read_data_warns_of_photos_that_groups_share(
    frame: pd.DataFrame, amount: np.ndarray, recwarn: pytest.WarningsRecorder
) -> None:
    frame["photo"] = [f"{row // 4}.png" for row in range(60)]
    read_data(frame, amount, "photo", None, "auto")
    assert "15 photos are listed by several rows" in str(recwarn.pop(UserWarning).message)
    read_data(frame.assign(batch=np.arange(60) // 4), amount, "photo", "batch", "auto")
    assert len(recwarn) == 0


def test_fingerprint_changes_with_cells_photos_groups_target_and_order(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    changed = amount.copy()
    changed[0] += 1e-12
    variants = [
        (frame, amount),
        (frame.assign(pressure=frame["pressure"].where(frame.index > 0, 5)), amount),
        (frame.rename(columns={"width": "breadth"}), amount),
        (frame.assign(photo=frame["photo"].where(frame.index > 0, "x.png")), amount),
        (frame.assign(photo=frame["photo"].where(frame.index > 0, None)), amount),
        (frame.assign(batch=frame["batch"].where(frame.index > 0, 1)), amount),
        (frame, changed),
        (frame[::-1], amount),
    ]
    prints = [read_data(X, y, "photo", "batch", "auto").fingerprint for X, y in variants]
    assert len(set(prints)) == len(prints)


def test_fingerprint_same_for_polars_other_dtypes_and_moved_photos(
    frame: pd.DataFrame, amount: np.ndarray, photo_folder: Path, tmp_path: Path
) -> None:
    def of(X: Any) -> str:
        return read_data(X, amount, "photo", "batch", "auto").fingerprint

    shutil.copytree(photo_folder, tmp_path / "moved")
    here, there = (
        frame.assign(photo=[str(folder / name) for name in frame["photo"]])
        for folder in (photo_folder, tmp_path / "moved")
    )
    assert of(here) == of(there)
    assert describe_pairs({"a": here, "b": here}) == describe_pairs({"a": there, "b": here})
    assert describe_pairs(here) != describe_pairs(here[::-1])
    assert of(pl.from_pandas(frame)) == of(frame)
    assert of(frame.astype({"support": "category", "pressure": "float64"})) == of(frame)


def test_with_shuffled_photos_deals_them_out_among_the_given_rows(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    data = read_data(frame, amount, "photo", None, "auto")
    rows = np.arange(10, 40)
    shuffled = data.with_shuffled_photos(rows, seed=0)
    photos = shuffled["photo"].to_numpy()
    assert sorted(photos[rows]) == sorted(frame["photo"][rows])
    assert (photos[rows] != frame["photo"][rows]).mean() > 0.8
    outside = np.setdiff1d(np.arange(60), rows)
    np.testing.assert_array_equal(photos[outside], frame["photo"][outside])
    pd.testing.assert_frame_equal(shuffled.drop(columns="photo"), data.pairs.drop(columns="photo"))
    assert data.pairs["photo"].tolist() == frame["photo"].tolist()


def test_with_shuffled_photos_keeps_the_photos_of_a_row_together(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    frame["side"] = frame["photo"].str.replace(".png", "-side.png")
    data = read_data(frame, amount, ["photo", "side"], None, "auto")
    shuffled = data.with_shuffled_photos(np.arange(60), seed=0)
    assert (shuffled["side"] == shuffled["photo"].str.replace(".png", "-side.png")).all()


ODD_COLUMNS: dict[str, Any] = {
    "text": pd.array(["u", None, "v"] * 20, dtype="string"),
    "boolean": pd.array([True, None, False] * 20, dtype="boolean"),
    "objects": pd.Series([pd.NA, "u", "v"] * 20, dtype=object),
    "bools": pd.Series([True, None, False] * 20, dtype=object),
    "arrow": pd.Series(["u", None, "v"] * 20, dtype="string[pyarrow]"),
    "whole": pd.array([1, None, 3] * 20, dtype="Int64"),
    "decimals": pd.Series([Decimal("1.5"), None, Decimal("2")] * 20, dtype=object),
    "mixed": pd.Series([1, "u", None] * 20, dtype=object),
    "dates": pd.date_range("2020", periods=60, tz="Europe/Berlin"),
    "durations": pd.timedelta_range("1h", periods=60),
    "months": pd.period_range("2020", periods=60, freq="M"),
    "bins": pd.cut(pd.Series([1, 6, 9] * 20), [0, 5, 10]),
    "bytes": pd.Series([b"u", None, b"v"] * 20, dtype=object),
    "nothing": pd.Series([None] * 60, dtype=object),
}


def test_every_baseline_and_the_codec_take_what_a_study_reads(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    odd = pd.DataFrame(ODD_COLUMNS)
    data = read_data(frame.assign(**odd), amount, "photo", "batch", "auto")
    # Rows whose mixed cells are numbers alone, and others: both are categories.
    numbers, others = np.arange(0, 60, 3), np.arange(1, 60, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("linear", "boosting"):
            fitted = make_baseline(name, "regression").fit(
                data.table.iloc[numbers], amount[numbers]
            )
            assert np.isfinite(fitted.predict(data.table.iloc[others])).all()
    for table in (odd.convert_dtypes(dtype_backend="numpy_nullable"), odd):
        again = read_data(frame.assign(**table), amount, "photo", "batch", "auto")
        assert len(again.table.columns) == 3 + len(ODD_COLUMNS)


def test_mixed_cells_become_keys_and_texts_stay_as_they_are(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    frame = frame.assign(mixed=ODD_COLUMNS["mixed"], objects=ODD_COLUMNS["objects"])
    table = read_data(frame, amount, "photo", None, "auto").table
    assert table["mixed"][:3].tolist() == ["1", "u", None]
    assert table["objects"][0] is pd.NA


def test_tables_of_other_libraries_and_labels_are_read(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    expected = read_data(frame, amount, "photo", "batch", "auto").fingerprint
    for X in (pl.from_pandas(frame), pa.Table.from_pandas(frame)):
        assert read_data(X, amount, "photo", "batch", "auto").fingerprint == expected
    headers = frame.set_axis(pd.MultiIndex.from_product([["t"], frame.columns]), axis=1)
    data = read_data(headers, amount, ("t", "photo"), ("t", "batch"), "auto")
    assert data.table.shape == (60, 3)
    with pytest.raises(TypeError, match="lazy frame"):
        read_data(pl.from_pandas(frame).lazy(), amount, "photo", None, "auto")
    twice = pd.concat([frame, frame[["width"]]], axis=1)
    with pytest.raises(ValueError, match="more than one column named 'width'"):
        read_data(twice, amount, "photo", None, "auto")


def test_column_of_arrays_is_an_error_that_names_it(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    with pytest.raises(TypeError, match="column 'note', row 0"):
        read_data(frame.assign(note=[np.arange(2)] * 60), amount, "photo", None, "auto")
