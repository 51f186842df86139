"""suggest_pairing: columns that name photos, found by the files that are there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tabimg.datasets import load_paired, suggest_pairing

TABLE = pd.DataFrame({"age": [31, 54, 61, 70], "site": ["arm", "leg", "arm", "leg"]})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("007", "008", "009"):
        Image.new("RGB", (8, 8), "red").save(root / f"{name}.png")
    return root


@pytest.mark.parametrize("folder", ["", "photos/"])
def test_column_of_paths_is_found_from_the_folder_or_above_it(photos: Path, folder: str) -> None:
    names = [f"{folder}00{n}.png" for n in (7, 8, 9)]
    table = TABLE.assign(scan=[*names, None], other=["a.png", "b.png", "c.png", "d.png"])
    found = suggest_pairing(table, photos)
    assert (found.image_column, found.key_column, found.n_found) == (["scan"], None, 3)
    data = load_paired(table, found.image_root, image_column=found.image_column)
    assert [Path(path).parent for path in data.data["scan"][:3]] == [photos] * 3


def test_all_columns_that_name_photos_are_taken(photos: Path) -> None:
    table = TABLE.assign(front=["007.png"] * 4, side=[None, "008.png", None, None])
    found = suggest_pairing(table, photos)
    assert (found.image_column, found.n_found) == (["front", "side"], 4)


def test_column_of_keys_keeps_its_zeros_in_a_file(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    TABLE.assign(id=["007", "008", "009", "010"]).to_csv(path, sep="\t", index=False)
    found = suggest_pairing(path, photos)
    assert (found.image_column, found.key_column, found.n_found) == (None, "id", 3)


def test_small_numbers_that_repeat_are_no_keys(photos: Path) -> None:
    for number in range(1, 4):
        Image.new("RGB", (8, 8)).save(photos / f"{number}.png")
    with pytest.raises(ValueError, match=r"No column .* holds 6, such as '007.png'.*'rooms'"):
        suggest_pairing(TABLE.assign(rooms=[1, 2, 1, 2]), photos)


def test_two_columns_of_the_same_names_have_to_be_chosen_from(photos: Path) -> None:
    keys = ["007", "008", "009", None]
    with pytest.raises(ValueError, match=r"'id', 'number' name the photos .* key_column="):
        suggest_pairing(TABLE.assign(id=keys, number=keys), photos)


def test_names_without_a_file_show_an_example_of_each(photos: Path) -> None:
    table = TABLE.assign(scan=["a/1.png", "a/2.png", "a/3.png", "a/4.png"])
    with pytest.raises(ValueError, match=r"'007.png'.*Column 'scan' .* such as 'a/1.png'"):
        suggest_pairing(table, photos)


def test_folder_without_photos_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no photo at all below"):
        suggest_pairing(TABLE, tmp_path)
