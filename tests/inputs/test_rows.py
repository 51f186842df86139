"""Rows are taken apart into table and photos, and what does not suit is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tabimg import MultiModalPretrainer
from tabimg.inputs.rows import Rows, group_ids, take_apart
from tabimg.table import TableCodec

Weights = Callable[[Any], dict[str, np.ndarray]]

# --- image cells ---------------------------------------------------------------------------------


def as_cells(paths: pd.Series, kind: str) -> list[Any]:
    kinds: dict[str, Callable[[str], Any]] = {
        "str": str,
        "Path": Path,
        "bytes": lambda p: Path(p).read_bytes(),
        "PIL": Image.open,
        "list": lambda p: [p],
        "tuple": lambda p: (p,),
    }
    return [kinds[kind](path) for path in paths]


@pytest.mark.parametrize("kind", ["Path", "bytes", "PIL", "list", "tuple"])
def test_image_cells_of_every_kind_train_the_same_weights(
    kind: str, frame: pd.DataFrame, make: Any, weights: Weights
) -> None:
    cells = pd.Series(as_cells(frame["photo"], kind), dtype=object)
    by_path = make.pretrainer().fit(frame)
    by_cell = make.pretrainer().fit(frame.assign(photo=cells))
    np.testing.assert_equal(weights(by_path), weights(by_cell))


def test_image_loader_opens_what_pillow_does_not(
    frame: pd.DataFrame, tmp_path: Path, make: Any
) -> None:
    paths = []
    for row in range(len(frame)):
        paths.append(str(tmp_path / f"{row}.npy"))
        np.save(paths[-1], np.full((20, 20), row * 6, dtype=np.uint8))
    by_loader = frame.assign(photo=pd.Series(paths, dtype=object))
    with pytest.raises(ValueError, match=r"row 0 of X: .*0\.npy.*image_loader="):
        make.pretrainer().fit(by_loader)
    pre = make.pretrainer(image_loader=np.load).fit(by_loader)
    assert pre.transform_images(by_loader).shape == (40, 32)


def test_embedding_vectors_serve_as_photos(table: pd.DataFrame, make: Any) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(table), 6)).astype(np.float32)
    with_vectors = table.assign(photo=pd.Series(list(vectors), dtype=object))
    pre = make.pretrainer(image_encoder="resnet18").fit(with_vectors)
    assert "train_contrastive" in pre.history_[0]
    assert pre.transform(table).shape == (40, 8)
    assert pre.transform_images(with_vectors).shape == (40, 6)


def test_image_root_is_where_relative_paths_start(
    frame: pd.DataFrame, photo_folder: Path, make: Any, weights: Weights
) -> None:
    names = frame["photo"].map(lambda path: Path(path).name)
    relative = make.pretrainer(image_root=photo_folder).fit(frame.assign(photo=names))
    np.testing.assert_equal(weights(relative), weights(make.pretrainer().fit(frame)))
    np.testing.assert_array_equal(
        relative.transform_images(frame.assign(photo=names)), relative.transform_images(frame)
    )


def test_image_root_missing_file_is_reported_with_its_whole_path(
    frame: pd.DataFrame, tmp_path: Path, make: Any
) -> None:
    names = frame["photo"].map(lambda path: Path(path).name)
    with pytest.raises(ValueError, match="row 0") as caught:
        make.pretrainer(image_root=tmp_path).fit(frame.assign(photo=names))
    assert str(tmp_path / "00.png") in str(caught.value)


def test_several_image_columns_equal_a_column_of_lists(
    frame: pd.DataFrame, make: Any, weights: Weights
) -> None:
    second = pd.Series(np.roll(frame["photo"], 1), dtype=object)
    two = frame.assign(second=second)
    lists = frame.assign(
        photo=pd.Series([list(p) for p in zip(frame["photo"], second, strict=True)], dtype=object)
    )
    by_columns = make.pretrainer(image_column=["photo", "second"], max_epochs=3).fit(two)
    by_lists = make.pretrainer(max_epochs=3).fit(lists)
    np.testing.assert_equal(weights(by_columns), weights(by_lists))
    np.testing.assert_array_equal(by_columns.transform(two), by_lists.transform(lists))
    assert by_columns.n_features_in_ == 3


def test_several_images_per_row_are_all_read(
    frame: pd.DataFrame, photo_log: Any, make: Any
) -> None:
    half = frame[:20].assign(second=list(frame["photo"][20:]))
    pre = make.pretrainer(image_column=["photo", "second"], image_loader=photo_log.loader)
    pre.fit(half)
    assert sorted(photo_log.names()) == [f"{row:02d}.png" for row in range(40)]


@pytest.mark.parametrize("empty", [None, np.nan, "", pd.NA, [], [None]])
def test_rows_without_image_are_embedded_like_others(
    empty: Any, frame: pd.DataFrame, make: Any
) -> None:
    cells = list(frame["photo"])
    for row in range(0, 40, 2):
        cells[row] = empty
    sparse = frame.assign(photo=pd.Series(cells, dtype=object))
    pre = make.pretrainer().fit(sparse)
    assert {"train_contrastive", "train_masked"} <= pre.history_[0].keys()
    assert np.isfinite(pre.transform(sparse)).all()
    embedded = pre.transform_images(sparse)
    np.testing.assert_array_equal(np.isnan(embedded).all(axis=1), np.arange(40) % 2 == 0)


def test_no_row_with_image_trains_the_masked_term_and_says_so(
    frame: pd.DataFrame, make: Any
) -> None:
    with pytest.warns(UserWarning, match="only the masked-cell loss"):
        pre = make.pretrainer().fit(frame.assign(photo=None))
    assert "train_contrastive" not in pre.history_[0]
    assert pre.transform(frame).shape == (40, 8)


def test_no_row_with_image_and_no_masked_term_is_an_error(frame: pd.DataFrame, make: Any) -> None:
    with pytest.raises(ValueError, match="lambda_m is 0"):
        make.pretrainer(lambda_m=0).fit(frame.assign(photo=None))


def test_lambda_c_zero_reads_no_photo(frame: pd.DataFrame, photo_log: Any, make: Any) -> None:
    make.pretrainer(lambda_c=0, image_loader=photo_log.loader).fit(frame)
    assert photo_log.names() == []


def test_image_cell_of_foreign_type_is_refused_with_its_row(frame: pd.DataFrame, make: Any) -> None:
    cells = list(frame["photo"])
    cells[7] = 3.5
    with pytest.raises(TypeError, match="row 7"):
        make.pretrainer().fit(frame.assign(photo=pd.Series(cells, dtype=object)))


# --- containers ----------------------------------------------------------------------------------


def as_plain(rows: Rows) -> dict[str, Any]:
    """Everything that a fit takes of some rows, in plain arrays and lists."""
    images = rows.images(None)
    table = TableCodec().fit(rows.table).encode(rows.table)
    return {
        "cells": table.arrays(),
        "photos": (images.sources, images.counts.tolist()),
        "groups": group_ids([rows]),
        "places": rows.places,
    }


@pytest.mark.parametrize(
    "lots",
    [
        [1, 2, 2],
        [1.0, None, 1.0],
        [0.5, None, 0.5],
        ["a", None, "a"],
        [True, False, None],
        [pd.Timestamp("2020"), pd.NaT, pd.Timestamp("2021")],
    ],
    ids=str,
)
def test_frame_of_every_kind_is_taken_apart_alike(
    lots: list[Any], frame: pd.DataFrame, to_frame: Any
) -> None:
    photos = frame["photo"].where(np.arange(40) % 3 > 0, None)
    given = frame.assign(photo=photos, lot=pd.Series(lots * 14)[:40])
    found = take_apart(to_frame(given), "photo", "lot")
    np.testing.assert_equal(as_plain(found), as_plain(take_apart(given, "photo", "lot")))


def test_lists_of_photos_in_a_frame_of_every_kind_are_taken_apart_alike(
    frame: pd.DataFrame, to_frame: Any
) -> None:
    several = [
        [path, frame["photo"][0]] if row % 3 else None for row, path in enumerate(frame["photo"])
    ]
    given = frame.assign(second=pd.Series(several, dtype=object))
    found = take_apart(to_frame(given), ["photo", "second"], None)
    expected = take_apart(given, ["photo", "second"], None)
    np.testing.assert_equal(as_plain(found), as_plain(expected))


def test_lists_and_object_arrays_give_the_frames_predictions(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    rows = table.to_numpy(dtype=object)
    expected = make.regressor().fit(table, target).predict(table)
    by_array = make.regressor().fit(rows, target)
    by_list = make.regressor().fit(rows.tolist(), list(target))
    np.testing.assert_array_equal(by_array.predict(rows), expected)
    np.testing.assert_array_equal(by_list.predict(rows.tolist()), expected)
    assert not hasattr(by_array, "feature_names_in_")


def test_numeric_array_gives_the_frames_embedding(table: pd.DataFrame, make: Any) -> None:
    numbers = table[["width", "pressure"]]
    by_frame = make.pretrainer(image_column=None).fit(numbers)
    by_array = make.pretrainer(image_column=None).fit(numbers.to_numpy())
    np.testing.assert_array_equal(
        by_array.transform(numbers.to_numpy()), by_frame.transform(numbers)
    )


def test_image_paths_beside_an_array_equal_an_image_column(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any
) -> None:
    by_paths = make.pretrainer(image_column=None).fit(
        table.to_numpy(dtype=object), image_paths=frame["photo"].to_numpy()
    )
    by_column = make.pretrainer().fit(frame)
    np.testing.assert_array_equal(
        by_paths.transform(table.to_numpy(dtype=object)), by_column.transform(table)
    )


def test_image_paths_of_another_length_are_refused(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any
) -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make.pretrainer(image_column=None).fit(table, image_paths=list(frame["photo"])[:-1])


def test_photos_given_twice_are_refused(frame: pd.DataFrame, make: Any) -> None:
    with pytest.raises(ValueError, match=r"photos are given twice.*'photo'.*image_paths"):
        make.pretrainer().fit(frame, image_paths=list(frame["photo"]))


def test_features_seen_in_fit_are_those_of_the_table(
    frame: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    pre = make.pretrainer(group_column="lot")
    with_lot = frame.assign(lot=np.arange(40) // 2)
    for estimator in (
        pre.fit(with_lot),
        make.classifier(pretrainer=pre.__class__(**pre.get_params()), finetune="frozen").fit(
            with_lot, labels
        ),
        make.classifier(image_column="photo", group_column="lot").fit(with_lot, labels),
    ):
        assert estimator.n_features_in_ == 3
        assert list(estimator.feature_names_in_) == ["width", "pressure", "support"]


# --- what does not suit --------------------------------------------------------------------------


def test_image_column_that_does_not_exist_is_named_with_the_columns(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    expected = r"image_column='foto'.*'width', 'pressure', 'support', 'photo'.*Did you mean 'photo'"
    with pytest.raises(ValueError, match=expected):
        make.pretrainer(image_column="foto").fit(frame)
    with pytest.raises(ValueError, match=expected):
        make.regressor(pretrainer=make.pretrainer(image_column="foto")).fit(frame, target)
    with pytest.raises(ValueError, match=expected):
        make.regressor(image_column="foto").fit(frame, target)


def test_group_column_that_does_not_exist_is_named(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="group_column='lot' is not a column"):
        make.pretrainer(group_column="lot").fit(frame)
    with pytest.raises(ValueError, match="group_column='lot' is not a column"):
        make.regressor(image_column="photo", group_column="lot").fit(frame, target)


def test_image_column_with_bare_array_points_to_image_paths(table: pd.DataFrame, make: Any) -> None:
    with pytest.raises(ValueError, match=r"image_column='photo'.*image_paths="):
        make.pretrainer().fit(table.to_numpy(dtype=object))


def test_one_of_two_image_columns_missing_is_an_error(frame: pd.DataFrame, make: Any) -> None:
    pre = make.pretrainer(image_column=["photo", "second"])
    with pytest.raises(ValueError, match=r"image_column='second' is not a column"):
        pre.fit(frame)


def test_paths_as_target_are_refused(frame: pd.DataFrame, table: pd.DataFrame, make: Any) -> None:
    for estimator in (make.pretrainer(image_column=None), make.classifier()):
        for paths in (frame["photo"], list(frame["photo"]), frame[["photo"]]):
            with pytest.raises(ValueError, match=r"image_column=.*image_paths="):
                estimator.fit(table, paths)


def test_undeclared_path_column_warns_and_names_the_remedies(
    frame: pd.DataFrame, labels: np.ndarray, to_frame: Any, make: Any
) -> None:
    expected = r"'photo' looks like file paths.*image_column='photo'.*image_paths="
    with pytest.warns(UserWarning, match=expected):
        make.pretrainer(image_column=None).fit(to_frame(frame))
    with pytest.warns(UserWarning, match=expected):
        make.classifier(finetune="full", max_epochs=1).fit(to_frame(frame), labels)


def test_second_photo_column_that_is_not_declared_warns(frame: pd.DataFrame, make: Any) -> None:
    # A second photo is there for few rows, and for none of the first.
    side = [None] * 30 + list(frame["photo"][30:])
    for cells in (side, ["https://host/1.jpg?w=200"] * 40, ["data:image/png;base64,iVBO"] * 40):
        with pytest.warns(UserWarning, match=r"'side' looks like file paths"):
            make.pretrainer().fit(frame.assign(side=pd.Series(cells, dtype=object)))


def test_declared_image_column_is_silent(
    frame: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make.pretrainer().fit(frame)
        make.classifier(image_column="photo").fit(frame, labels)
        make.classifier(pretrainer=make.pretrainer(), finetune="frozen").fit(frame, labels)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_too_few_rows_are_refused(
    n_rows: int, frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    few = frame[:n_rows]
    expected = f"{n_rows} sample|n_samples = {n_rows}"
    with pytest.raises(ValueError, match=expected):
        make.pretrainer().fit(few)
    with pytest.raises(ValueError, match=expected):
        make.regressor(image_column="photo").fit(few, target[:n_rows])
    with pytest.raises(ValueError, match=expected):
        make.regressor(pretrainer=make.pretrainer()).fit(few, target[:n_rows])


def test_prediction_of_no_rows_is_refused_and_of_one_row_works(
    frame: pd.DataFrame, target: np.ndarray, fitted: MultiModalPretrainer, make: Any
) -> None:
    regressor = make.regressor(image_column="photo").fit(frame, target)
    for method in (regressor.predict, fitted.transform):
        with pytest.raises(ValueError, match=r"0 sample\(s\)"):
            method(frame[:0])
        assert len(method(frame[:1])) == 1


def test_two_rows_are_enough(frame: pd.DataFrame, target: np.ndarray, make: Any) -> None:
    regressor = make.regressor(pretrainer=make.pretrainer())
    assert np.isfinite(regressor.fit(frame[:2], target[:2]).predict(frame)).all()


def test_frame_of_nothing_but_photos_is_refused(frame: pd.DataFrame, make: Any) -> None:
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        make.pretrainer().fit(frame[["photo"]])


def test_all_missing_column_warns_and_carries_nothing(frame: pd.DataFrame, make: Any) -> None:
    with pytest.warns(UserWarning, match="'blank'"):
        pre = make.pretrainer().fit(frame.assign(blank=np.nan))
    np.testing.assert_array_equal(
        pre.transform(frame.assign(blank=np.nan).drop(columns="photo")),
        make.pretrainer().fit(frame).transform(frame),
    )


def test_all_columns_all_missing_are_refused(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    blank = frame[["photo"]].assign(first=np.nan, second=None)
    with pytest.raises(ValueError, match="missing"):
        make.pretrainer().fit(blank)
    with pytest.raises(ValueError, match="missing"):
        make.regressor(image_column="photo").fit(blank, target)


def test_infinite_value_is_named_with_column_and_row(
    frame: pd.DataFrame, target: np.ndarray, fitted: MultiModalPretrainer, make: Any
) -> None:
    infinite = frame.copy()
    infinite.loc[5, "width"] = np.inf
    calls = (
        lambda: make.regressor(image_column="photo").fit(infinite, target),
        lambda: make.regressor(image_column="photo").fit(frame, target).predict(infinite),
        lambda: fitted.transform(infinite),
    )
    for call in calls:
        with pytest.raises(ValueError, match="infinity") as caught:
            call()
        assert "'width'" in str(caught.value)
        assert "row 5" in str(caught.value)
