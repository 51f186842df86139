from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tabimg.table.paths import looks_like_file_paths


@pytest.mark.parametrize(
    "values",
    [
        ["a.jpg", "b.PNG"],
        ["photo 1.jpeg", None, "x.webp"],
        ["scans/p01.nii.gz", "scans/p02.nii.gz"],
        ["C:\\data\\one.dcm"],
        ["folder/file.xyz", "folder/other.dat"],
        [Path("a"), Path("b")],
        ["https://host/cars/1.jpg?w=200&h=100", "s3://bucket/2.png#top"],
        ["data:image/png;base64,iVBORw0KGgo="],
        ["https://host/cars/1.jpg?", "https://host/cars/2.jpg"] * 2 + ["a.tif"],
        pd.Series(["a.jpg", None, "b.jpg"], dtype="string"),
        pl.Series(["a.jpg", None]),
        np.array(["a.bmp", "b.tiff"], dtype=object),
        ["a.jpg", "", None, float("nan"), pd.NA],
        ["DATA:image/png;base64," + "A" * 10_000],
        ["folder/" * 500 + "a.jpg \n"],
        ["https://host/" + "a.jpg?" * 500],
    ],
)
def test_paths_of_files_are_recognised(values):
    assert looks_like_file_paths(values)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None, float("nan"), ""],
        ["red", "blue"],
        ["N/A", "km/h", "1/2.5"],
        ["Dr. No", "v1.0", "e.g."],
        ["https://host/page/1", "https://host/?q=a"],
        [".jpg", "jpg"],
        [1.0, 2.0],
        ["a.jpg", "red", "blue"],
        ["a.jpg", 1, 2],
        pd.Series([1, 2], dtype="Int64"),
        np.array([True, False]),
        ["A sentence. " * 1000 + "a.jpg"],  # longer than any path
        ["https://host/a b.html", ". .jpg", "... .png"],
    ],
)
def test_other_values_are_not(values):
    assert not looks_like_file_paths(values)


MILLION = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        *("word and more. " * 70_000, "." * MILLION, "a." * (MILLION // 2), " " * MILLION + "x"),
        *("/" * MILLION, "a" * MILLION + "://", "http://" + ".jpg?" * (MILLION // 5) + " x"),
    ],
    ids=lambda text: f"{text[:8]!r}",
)
def test_long_cells_are_told_from_paths_without_work_that_grows_with_their_square(text):
    # With such work, one cell takes hours.
    assert not looks_like_file_paths([text] * 20)
