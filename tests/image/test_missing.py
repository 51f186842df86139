"""Missing files are found before the first photo is opened, and the message says what is wrong."""

from __future__ import annotations

import base64
import datetime as dt
import io
import os
import pickle
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tabimg.image import ImageReadError, RowImages, build_image_cache, path_hints, read_image
from tabimg.image.missing import MissingImagesError, look_for_files
from tabimg.image.row_names import RowNames

BACKSLASHES = pytest.mark.skipif(os.sep == "\\", reason="there backslashes divide folders")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``photos/0.jpg`` to ``photos/4.jpg``, and a few names of other kinds."""
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ["0042.png", "img_7.jpg", unicodedata.normalize("NFD", "caf\u00e9.jpg")]
    for name in [*(f"{number}.jpg" for number in range(5)), *names]:
        Image.new("RGB", (4, 4)).save(photos / name)
    return photos


def of(cells: Sequence[object], root: Path | str | None) -> RowImages:
    return RowImages.from_cells([cells], root, RowNames.of(len(cells), "X"))


def message(cells: Sequence[object], root: Path | str | None) -> str:
    with pytest.raises(MissingImagesError) as caught:
        look_for_files(of(cells, root), "raise")
    assert len(str(caught.value)) < 2000
    return str(caught.value)


def test_all_missing_files_are_counted_and_the_first_named_before_one_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(Image, "open", opened.append)
    cells = ["0.jpg", "a.gif", "1.jpg", "b.gif", None, "c.gif", "d.gif"]
    with pytest.raises(ImageReadError) as caught:
        build_image_cache(of(cells, folder), 8)
    text = str(caught.value)
    assert text.startswith("4 of 6 photos are missing: row 1 of X: ")
    assert "row 3 of X" in text and "row 5 of X" in text and "and 1 more" in text
    assert str(folder / "a.gif") in text and "d.gif" not in text
    assert "on_bad_image='warn'" in text
    assert opened == []
    assert caught.value.rows == (1,)


def test_missing_files_are_an_os_error_too_and_travel_between_processes(folder: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        look_for_files(of(["0.jpg", "a.gif"], folder), "raise")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is MissingImagesError and str(copy) == str(caught.value)


@pytest.mark.parametrize("on_bad_image", ["warn", "skip"])
def test_some_missing_files_are_given_back_where_they_are_let_pass(
    folder: Path, on_bad_image: str
) -> None:
    missing = look_for_files(of(["0.jpg", "a.gif", "a.gif"], folder), on_bad_image)
    assert list(missing) == [1]
    assert missing[1].where == "rows 1, 2 of X"


@pytest.mark.parametrize("on_bad_image", ["raise", "warn", "skip"])
def test_every_file_missing_raises_under_each_policy(folder: Path, on_bad_image: str) -> None:
    with pytest.raises(MissingImagesError, match="2 of 2 photos are missing"):
        look_for_files(of(["a.gif", "b.gif"], folder), on_bad_image)


def test_what_a_loader_opens_is_not_looked_for(folder: Path) -> None:
    seen = []

    def load(path: str) -> np.ndarray:
        seen.append(path)
        return np.zeros((4, 4), dtype=np.uint8)

    cells = ["series 7", "https://x.org/a.jpg?w=200", "s3://bucket//b.jpg"]
    cache, images = build_image_cache(of(cells, folder), 8, loader=load)
    assert seen == [str(folder / "series 7"), *cells[1:]]
    assert images.has_image.all() and cache.readable.all()


def test_addresses_start_at_an_address_too() -> None:
    assert of(["a.jpg"], "s3://bucket/photos/").sources == ["s3://bucket/photos/a.jpg"]


# --- what is probably wrong ----------------------------------------------------------------------


def test_missing_image_root_is_called_that(tmp_path: Path) -> None:
    text = message(["1.jpg", "2.jpg"], tmp_path / "nope")
    assert f"The folder {str(tmp_path / 'nope')!r} does not exist" in text
    assert "image_root" in text


def test_image_root_in_another_case_is_shown(folder: Path) -> None:
    if (folder.parent / "Photos").exists():
        pytest.skip("this file system does not tell cases apart")
    assert "(there is 'photos')" in message(["1.jpg"], folder.parent / "Photos")


def test_image_root_below_a_folder_in_another_case_is_shown(folder: Path) -> None:
    (folder / "cars").mkdir()
    root = folder.parent / "Photos" / "cars"
    if root.exists():
        pytest.skip("this file system does not tell cases apart")
    text = message(["1.jpg"], root)
    assert f"The folder {str(root.parent)!r} does not exist (there is 'photos')" in text
    assert f"image_root is {str(root)!r}" in text


def test_image_root_that_is_a_file_is_called_that(folder: Path) -> None:
    assert "image_root has to be a folder" in message(["1.jpg"], folder / "0.jpg")


@pytest.mark.parametrize(
    ("root", "cell", "right"),
    [
        ("photos", "photos/{}.jpg", "."),
        (".", "{}.jpg", "photos"),
        ("nope", "photos/{}.jpg", "."),
        ("nope", "../photos/../{}.jpg", None),
    ],
)
def test_root_that_the_paths_do_start_from_is_named(
    folder: Path, root: str, cell: str, right: str | None
) -> None:
    text = message([cell.format(number) for number in range(5)], folder.parent / root)
    assert text.startswith("5 of 5 photos are missing")
    if right is not None:
        found = str((folder.parent / right).resolve())
        assert f"5 of 5 are found under {found!r}: image_root={found!r}" in text


def test_leading_folder_that_is_too_much_is_named(folder: Path) -> None:
    text = message([f"images/{number}.jpg" for number in range(5)], folder)
    assert "5 of 5 are found" in text and "drop the leading 'images/'" in text


def test_folder_of_absolute_paths_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "old" / "place"
    text = message([str(gone / "1.jpg")], None)
    assert f"The folder {str(tmp_path / 'old')!r} does not exist" in text


@pytest.mark.parametrize(
    ("cell", "near"),
    [
        ("0.JPG", "(there is '0.jpg')"),
        ("0.jpeg", "(there is '0.jpg')"),
        ("0.png", "(there is '0.jpg')"),
        ("0.jpg ", "(there is '0.jpg')"),
        ("42.png", "(there is '0042.png')"),
        ("IMG_7.jpg", "(there is 'img_7.jpg')"),
        ("img-7.jpg", "(there is 'img_7.jpg')"),
        ("caf\u00e9.jpg", "in another Unicode form)"),
    ],
)
def test_name_that_is_nearly_there_is_shown(folder: Path, cell: str, near: str) -> None:
    if (folder / cell).exists():
        pytest.skip("this file system does not tell these names apart")
    assert near in message([cell, "1.jpg"], folder)


def test_numbered_file_is_no_near_name_of_another_number(folder: Path) -> None:
    assert "there is" not in message(["37.jpg", "1.jpg"], folder)


PIXELS = np.random.default_rng(0).bytes(60_000)
ENCODED = base64.b64encode(PIXELS).decode()
JPEG = b"\xff\xd8\xff\xe0" + PIXELS
LISTED = r"list in the cell, such as \['0\.jpg', '1\.jpg'\]"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("https://x.org/1.jpg?w=200", "URLs.* download them, or give image_loader="),
        ("s3://bucket/1.jpg", "URLs.* download them, or give image_loader="),
        ("gs://bucket/1.jpg", "URLs.* download them, or give image_loader="),
        ("ftp://host/1.jpg", "URLs.* download them, or give image_loader="),
        ("file:///home/1.jpg", "leave 'file://' out"),
        ("data:image/png;base64," + ENCODED, r"data URI.*base64\.b64decode"),
        ("iVBORw0KGgo" + ENCODED, r"base64 text.*base64\.b64decode"),
        ("/9j/" + ENCODED, r"base64 text.*base64\.b64decode"),
        (ENCODED, r"base64 text.*base64\.b64decode"),
        ("0.jpg;1.jpg", LISTED),
        ("0.jpg|1.jpg", LISTED),
        ("0.jpg, 1.jpg", LISTED),
        ("['0.jpg', '1.jpg']", LISTED),
        ("0.jpg\t1.jpg", LISTED),
        ("0.jpg 1.jpg", LISTED),
        ("0.jpg;1.jpg;", LISTED),
        (str(np.array(["0.jpg", "1.jpg"])), LISTED),
        ("[PosixPath('0.jpg'), PosixPath('1.jpg')]", LISTED),
        ("DATA:image/png;base64," + ENCODED, r"data URI.*base64\.b64decode"),
        ("FILE:///home/1.jpg", "leave 'file://' out"),
        (base64.encodebytes(JPEG).decode(), r"base64 text.* base64\.b64decode\(cell\)"),
        (
            "_9j_" + ENCODED.replace("+", "-").replace("/", "_"),
            r"base64\.urlsafe_b64decode\(cell\)",
        ),
        (JPEG.hex(), r"hexadecimal text.*bytes\.fromhex\(cell\)"),
        ("\\x" + JPEG[:40].hex(), r"hexadecimal text.*bytes\.fromhex\(cell\[2:\]\)"),
        (str(JPEG), r"what str\(\) makes of bytes.*ast\.literal_eval"),
        ("red paint and a broken mirror " * 50, "holds text, not a path"),
        ("red paint; a broken mirror, " * 50, "holds text, not a path"),
        ("a b/c " * 2_000, "holds text, not a path"),
        ("N/A", r"'N/A' is read as a path: a cell without a photo is empty \(None\)"),
        ("null", r"'null' is read as a path: a cell without a photo is empty \(None\)"),
        ("0042", r"\(there is '0042\.png'\).*key_column="),
        ("../photos", "is a folder, not a file.*image_loader="),
    ],
)
def test_cell_that_is_no_path_is_shown_with_the_remedy(folder: Path, cell: str, words: str) -> None:
    text = message([cell], folder)
    assert re.search(words, text), text
    assert repr(cell[:12])[1:-1] in text or "../" in cell


def test_name_with_blanks_is_no_list(folder: Path) -> None:
    assert "Several paths" not in message(["my photo.v2 of a.car.jpg", "photo 1.jpg"], folder)


def test_hints_for_long_cells_take_no_work_that_grows_with_their_square(folder: Path) -> None:
    cells = [
        *(
            "a /" * 300_000,
            "word and more. " * 70_000,
            "a;" + " " * 1_000_000 + "x",
            ";" * 1_000_000,
        ),
        *("a" * 1_000_000 + "!", "a " * 1_000 + " " * 1_000_000 + "!", "['" * 500_000),
    ]
    for cell in cells:
        assert "holds text, not a path" in message([cell] * 3, folder)


def test_long_cell_is_compared_with_no_name_of_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    monkeypatch.setattr(path_hints, "_list_folder", lambda each: listed.append(each) or [])
    message(["1.gif", "x y" * 100_000], folder)
    assert listed == [str(folder)]


@BACKSLASHES
def test_paths_with_backslashes_are_told(folder: Path) -> None:
    text = message(["photos\\0.jpg"], folder.parent)
    assert "backslashes" in text and "str.replace" in text


def test_number_as_a_cell_is_told_of_load_paired() -> None:
    with pytest.raises(TypeError, match=r"row 1 of X: .*42.*load_paired.*key_column="):
        of(["a.jpg", 42], None)


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        (UUID(int=7), r"A UUID names no file: make it a path .* f'\{cell\}\.jpg'"),
        (pd.Timestamp("2020-01-02"), "A date names no file: make it a path"),
        (dt.date(2020, 1, 2), "A date names no file: make it a path"),
        (np.datetime64("2020-01-02"), "A date names no file: make it a path"),
        (True, "A number names no file"),
        ({"a.jpg"}, r"A set has no order: make it a list, sorted\(cell\)"),
        (io.BytesIO(b"photo"), r"Extract its bytes: cell\.getvalue\(\)"),
        (io.BufferedReader(io.BytesIO(b"photo")), r"Give the path of the file, or its bytes"),
        (np.zeros((4, 4, 3)), r"Wrap decoded pixels with PIL\.Image\.fromarray"),
        (object(), "Give the path of the photo, the bytes of its file, or a PIL image"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_object_that_is_no_image_cell_is_told_what_to_become(cell: object, remedy: str) -> None:
    with pytest.raises(TypeError, match=f"row 1 of X: .*{remedy}"):
        of(["a.jpg", cell], None)


def test_pure_paths_are_paths(folder: Path) -> None:
    images = of([PurePosixPath("0.jpg"), "0.jpg"], folder)
    assert images.sources == [str(folder / "0.jpg")]
    assert images.given == ["0.jpg"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (base64.b64encode(JPEG), r"it is base64 text: decode it, base64\.b64decode\(cell\)"),
        (JPEG.hex().encode(), r"it is hexadecimal text: .* bytes\.fromhex\(cell\.decode\(\)\)"),
        (b"data:image/png;base64,iVBORw0KGgo", r"it is a data URI: decode it"),
        (b"P1\n" + b"1\n0\n" * 1_000, "damaged or truncated|known format"),
        (b"no photo", "not an image of a known format"),
        (JPEG, "damaged or truncated|known format"),
    ],
)
def test_bytes_that_hold_an_encoded_photo_are_called_that(data: bytes, words: str) -> None:
    with pytest.raises(ImageReadError, match=words):
        read_image(data, 8)
