"""Shared rows and photos are found by what they hold, not by their names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.model_selection import GroupKFold

from tabimg.evaluation import image_groups, leakage_report
from tabimg.image.missing import MissingImagesError


@pytest.fixture
def copied(photo_folder: Path, tmp_path: Path) -> Path:
    """The photos, with ``copy.png`` of the same content as ``03.png``."""
    folder = tmp_path / "photos"
    shutil.copytree(photo_folder, folder)
    shutil.copy(folder / "03.png", folder / "copy.png")
    return folder


def test_leakage_report_of_separate_frames_is_clean(frame: pd.DataFrame, copied: Path) -> None:
    report = leakage_report(frame[:40], frame[40:], image_column="photo", image_root=copied)
    assert report.is_clean
    assert str(report) == "No shared rows or images: 20 test rows against 40 pre-training rows."


def test_leakage_report_finds_copied_photo_under_another_name(
    frame: pd.DataFrame, copied: Path
) -> None:
    frame.loc[50, "photo"] = "copy.png"
    report = leakage_report(
        frame[:40], frame[40:], image_column="photo", image_root=copied, group_column="batch"
    )
    assert report.rows.empty
    assert report.images.to_dict("records") == [
        {
            "test_row": 10,
            "test_image": str(copied / "copy.png"),
            "pretraining_row": 3,
            "pretraining_image": str(copied / "03.png"),
            "n_pretraining_rows": 1,
        }
    ]
    assert "1 test rows share images" in str(report)
    assert "copy.png" in str(report)


def test_leakage_report_finds_equal_rows_with_missing_cells_and_ignores_groups_and_target(
    frame: pd.DataFrame,
) -> None:
    seen = pd.concat([frame[:40], frame[3:4]])  # row 3 has a missing cell and stands there twice
    test = pd.concat([frame[40:], frame[3:4]]).assign(batch=-1, target=1.0)
    report = leakage_report(seen, test.drop(columns="photo"), group_column="batch")
    assert report.rows.to_dict("records") == [
        {"test_row": 20, "pretraining_row": 3, "n_pretraining_rows": 2}
    ]


def test_leakage_report_of_bytes_files_and_pixels(copied: Path) -> None:
    content = (copied / "03.png").read_bytes()
    seen = pd.DataFrame({"a": [1, 2], "photo": [str(copied / "03.png"), None]})
    test = pd.DataFrame({"a": [3, 4], "photo": [content, None]})
    assert leakage_report(seen, test, image_column="photo").images["test_row"].tolist() == [0]
    pixels = [Image.fromarray(np.full((4, 4, 3), shade, dtype=np.uint8)) for shade in (7, 7, 9)]
    test = pd.DataFrame({"a": [3, 4], "photo": pixels[1:]})
    seen = pd.DataFrame({"a": [1], "photo": pixels[:1]})
    assert leakage_report(seen, test, image_column="photo").images["test_row"].tolist() == [0]


def test_leakage_report_of_embedding_vectors() -> None:
    vectors = [np.array([0.5, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0])]
    frame = pd.DataFrame({"a": [1, 2, 3], "photo": vectors})
    report = leakage_report(frame[:2], frame[2:], image_column="photo")
    assert report.images["pretraining_row"].tolist() == [1]


def test_leakage_report_same_for_polars(frame: pd.DataFrame, copied: Path) -> None:
    frame.loc[50, "photo"] = "copy.png"
    frame.loc[51] = frame.loc[4]
    reports = [
        leakage_report(part[:40], part[40:], image_column="photo", image_root=copied)
        for part in (frame, pl.from_pandas(frame))
    ]
    assert not reports[0].rows.empty
    pd.testing.assert_frame_equal(reports[0].rows, reports[1].rows)
    pd.testing.assert_frame_equal(reports[0].images, reports[1].images)


def test_missing_files_are_counted_by_frame_and_shown_beside_near_names(
    frame: pd.DataFrame, copied: Path
) -> None:
    test = frame[40:].assign(photo=frame["photo"].str.upper())
    with pytest.raises(MissingImagesError) as caught:
        leakage_report(frame[:40], test, image_column="photo", image_root=copied)
    text = str(caught.value)
    assert text.startswith("20 of 20 photos are missing: row 0 (index 40) of test: ")
    assert "(there is '40.png')" in text and "and 17 more" in text
    assert text.endswith("or leave the cells of rows without a photo empty (None).")
    with pytest.raises(MissingImagesError, match="1 of 40 photos is missing: row 3 of pretraining"):
        leakage_report(
            frame[:40].replace({"photo": {"03.png": "3.gif"}}),
            frame[40:],
            image_column="photo",
            image_root=copied,
        )
    with pytest.raises(MissingImagesError, match=r"20 of 20 photos .* row 0 \(index 40\) of X: "):
        image_groups(test, "photo", image_root=copied)


@pytest.mark.parametrize(
    ("cell", "root", "hint"),
    [
        ("https://host/{}", ".", r"URLs.* download them\. Correct"),
        ("", ".", r"is a folder.* list them in the cell\. Correct"),
        ("{0};{0}", ".", r"list in the cell, such as \['40\.png', '40\.png'\]"),
        ("{}", "nope", r"The folder .*nope.* does not exist.* image_root"),
        ("{}" + "q" * 100_000, ".", "holds text, not a path"),
    ],
)
def test_missing_files_of_a_report_have_the_hints_of_a_fit(
    frame: pd.DataFrame, copied: Path, cell: str, root: str, hint: str
) -> None:
    test = frame[40:].assign(photo=frame["photo"].map(cell.format) if cell else ".")
    test = test.reset_index(drop=True)
    seen = frame[:40].assign(photo=None)
    with pytest.raises(MissingImagesError, match=hint) as caught:
        leakage_report(seen, test, image_column="photo", image_root=copied / root)
    assert "on_bad_image" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_file_that_cannot_be_read_is_named_by_frame_and_row(
    frame: pd.DataFrame, copied: Path
) -> None:
    (copied / "45.png").unlink()
    os.mkfifo(copied / "45.png")
    test = frame[40:].reset_index(drop=True)
    with pytest.raises(
        ValueError, match=r"^row 5 of test: .*45\.png.*pipe.* an empty cell \(None\)"
    ):
        leakage_report(frame[:40], test, image_column="photo", image_root=copied)


def test_frames_of_two_libraries_or_kinds_are_called_by_the_reports_own_names(
    frame: pd.DataFrame,
) -> None:
    table = frame.drop(columns="photo")
    with pytest.raises(ValueError, match=r"^pretraining and test must both be frames.*polars"):
        leakage_report(table, pl.from_pandas(table))
    with pytest.raises(ValueError, match=r"in pretraining and categorical in test: row \d of test"):
        leakage_report(table[["width"]], table[["width"]].astype(str))
    with pytest.raises(ValueError, match=r"image_column='foto' is not a column of pretraining"):
        leakage_report(frame, frame, image_column="foto")
    with pytest.raises(TypeError, match=r"^test: a DataFrame is needed, got ndarray"):
        leakage_report(table, table.to_numpy())


def test_leakage_report_without_common_columns_is_error() -> None:
    with pytest.raises(ValueError, match="no column in common"):
        leakage_report(pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}))


def test_long_report_is_cut_short_and_says_so(frame: pd.DataFrame) -> None:
    text = str(leakage_report(frame, frame))
    assert "60 test rows share rows" in text
    assert "... and 50 more in .rows" in text


def test_image_groups_link_photos_by_content_rows_by_cells_and_declared_groups(
    copied: Path,
) -> None:
    frame = pd.DataFrame(
        {
            "a": [1, 2, 3, 4, 5, 5, 7, 8],
            "photo": [
                *("03.png", "copy.png", ["04.png", "05.png"], ["05.png", "06.png"]),
                *("07.png", "08.png", None, None),
            ],
            "visit": [0, 1, 2, 3, 4, 5, 6, 6],
        }
    )
    groups = image_groups(frame, "photo", image_root=copied, group_column="visit")
    np.testing.assert_array_equal(groups, [0, 0, 1, 1, 2, 2, 3, 3])


def test_image_groups_keep_photos_on_one_side_of_group_folds(
    frame: pd.DataFrame, copied: Path
) -> None:
    frame["photo"] = [f"{row % 20:02d}.png" for row in range(60)]
    groups = image_groups(frame.drop(columns="batch"), "photo", image_root=copied)
    np.testing.assert_array_equal(groups, np.arange(60) % 20)
    for train, test in GroupKFold(5).split(frame, groups=groups):
        table = frame.drop(columns="batch")
        report = leakage_report(
            table.iloc[train], table.iloc[test], image_column="photo", image_root=copied
        )
        assert report.is_clean


def test_image_groups_of_photos_alone(copied: Path) -> None:
    frame = pd.DataFrame({"photo": ["03.png", "04.png", "copy.png"]})
    np.testing.assert_array_equal(image_groups(frame, "photo", image_root=copied), [0, 1, 0])


@pytest.mark.parametrize("columns", [{"image_column": "foto"}, {"image_column": "photo"}])
def test_image_groups_undeclared_column_is_error(frame: pd.DataFrame, columns: Any) -> None:
    with pytest.raises(ValueError, match=r"image_column='foto'|group_column='bach'"):
        image_groups(frame, group_column="bach", **columns)


def test_columns_in_neither_frame_are_named_and_uncompared_images_are_told() -> None:
    seen = pd.DataFrame({"width": [1.0], "photo": [b"front"]})
    new = pd.DataFrame({"width": [2.0], "photo": [b"front"]})
    assert leakage_report(seen, new, image_column="photo").compares_images
    with pytest.raises(ValueError, match=r"image_column='foto' is not a column.*Did you mean"):
        leakage_report(seen, new, image_column="foto")
    with pytest.raises(ValueError, match="group_column='patient' is not a column"):
        leakage_report(seen, new, image_column="photo", group_column="patient")
    photos = leakage_report(seen[["photo"]], new[["photo"]], image_column="photo")
    assert photos.rows.empty and len(photos.images) == 1
    report = leakage_report(seen, new.drop(columns="photo"), image_column="photo")
    assert not report.compares_images
    assert "Images were not compared" in str(report)
