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
    ],
)
def test_paths_are_recognised(values):
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
    ],
)
def test_other_values_are_not(values):
    assert not looks_like_file_paths(values)
