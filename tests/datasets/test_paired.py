"""load_paired: rows and photos that fit together, and every way in which they do not."""

from __future__ import annotations

import os
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tabimg import MTCMTMClassifier, MultiModalPretrainer
from tabimg.datasets import load_paired
from tabimg.table import TableCodec

TABLE = pd.DataFrame(
    {
        "id": ["007", "8", "012", "9"],
        "age": [31.0, np.nan, 54.0, 61.0],
        "site": ["arm", "leg", None, "arm"],
        "patient": ["p1", "p2", "p1", None],
        "photo": ["007.png", "sub/8.JPG", "012.png", np.nan],
        "label": ["a", "b", "a", "b"],
    }
)


@pytest.fixture
def photos(tmp_path) -> Path:
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    for name in ("007.png", "sub/8.JPG", "012.png"):
        Image.new("RGB", (8, 8), "red").save(root / name)
    return root


@pytest.fixture
def csv(tmp_path) -> Path:
    TABLE.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def load(table, root, **parameters):
    return load_paired(table, root, **{"target": "label", "image_column": "photo", **parameters})


def test_paths_pair_rows_with_photos(csv, photos):
    data = load(csv, photos, group_column="patient")
    expected = [
        str(photos / "007.png"),
        str(photos / "sub" / "8.JPG"),
        str(photos / "012.png"),
        None,
    ]
    assert data.data["photo"].tolist() == expected
    assert list(data.frame.columns) == ["id", "age", "site", "patient", "photo", "label"]
    assert list(data.data.columns) == ["id", "age", "site", "patient", "photo"]
    assert data.feature_names == ["id", "age", "site"]
    assert data.target.tolist() == TABLE["label"].tolist()
    assert (data.image_column, data.group_column) == ("photo", "patient")
    assert data.image_dir == str(photos)
    assert data.row_keys is None
    assert data.unused_photos == []
    assert data.missing_photos.empty
    assert list(data.missing_photos.columns) == ["row", "column", "photo"]
    pd.testing.assert_series_equal(data.data["age"], TABLE["age"])


@pytest.mark.parametrize(
    "name", ["t.tsv", "t.tsv.gz", "t.csv.bz2", "t.arrow", "t.feather", "s.arrow"]
)
def test_table_is_read_from_each_kind_of_file(tmp_path, photos, csv, name):
    path = tmp_path / name
    if ".arrow" in name or ".feather" in name:
        pa = pytest.importorskip("pyarrow")
        table = pa.Table.from_pandas(TABLE)
        make = pa.ipc.new_stream if name == "s.arrow" else pa.ipc.new_file
        with make(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    found, expected = load(path, photos), load(csv, photos)
    assert found.data["photo"].tolist() == expected.data["photo"].tolist()
    assert found.target.tolist() == expected.target.tolist()
    assert list(found.data.columns) == list(expected.data.columns)


def test_groups_are_equal_within_a_group_and_rows_without_one_are_alone(photos):
    table = TABLE.assign(patient=["p1", None, "p1", None])
    groups = load(table, photos, group_column="patient").groups
    assert groups.dtype == np.int64
    assert groups[0] == groups[2]
    assert len(set(groups)) == 3


def test_keys_pair_rows_with_photos_by_name_anywhere_below_the_folder(csv, photos):
    table = pd.read_csv(csv, dtype=str).drop(columns="photo")[:3]
    table.to_csv(csv, index=False)
    data = load(csv, photos, image_column=None, key_column="id")
    # "007" of the file is not read as the number 7.
    assert data.row_keys.tolist() == ["007", "8", "012"]
    expected = [str(photos / "007.png"), str(photos / "sub" / "8.JPG"), str(photos / "012.png")]
    assert data.data["photo"].tolist() == expected
    assert list(data.frame.columns) == ["age", "site", "patient", "photo", "label"]
    assert data.feature_names == ["age", "site", "patient"]
    assert data.image_column == "photo"


@pytest.mark.parametrize("keys", [[7, 8], [7.0, 8.0], np.array([7, 8]), pd.array([7, 8], "Int64")])
def test_numeric_keys_of_a_frame_are_whole_numbers(tmp_path, keys):
    for name in ("7.png", "8.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    table = pd.DataFrame({"id": keys, "x": [0, 1]})
    data = load_paired(table, tmp_path, key_column="id")
    assert [Path(path).name for path in data.data["photo"]] == ["7.png", "8.png"]
    assert data.target is None
    assert list(data.frame.columns) == ["x", "photo"]


def test_empty_key_is_no_photo_and_not_missing(photos):
    table = TABLE.drop(columns="photo").assign(id=["007", None, "012", " "])
    data = load(table, photos, image_column=None, key_column="id", on_unused="ignore")
    assert data.data["photo"].isna().tolist() == [False, True, False, True]
    assert data.missing_photos.empty


def test_one_photo_may_belong_to_several_rows(photos):
    table = TABLE.assign(photo="007.png")
    data = load(table, photos, on_unused="ignore")
    assert data.data["photo"].nunique() == 1
    assert data.unused_photos == ["012.png", "sub/8.JPG"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".dcm", ".TIFF"])
def test_keys_match_photos_that_pillow_does_not_know(tmp_path, suffix):
    (tmp_path / f"scan.1{suffix}").write_bytes(b"no image")
    data = load_paired(pd.DataFrame({"id": ["scan.1"], "x": [0]}), tmp_path, key_column="id")
    assert data.data["photo"].tolist() == [str(tmp_path / f"scan.1{suffix}")]


def test_key_of_several_photos_raises_and_names_them(photos):
    Image.new("L", (8, 8)).save(photos / "sub" / "012.bmp")
    table = TABLE.drop(columns="photo")[:3]
    with pytest.raises(ValueError, match=r"row 2: its key is the name of 2 photos.*012\.png"):
        load(table, photos, image_column=None, key_column="id")


def test_missing_photo_raises_and_names_row_column_and_cell(csv, photos):
    (photos / "012.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 rows.*row 2, column 'photo': '012\.png'"):
        load(csv, photos)


def test_missing_key_raises_and_names_row_column_and_key(csv, photos):
    table = TABLE.drop(columns="photo")
    with pytest.raises(FileNotFoundError, match=r"1 of 4 rows.*row 3, column 'id': '9'"):
        load(table, photos, image_column=None, key_column="id")


def test_rows_with_missing_photos_are_dropped_on_demand_and_listed(csv, photos):
    (photos / "007.png").unlink()
    data = load(csv, photos, on_missing="drop", group_column="patient")
    # The index keeps the position in the file; the row without a photo is no error.
    assert data.frame.index.tolist() == [1, 2, 3]
    assert len(data.groups) == len(data.target) == 3
    assert data.missing_photos.to_dict("records") == [
        {"row": 0, "column": "photo", "photo": "007.png"}
    ]


def test_rows_with_missing_photos_stay_without_them_on_demand(csv, photos):
    (photos / "007.png").unlink()
    data = load(csv, photos, on_missing="empty")
    assert data.data["photo"].isna().tolist() == [True, False, False, True]
    assert data.missing_photos["row"].tolist() == [0]


def test_drop_counts_rows_by_position_whatever_the_index(photos):
    table = TABLE.set_axis([5, 5, 1, 0])
    (photos / "sub" / "8.JPG").unlink()
    data = load(table, photos, on_missing="drop")
    assert data.frame["id"].tolist() == ["007", "012", "9"]


def test_several_image_columns_are_paired_and_kept_apart(photos):
    table = TABLE[:3].assign(detail=["012.png", None, "gone.png"])
    with pytest.raises(FileNotFoundError, match=r"row 2, column 'detail': 'gone\.png'"):
        load(table, photos, image_column=["photo", "detail"])
    data = load(table, photos, image_column=["photo", "detail"], on_missing="empty")
    assert data.image_column == ["photo", "detail"]
    assert data.data["detail"].tolist() == [str(photos / "012.png"), None, None]
    assert data.feature_names == ["id", "age", "site", "patient"]
    dropped = load(table, photos, image_column=["photo", "detail"], on_missing="drop")
    assert dropped.frame.index.tolist() == [0, 1]


def test_absolute_path_and_path_outside_the_folder_are_found(photos, tmp_path):
    outside = tmp_path / "outside.png"
    Image.new("L", (8, 8)).save(outside)
    table = pd.DataFrame({"photo": [str(outside), "../outside.png", "./007.png"], "x": [0, 1, 2]})
    data = load_paired(table, photos, image_column="photo", on_unused="ignore")
    assert data.data["photo"].tolist() == [str(outside), str(outside), str(photos / "007.png")]
    assert data.unused_photos == ["012.png", "sub/8.JPG"]


def test_unused_photos_warn_raise_or_are_listed(csv, photos):
    Image.new("L", (8, 8)).save(photos / "sub" / "more.png")
    (photos / "readme.txt").write_text("no photo")
    (photos / "._007.png").write_bytes(b"a Mac's shadow of a file")
    (photos / ".hidden").mkdir()
    Image.new("L", (8, 8)).save(photos / ".hidden" / "thumb.png")
    with pytest.warns(UserWarning, match=r"1 of 4 photos.*sub/more\.png.*on_unused='ignore'"):
        data = load(csv, photos)
    assert data.unused_photos == ["sub/more.png"]
    with pytest.raises(ValueError, match="1 of 4 photos"):
        load(csv, photos, on_unused="raise")


def test_fitting_table_and_folder_warn_of_nothing(csv, photos, recwarn):
    load(csv, photos)
    assert not recwarn.list


def test_table_and_folder_are_read_once_and_photos_not_at_all(csv, photos, monkeypatch):
    for path in photos.rglob("*.*"):
        path.write_bytes(b"not an image")
    read = []
    for place, name in ((pd, "read_csv"), (os, "walk"), (Image, "open")):
        monkeypatch.setattr(place, name, noting(read, getattr(place, name)))
    load(csv, photos)
    assert read == ["read_csv", "walk"]


def noting(calls: list[str], function: Callable) -> Callable:
    def noted(*args, **kwargs):
        calls.append(function.__name__)
        return function(*args, **kwargs)

    return noted


def test_given_frame_is_not_changed(photos):
    table = TABLE.copy()
    load(table, photos)
    load(table.drop(columns="photo")[:3], photos, image_column=None, key_column="id")
    pd.testing.assert_frame_equal(table, TABLE)


@pytest.mark.parametrize("suffix", [".csv.gz", ".CSV", ".parquet", ".pq"])
def test_other_formats_give_the_same_pairs(csv, photos, tmp_path, suffix):
    path = tmp_path / f"other{suffix}"
    if suffix in (".parquet", ".pq"):
        pytest.importorskip("pyarrow")
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False)
    expected = load(TABLE, photos)
    found = load(path, photos)
    assert found.data["photo"].tolist() == expected.data["photo"].tolist()
    pd.testing.assert_frame_equal(found.data[["age"]], expected.data[["age"]])
    assert found.target.tolist() == expected.target.tolist()


@pytest.mark.parametrize(
    "parameters",
    [
        {"group_column": "patient"},
        {"group_column": "room", "target": None},
        {"image_column": None, "key_column": "id", "on_missing": "empty"},
        {"image_column": None, "key_column": "number", "on_missing": "drop", "on_unused": "ignore"},
    ],
    ids=str,
)
def test_frame_of_every_kind_gives_the_same_pairs(parameters, photos, to_frame):
    table = TABLE.assign(number=[7, 8, 12, 9], room=[1.0, None, 1.0, 2.0])
    if "key_column" in parameters:
        table = table.drop(columns="photo")
    found, expected = (load(X, photos, **parameters) for X in (to_frame(table), table))
    for name in ("feature_names", "image_column", "unused_photos"):
        assert found[name] == expected[name]
    column = expected.image_column
    assert found.data[column].tolist() == expected.data[column].tolist()
    assert found.missing_photos["row"].tolist() == expected.missing_photos["row"].tolist()
    np.testing.assert_array_equal(found.groups, expected.groups)
    encoded = [TableCodec().fit(each.data).encode(each.data) for each in (found, expected)]
    np.testing.assert_equal(encoded[0].arrays(), encoded[1].arrays())


def test_pyarrow_table_gives_the_same_pairs(photos):
    pyarrow = pytest.importorskip("pyarrow")
    found = load(pyarrow.Table.from_pandas(TABLE), photos)
    assert found.data["photo"].tolist() == load(TABLE, photos).data["photo"].tolist()


def test_parquet_without_pyarrow_raises_and_says_what_to_install(photos, tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        load(path, photos)


@pytest.mark.parametrize("table", ["table.xlsx", 3, [[1, 2]], TABLE.to_dict()])
def test_what_is_no_table_raises(photos, table):
    with pytest.raises((TypeError, ValueError), match=r"^table"):
        load(table, photos)


def test_missing_files_and_folders_raise(csv, photos, tmp_path):
    with pytest.raises(FileNotFoundError, match="table: there is no file"):
        load(tmp_path / "none.csv", photos)
    with pytest.raises(FileNotFoundError, match="image_root: there is no folder"):
        load(csv, tmp_path / "none")
    with pytest.raises(NotADirectoryError, match="image_root must be a folder"):
        load(csv, csv)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_column": "foto"}, r"no column 'foto'\. Did you mean 'photo'\?"),
        ({"target": "lable"}, r"no column 'lable'\. Did you mean 'label'\?"),
        ({"group_column": "visit"}, "no column 'visit'"),
        ({"group_column": "label"}, "'label' is declared for two roles"),
        ({"image_column": None}, "Give either image_column= or key_column="),
        ({"key_column": "id"}, "Give either image_column= or key_column="),
        ({"image_column": None, "key_column": "id"}, "makes a column 'photo'"),
        ({"target": None, "return_X_y": True}, "return_X_y needs a target="),
        ({"on_missing": "skip"}, "on_missing must be one of 'raise', 'drop', 'empty'"),
        ({"on_unused": None}, "on_unused must be one of 'warn', 'raise', 'ignore'"),
    ],
)
def test_wrong_parameter_is_refused_by_name(csv, photos, parameters, message):
    with pytest.raises(ValueError, match=message):
        load(csv, photos, **parameters)


def test_cell_that_is_no_path_raises_and_names_row_and_key_column(photos):
    table = TABLE.assign(photo=["007.png", 8, None, None])
    with pytest.raises(TypeError, match=r"row 1: a photo is named by its path.*key_column="):
        load(table, photos)


def test_two_level_headers_make_a_photo_column_that_is_there(photos):
    frame = pd.DataFrame(
        {("t", "id"): ["007", "8", "012"], ("t", "age"): [1, 2, 3], ("u", "y"): [0, 1, 0]}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_paired(frame, photos, target=("u", "y"), key_column=("t", "id"))
    assert data.image_column == ("photo", "")
    assert list(data.data.columns) == [("t", "age"), ("photo", "")]
    assert list(data.frame.columns) == [("t", "age"), ("photo", ""), ("u", "y")]
    assert [Path(path).name for path in data.data[data.image_column]] == [
        "007.png", "8.JPG", "012.png",
    ]  # fmt: skip
    assert data.target.tolist() == [0, 1, 0]
    assert data.row_keys.tolist() == ["007", "8", "012"]


def test_two_level_headers_take_photo_columns_and_name_the_full_label(photos):
    frame = TABLE[:3].copy()
    frame.columns = pd.MultiIndex.from_product([["t"], frame.columns])
    data = load_paired(frame, photos, target=("t", "label"), image_column=("t", "photo"))
    assert data.data[("t", "photo")].notna().all()
    with pytest.raises(ValueError, match=r"no column 'photo'\. Did you mean \('t', 'photo'\)\?"):
        load_paired(frame, photos, image_column="photo")


@pytest.mark.parametrize("on_missing", ["drop", "empty"])
def test_photos_that_are_all_missing_are_an_error_under_every_policy(photos, on_missing):
    table = TABLE.assign(photo=["a.png", "b.png", "c.png", "d.png"])
    with pytest.raises(ValueError, match=r"No row has a photo: 4 of 4 rows name photos that are"):
        load(table, photos, on_missing=on_missing)


@pytest.mark.parametrize("on_missing", ["raise", "drop", "empty"])
def test_no_photo_named_at_all_is_an_error(photos, on_missing):
    with pytest.raises(ValueError, match="No row has a photo: every cell of 'photo' is empty"):
        load(TABLE.assign(photo=[None, "", " ", np.nan]), photos, on_missing=on_missing)


def test_drop_that_leaves_no_row_is_an_error(photos):
    table = TABLE[:2].assign(side=["x.png", "y.png"])
    with pytest.raises(ValueError, match="on_missing='drop' leaves no row: 2 of 2 rows"):
        load(table, photos, image_column=["photo", "side"], on_missing="drop")


def test_folder_without_photos_is_called_that(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="There is no photo at all below"):
        load(TABLE, tmp_path / "empty")


@pytest.mark.parametrize(
    ("cell", "near"),
    [
        ("007.PNG", "007.png"),
        ("007.jpg", "007.png"),
        ("8.jpg", "sub/8.JPG"),
        ("Sub/8.jpg", "sub/8.JPG"),
        ("12.png", "012.png"),
        (" 012.png", "012.png"),
        ("cafe\u0301.png", "caf\u00e9.png"),
    ],
)
def test_missing_photo_shows_the_near_one(photos, cell, near):
    Image.new("L", (8, 8)).save(photos / unicodedata.normalize("NFC", "caf\u00e9.png"))
    with pytest.raises(FileNotFoundError) as caught:
        load(TABLE.assign(photo=[cell, "007.png", None, None]), photos)
    assert f"(there is {near!r})" in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "root", "message"),
    [
        ("photos/007.png", "photos", r"1 of the first 1 .* without the folder 'photos'.*already"),
        ("old/007.png", "photos", "1 of the first 1 are found without the folder 'old'"),
        ("sub/8.JPG", "photos/sub", r"which image_root ends in already: image_root='.*photos'"),
        ("8.JPG", "photos", r"are found from another folder: image_root='.*sub'"),
        ("https://a.b/1.jpg", "photos", "Web addresses are not files"),
    ],
)
def test_paths_from_another_folder_say_from_which(photos, cells, root, message):
    with pytest.raises(FileNotFoundError, match=message):
        load(TABLE.assign(photo=[cells, None, None, None]), photos.parent / root)


def test_keys_with_suffix_are_told_to_be_paths(photos):
    table = TABLE.drop(columns="photo").assign(id=["007.png", "8", "012.png", None])
    with pytest.raises(FileNotFoundError, match=r"with their suffix: give image_column="):
        load(table, photos, image_column=None, key_column="id")


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_messages_about_cells_and_columns_stay_short(photos, size):
    table = TABLE.assign(photo=["x" * size + ".png", "y" * size, "007.png", None])
    with pytest.raises(FileNotFoundError) as missing:
        load(table, photos)
    with pytest.raises(TypeError) as no_path:
        load(TABLE.assign(photo=[b"x" * size, None, None, None]), photos)
    many = pd.DataFrame({f"column {number}": [1] for number in range(max(size // 100, 1))})
    with pytest.raises(ValueError) as no_column:
        load(many.assign(photo="007.png"), photos, target="z" * size)
    assert max(len(str(caught.value)) for caught in (missing, no_path, no_column)) < 1500


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (".", ValueError, r"is a folder\. Give the file, such as '.*\.csv'"),
        ("photos", ValueError, "is a folder. Give the table's file"),
        ("Table.CSV", FileNotFoundError, r"Did you mean 'table\.csv'"),
        ("tabel.csv", FileNotFoundError, r"Did you mean 'table\.csv'"),
        ("none/table.csv", FileNotFoundError, "The folder '.*none' does not exist"),
        ("table.xlsx", ValueError, "pandas.read_excel"),
        ("table.json", ValueError, "pandas.read_json"),
        ("table.txt", ValueError, r"pandas.read_csv\(path, sep="),
        ("https://host/table.csv", FileNotFoundError, "is an address"),
        ("empty.csv", ValueError, "is empty"),
        ("header.csv", ValueError, "The table is empty: it has 0 rows and 2 columns"),
        ("binary.csv", ValueError, "cannot be read"),
        ("semicolon.csv", ValueError, r"seem to be separated by ';'.*sep=';'"),
    ],
)
def test_what_cannot_be_read_as_a_table_says_what_it_is(
    csv, photos, tmp_path, table, error, message
):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "header.csv").write_text("photo,label\n")
    (tmp_path / "binary.csv").write_bytes(b"PK\x03\x04\xff\xfe\x80" * 20)
    (tmp_path / "semicolon.csv").write_text("photo;label\n007.png;a\n")
    with pytest.raises(error, match=message):
        load(table if "://" in table else tmp_path / table, photos)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("Photos", r"no folder '.*'\. Did you mean 'photos'\?"),
        ("photo", r"there is no folder '.*photo'\. Did you mean 'photos'\?"),
        ("photos/photos", "A part occurs in it twice: did you mean '.*photos'"),
        ("none/photos", "The folder '.*none' does not exist"),
        ("s3://bucket/photos", "is an address"),
    ],
)
def test_missing_folder_shows_what_was_meant(csv, photos, tmp_path, root, message):
    with pytest.raises(FileNotFoundError, match=message):
        load(csv, root if "://" in root else tmp_path / root)


def test_image_root_that_is_no_path_is_an_error(csv):
    with pytest.raises(TypeError, match="image_root must be the path of a folder, got None"):
        load(csv, None)


@pytest.mark.parametrize("target", ["Label", "LABEL ", "labels"])
def test_missing_target_shows_the_near_column(csv, photos, target):
    with pytest.raises(ValueError, match=r"no column .*\. Did you mean 'label'\?"):
        load(csv, photos, target=target)


def test_photo_columns_may_be_an_index_and_a_tuple_is_told_to_be_one_label(photos):
    table = TABLE[:3].assign(side=TABLE["photo"])
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for make in (pd.Index, pl.Series, pa.array):
        paired = load(table, photos, image_column=make(["photo", "side"]))
        assert paired.feature_names == ["id", "age", "site", "patient"]
    with pytest.raises(ValueError, match=r"several columns are a list, \['photo', 'side'\]"):
        load(table, photos, image_column=("photo", "side"))


def test_photo_columns_without_a_role_are_named_beside_unused_photos(photos):
    table = TABLE[:3].assign(photo="007.png", side=["sub/8.JPG", "012.png", None], note="a.b")
    with pytest.warns(UserWarning, match=r"2 of 3 photos .* The columns 'side' look like photos"):
        load(table, photos)
    with pytest.raises(ValueError, match="'side' look like photos"):
        load(table, photos, on_unused="raise")


def test_table_without_rows_or_with_a_column_twice_raises(photos):
    with pytest.raises(ValueError, match="The table is empty"):
        load(TABLE[:0], photos)
    twice = pd.concat([TABLE, TABLE[["photo"]]], axis=1)
    with pytest.raises(ValueError, match="2 columns 'photo'"):
        load(twice, photos)


def test_return_x_y_gives_data_and_target(csv, photos):
    data, target = load(csv, photos, return_X_y=True)
    expected = load(csv, photos)
    pd.testing.assert_frame_equal(data, expected.data)
    pd.testing.assert_series_equal(target, expected.target)


def test_real_set_is_paired_and_learnt_from(real_data):
    folder = real_data("leaf_species")
    leaves = load_paired(
        folder / "table.csv", folder, target="species", image_column="image", on_unused="ignore"
    )
    assert leaves.missing_photos.empty
    assert leaves.data["image"].notna().all()
    few = leaves.target < "B"
    pretrainer = MultiModalPretrainer(
        image_column=leaves.image_column, image_size=32, embedding_dim=16, max_epochs=1
    )
    classifier = MTCMTMClassifier(pretrainer, finetune="frozen", random_state=0)
    classifier.fit(leaves.data[few], leaves.target[few])
    assert set(classifier.classes_) == set(leaves.target[few])


@pytest.mark.parametrize("options", [{"image_column": "photo"}, {"key_column": "photo"}])
def test_name_that_stands_below_the_header_tells_of_two_header_lines(tmp_path, photos, options):
    path = tmp_path / "two.csv"
    path.write_text("x,x,y\nid,age,photo\n1,2,007.png\n")
    with pytest.raises(ValueError, match=r"'photo' is in the first row.*two header lines") as e:
        load_paired(path, photos, **options)
    assert "pandas.read_csv(path, header=[0, 1])" in str(e.value) and "skiprows=1" in str(e.value)
    frame = pd.read_csv(path, header=[0, 1])
    assert (
        len(load_paired(frame, photos, image_column=("y", "photo"), on_unused="ignore").data) == 1
    )
