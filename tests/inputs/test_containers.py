"""What is taken at the front door: frames of other libraries, photos beside rows, column lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone

from tabimg import Unlabeled
from tabimg.evaluation import image_groups
from tabimg.evaluation.data import read_data
from tabimg.inputs.containers import as_container, as_image_cells
from tabimg.inputs.frames import as_column_list
from tabimg.inputs.rows import take_apart

Frames = dict[str, pd.DataFrame]


def arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


# --- pyarrow -------------------------------------------------------------------------------------


def test_pyarrow_tables_give_what_pandas_frames_give(
    frame: pd.DataFrame, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    expected = make.pretrainer().fit(frame[:30], unlabeled=Unlabeled(frame[30:]))
    found = make.pretrainer().fit(arrow(frame[:30]), unlabeled=Unlabeled(arrow(frame[30:])))
    np.testing.assert_array_equal(found.transform(arrow(table)), expected.transform(table))
    photos = found.transform_images(arrow(frame))
    np.testing.assert_array_equal(photos, expected.transform_images(frame))
    column = arrow(frame)["photo"]
    np.testing.assert_array_equal(found.transform_images(column), photos)

    classifier = make.classifier(finetune="full")
    by_pandas = classifier.fit(table, labels).predict_proba(table)
    batch = arrow(table).to_batches()[0]
    by_arrow = classifier.fit(arrow(table), pa.array(labels)).predict_proba(batch)
    np.testing.assert_array_equal(by_arrow, by_pandas)
    assert list(classifier.feature_names_in_) == list(table.columns)
    assert classifier.score(arrow(table), labels) == classifier.score(table, labels)


@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_pyarrow_table_of_one_column_is_a_target(
    frame: pd.DataFrame, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    column = pd.DataFrame({"y": pd.factorize(labels)[0]})
    for make_one in (make.classifier, make.regressor):
        estimator = make_one(finetune="full", max_epochs=1)
        expected = estimator.fit(table, column).predict(table)
        for y in (arrow(column), arrow(column).to_batches()[0]):
            np.testing.assert_array_equal(estimator.fit(table, y).predict(table), expected)
            assert estimator.score(table, y) == estimator.score(table, column)
    make.pretrainer().fit(frame, arrow(column))


def test_cells_behind_a_mask_are_missing(
    labels: np.ndarray, frame: pd.DataFrame, make: Any
) -> None:
    rows = np.random.default_rng(0).normal(size=(len(labels), 2))
    mask = rows > 1
    holes = np.where(mask, np.nan, rows)
    masked = np.ma.array(np.where(mask, 1e8, rows), mask=mask)
    classifier = make.classifier(finetune="full", max_epochs=1)
    expected = classifier.fit(holes, labels).predict_proba(holes)
    np.testing.assert_array_equal(classifier.predict_proba(masked), expected)
    found = classifier.fit(masked, labels).predict_proba(holes)
    np.testing.assert_array_equal(found, expected)
    paths = np.ma.array(frame["photo"].to_numpy(dtype=str), mask=[True] + [False] * 39)
    assert as_image_cells(frame, paths) == [None, *frame["photo"].tolist()[1:]]


def test_pyarrow_cohorts_give_what_pandas_cohorts_give(
    cohorts: Frames, labels: np.ndarray, make: Any
) -> None:
    tables = {name: arrow(frame) for name, frame in cohorts.items()}
    expected = make.citab().fit(cohorts).transform(cohorts)
    pretrainer = make.citab().fit(tables)
    np.testing.assert_array_equal(pretrainer.transform(tables), expected)
    classifier = make.citab_classifier(finetune="full", pretrainer=None)
    table = cohorts["north"].drop(columns="photo")
    by_pandas = classifier.fit(table, labels[:24]).predict_proba(table)
    by_arrow = classifier.fit(arrow(table), labels[:24]).predict_proba(arrow(table))
    np.testing.assert_array_equal(by_arrow, by_pandas)


def test_pyarrow_lists_of_photos_are_lists(frame: pd.DataFrame, make: Any) -> None:
    several = frame.assign(photo=[[path, path] for path in frame["photo"]])
    images = make.pretrainer()._images_of(arrow(several))
    assert images.counts.tolist() == [2] * 40
    assert images.sources == list(frame["photo"])


def test_studies_take_pyarrow_tables(frame: pd.DataFrame, target: np.ndarray) -> None:
    data = read_data(arrow(frame), target, "photo", None, "regression")
    pd.testing.assert_frame_equal(data.table, frame.drop(columns="photo"), check_dtype=False)
    groups = image_groups(arrow(frame), "photo")
    np.testing.assert_array_equal(groups, image_groups(frame, "photo"))


# --- what is no table ----------------------------------------------------------------------------


@pytest.mark.parametrize("X", ["cars.csv", Path("cars.csv"), b"a,b"])
def test_path_of_a_table_is_told_to_be_read(X: object, labels: np.ndarray, make: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: make.pretrainer(image_column=None).fit(X),
        lambda: make.citab(image_column=None).fit(X),
        lambda: make.classifier().fit(X, labels),
        lambda: Unlabeled(X),
        lambda: make.citab().fit({"north": X}),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"takes the rows themselves.*pandas\.read_csv"):
            call()


def test_lazy_frames_are_told_to_be_collected() -> None:
    with pytest.raises(TypeError, match=r"lazy frame.*collect"):
        as_container(pl.LazyFrame({"a": [1]}))


# --- photos beside the rows ----------------------------------------------------------------------


def test_image_paths_may_be_any_sequence(frame: pd.DataFrame) -> None:
    paths = list(frame["photo"])
    given = [paths, tuple(paths), iter(paths), np.array(paths), pd.Series(paths), pl.Series(paths)]
    for each in [*given, pa.array(paths), pd.Index(paths), (path for path in paths)]:
        assert as_image_cells(frame, each) == paths


def test_image_paths_may_be_a_column_of_a_frame_of_any_kind(
    frame: pd.DataFrame, to_frame: Any
) -> None:
    some = frame.assign(photo=frame["photo"].where(np.arange(40) % 3 > 0, None))
    rows = take_apart(frame[["width"]], None, None, to_frame(some)["photo"])
    images = rows.images(None)
    assert images.has_image.tolist() == (np.arange(40) % 3 > 0).tolist()
    assert images.sources == some["photo"].dropna().tolist()


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        ("photo", TypeError, "one entry per row, got str: 'photo'"),
        (Path("a.jpg"), TypeError, "one entry per row, got .*Path: .*a.jpg"),
        ({0: "a.jpg"}, TypeError, "one entry per row, got dict"),
        (7, TypeError, "one entry per row, got int"),
        (pd.DataFrame({"a": ["a.jpg"] * 3}), TypeError, "a DataFrame.*list several photos"),
        (["a.jpg"] * 2, ValueError, "inconsistent numbers of samples, 2 and 3"),
        (pd.Series(["a.jpg"] * 3, index=[2, 0, 1]), ValueError, r"another order.*loc\[X.index\]"),
    ],
)
def test_image_paths_that_do_not_fit_are_refused(
    paths: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_image_cells(pd.DataFrame({"x": [1, 2, 3]}), paths)


def test_generator_of_image_paths_serves_pretraining_and_fine_tuning(
    frame: pd.DataFrame, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(pretrainer=make.pretrainer(image_column=None), finetune="frozen")
    regressor.fit(table, target, image_paths=(path for path in frame["photo"]))
    assert regressor.pretrainer_.network_.architecture.image is not None


# --- columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, []),
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array("a"), ["a"]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (pd.Series(["a", "b"]), ["a", "b"]),
        (pl.Series(["a", "b"]), ["a", "b"]),
        (pa.array(["a", "b"]), ["a", "b"]),
        (pa.chunked_array([["a"], ["b"]]), ["a", "b"]),
        (pd.Index([("a", "x"), ("b", "x")]), [("a", "x"), ("b", "x")]),
        (("a", "x"), [("a", "x")]),
        (0, [0]),
    ],
)
def test_column_lists_are_made_of_what_names_columns(given: Any, expected: list[Any]) -> None:
    assert as_column_list(given) == expected


@pytest.mark.parametrize(
    "columns", [np.array(["photo"]), pl.Series(["photo"]), pa.array(["photo"])], ids=type
)
def test_estimators_take_image_columns_as_an_array(
    columns: Any, frame: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    expected = make.pretrainer().fit(frame)
    found = make.pretrainer(image_column=columns).fit(frame)
    np.testing.assert_array_equal(found.transform_images(frame), expected.transform_images(frame))
    assert make.citab(image_column=columns)._images_of(frame).has_image.all()
    fused = make.classifier(image_column=columns, finetune="full", pretrainer=clone(found))
    assert list(fused.fit(frame, labels).feature_names_in_) == ["width", "pressure", "support"]


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ({"a": [0.0] * 100_000}, TypeError, r"X is a dict.*pass pandas.DataFrame\(X\)"),
        (pd.Series(["t" * 5000] * 500), ValueError, r"got 1D array instead.*use .to_frame\(\)"),
        (["t" * 5000] * 500, ValueError, "got 1D array instead.*Reshape your data"),
        (set(range(100_000)), TypeError, "got scalar array instead: X is {0, 1"),
        (np.ones((960, 2)) * 1j, ValueError, "Complex data not supported.*in row 0"),
    ],
    ids=["dict", "Series", "list", "set", "complex"],
)
def test_what_is_no_table_is_refused_in_few_words(
    X: Any, error: type[Exception], words: str, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    classifier = make.classifier(finetune="full", max_epochs=1).fit(table, labels)
    for call in (lambda: classifier.fit(X, labels), lambda: classifier.predict(X)):
        with pytest.raises(error, match=words) as caught:
            call()
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("y", [{"a": [1] * 100_000}, set(range(100_000)), ["z" * 100_000] * 9])
def test_what_is_no_target_is_refused_in_few_words(
    y: Any, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(finetune="full", max_epochs=1).fit(table, target)
    weighted = {"sample_weight": y}
    calls = [lambda: regressor.fit(table, target, **weighted), lambda: regressor.score(table, y)]
    for call in calls:
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert len(str(caught.value)) < 1000


def test_long_names_of_columns_are_cut(table: pd.DataFrame, labels: np.ndarray, make: Any) -> None:
    long = {column: f"{column}{'n' * 100_000}" for column in table.columns}
    classifier = make.classifier(finetune="full", max_epochs=1).fit(table, labels)
    with pytest.raises(ValueError, match="Feature names unseen at fit time") as caught:
        classifier.predict(table.rename(columns=long))
    assert len(str(caught.value)) < 1000
    with pytest.raises(ValueError, match="is not a column of X") as caught:
        make.pretrainer(image_column="photo").fit(table.rename(columns=long))
    assert len(str(caught.value)) < 1000


def test_wrong_columns_are_told_in_bounded_words(make: Any) -> None:
    wide = pd.DataFrame(np.zeros((4, 3000)), columns=[f"column {i}" for i in range(3000)])
    with pytest.raises(ValueError, match=r"and 2980 more") as caught:
        make.pretrainer(image_column="photo").fit(wide)
    assert len(str(caught.value)) < 600
    two_levels = pd.DataFrame({("photo", "path"): ["a.jpg"], ("size", "cm"): [1.0]})
    with pytest.raises(ValueError, match=r"Did you mean \('photo', 'path'\)"):
        make.pretrainer(image_column="photo").fit(two_levels)
    flat = pd.DataFrame({"front": ["a.jpg"], "side": ["b.jpg"], "x": [1.0]})
    with pytest.raises(ValueError, match=r"A tuple is one label.*\['front', 'side'\]"):
        make.pretrainer(image_column=("front", "side")).fit(flat)
