"""load_dvm on a small replica in the layout of the official files, against plain loops over it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import train_test_split

from tabimg import MTCMTMClassifier, MultiModalPretrainer
from tabimg.datasets import load_dvm, make_cars
from tabimg.datasets.dvm_splits import draw_tenth, split_rows

# The headers of version 2, blanks included.
AD = [
    "Maker", " Genmodel", " Genmodel_ID", "Adv_ID", "Adv_year", "Adv_month", "Color", "Reg_year",
    "Bodytype", "Runned_Miles", "Engin_size", "Gearbox", "Fuel_type", "Price", "Seat_num",
    "Door_num",
]  # fmt: skip
EXTRA = [
    *AD[:14], "Engine_power", "Annual_Tax", "Wheelbase", "Height", "Width", "Length",
    "Average_mpg", "Top_speed", *AD[14:],
]  # fmt: skip
PRICE = ["Maker", " Genmodel", " Genmodel_ID", " Year", " Entry_price"]
IMAGE = ["Genmodel_ID", " Image_ID", " Image_name", " Predicted_viewpoint", " Quality_check"]
# Not needed by the loader, but there.
OTHERS = {
    "Basic_table.csv": ["Automaker", "Automaker_ID", "Genmodel", "Genmodel_ID"],
    "Sales_table.csv": ["Maker", "Genmodel ", "Genmodel_ID ", "2020", "2019"],
    "Trim_table.csv": ["Genmodel_ID", "Maker", "Genmodel", "Trim", "Year", "Price"],
}
SIZES = ["Wheelbase", "Height", "Width", "Length"]
# Genmodel_ID: maker, model, number of adverts, sizes. The order of the table is not the sorted one.
MODELS = {
    "29_14": ("Ford", "Focus", 30, (2648, 1484, 1823, 4358)),
    "69_36": ("Peugeot", "RCZ", 14, (np.nan, 1359, 1845, 4290)),
    "10_1": ("Bentley", "Arnage", 16, (3116, 1515, 2125, 5390)),
    "43_9": ("Kia", "Rio", 13, (4065, 1455, 1720, 4050)),
    "96_2": ("Volvo", "740", 5, (2770, 1430, 1760, 4785)),
}


class Replica:
    """The tables as frames, to be changed by a test before they are written."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        adverts, images, prices = [], [], []
        for model, (maker, name, n_adverts, sizes) in MODELS.items():
            prices += [(maker, name, model, year, 9000 + year) for year in range(2005, 2016)]
            for i in range(1, n_adverts + 1):
                year, color = int(rng.integers(2006, 2015)), str(rng.choice(["Red", "Blue"]))
                miles = str(rng.integers(1, 10**5))
                advert = [maker, name, model, f"{model}$${i}", 2018, 5, color, float(year)]
                advert += ["Saloon", miles, "2.0L", "Manual", "Diesel", "4995", "300", 165]
                adverts.append([*advert, *sizes, "50 mpg", "120 mph", 5.0, 4.0])
                images += [
                    (model, f"{model}$${i}$${k}", image_name(adverts[-1], k), 45 * k, "P")
                    for k in (3, 0)
                ]
        self.extra = pd.DataFrame(adverts, columns=EXTRA)
        self.ads = self.extra[AD].copy()
        self.prices = pd.DataFrame(prices, columns=PRICE)
        self.images = pd.DataFrame(images, columns=IMAGE)

    def set(self, advert: str, column: str, value: object, table: str = "ads") -> None:
        frame = getattr(self, table)
        frame[column] = frame[column].astype(object)
        frame.loc[frame["Adv_ID"] == advert, column] = value

    def write(self, folder: Path, tables: str = "tables_V2.0") -> Path:
        (folder / tables).mkdir(parents=True, exist_ok=True)
        frames = {name: pd.DataFrame(columns=columns) for name, columns in OTHERS.items()}
        frames |= {
            "Ad_table.csv": self.ads,
            "Ad_table (extra).csv": self.extra,
            "Price_table.csv": self.prices,
            "Image_table.csv": self.images,
        }
        for name, frame in frames.items():
            frame.to_csv(folder / tables / name, index=False)
        for name in self.images[" Image_name"]:
            path = photo_of(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), name.split("$$")[3].lower()).save(path)
        return folder


def image_name(advert: list, k: int) -> str:
    maker, name, _, advert_id, _, _, color, year, *_ = advert
    return f"{maker}$${name}$${year:.0f}$${color}$${advert_id}$$image_{k}.jpg"


def photo_of(folder: Path, name: str) -> Path:
    return folder.joinpath("resized_DVM", *name.split("$$")[:4], name)


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A replica without any flaw."""
    return Replica().write(tmp_path_factory.mktemp("dvm"))


def load(folder: Path, **parameters):
    return load_dvm(folder, **{"min_adverts": 10, "size_jitter": 0, **parameters})


def test_frame_has_the_columns_of_make_cars_with_photo_and_model(whole):
    cars = load(whole)
    generated = make_cars(60, 6, image_size=32, random_state=0)
    assert cars.feature_names == generated.feature_names
    assert list(cars.frame.columns) == [*cars.feature_names, "photo", "Genmodel_ID"]
    assert list(cars.data.columns) == [*cars.feature_names, "photo"]
    assert cars.image_column == "photo"
    numeric = cars.data[cars.feature_names[:13]]
    assert (numeric.dtypes == "float64").all()
    assert cars.frame.notna().all(axis=None)
    assert (cars.data["Engine_size"] == 2.0).all()
    assert (cars.data["Entry_price"] == 9000 + cars.data["Reg_year"]).all()


def test_models_with_enough_adverts_stay_in_the_order_of_the_table(whole):
    cars = load(whole)
    assert cars.target.value_counts(sort=False).to_dict() == {
        "29_14": 30, "69_36": 14, "10_1": 16, "43_9": 13
    }  # fmt: skip
    assert cars.target.unique().tolist() == ["29_14", "69_36", "10_1", "43_9"]
    assert cars.target_names == ["10_1", "29_14", "43_9", "69_36"]
    assert cars.model_names["29_14"] == "Ford Focus"
    assert cars.advert_ids.tolist()[:2] == ["29_14$$1", "29_14$$2"]
    assert cars.dropped["model of fewer than 10 adverts"] == 5
    assert sum(cars.dropped.values()) == 5


@pytest.mark.parametrize(("least", "n_models"), [(14, 3), (15, 2), (16, 2), (17, 1)])
def test_min_adverts_is_the_smallest_number_that_stays(whole, least, n_models):
    assert load(whole, min_adverts=least).target.nunique() == n_models


def test_photo_is_the_first_that_the_image_table_lists(whole):
    cars = load(whole)
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in cars.data["photo"])
    assert all(path.endswith("$$image_3.jpg") for path in cars.data["photo"])
    advert = cars.frame.iloc[7]
    year = int(advert["Reg_year"])
    expected = whole / "resized_DVM" / "Ford" / "Focus" / str(year) / advert["Color"]
    assert Path(advert["photo"]).parent == expected


def test_joins_and_missing_cells_leave_out_the_adverts_that_a_plain_loop_leaves_out(
    replica, tmp_path
):
    replica.set("29_14$$1", "Runned_Miles", "unknown")
    replica.set("29_14$$2", "Price", "Uknown")
    replica.set("29_14$$3", "Color", np.nan)
    replica.set("29_14$$3", "Engin_size", np.nan)
    replica.set("29_14$$4", "Reg_year", 1999.0)
    replica.set("29_14$$5", "Reg_year", np.nan)
    is_of = replica.images[" Image_ID"].str.startswith("29_14$$6$$")
    replica.images = replica.images[~is_of]
    replica.set("29_14$$7", " Genmodel", np.nan)
    cars = load(replica.write(tmp_path))
    left_out = {f"29_14$${i}" for i in range(1, 8)}
    kept = [
        advert
        for advert, model in zip(replica.ads["Adv_ID"], replica.ads[" Genmodel_ID"], strict=True)
        if advert not in left_out and MODELS[model][2] >= 10
    ]
    assert cars.advert_ids.tolist() == kept
    assert cars.dropped == {
        "no entry price of its model and year": 2,
        "no photo in the image table": 1,
        "missing cell": 4,
        "model of fewer than 10 adverts": 5,
    }
    counts = cars.missing_cells[cars.missing_cells > 0]
    expected = {"Runned_Miles": 1, "Price": 1, "Engine_size": 1, "Color": 1, "Genmodel": 1}
    assert counts.to_dict() == expected


def test_sizes_that_are_missing_or_zero_come_from_the_first_other_advert(replica, tmp_path):
    replica.set("29_14$$1", "Height", np.nan, "extra")
    replica.set("29_14$$2", "Height", 0, "extra")
    replica.set("29_14$$3", "Height", 1501, "extra")
    replica.set("29_14$$30", "Height", np.nan, "extra")
    replica.extra = replica.extra[replica.extra["Adv_ID"] != "29_14$$29"]
    cars = load(replica.write(tmp_path))
    focus = cars.data[cars.target == "29_14"]
    expected = [1501, 1501, 1501, *[1484] * 25, 1501, 1501]
    assert focus["Height"].tolist() == expected
    assert (focus["Length"] == 4358).all()


def test_known_errors_of_sizes_are_mended(whole):
    cars = load(whole)
    wheelbase = cars.data.groupby(cars.target)["Wheelbase"].unique().map(list).to_dict()
    assert wheelbase == {"29_14": [2648], "69_36": [2612], "10_1": [3116], "43_9": [2580]}


def test_model_of_unknown_size_is_left_out_and_counted(replica, tmp_path):
    replica.extra.loc[replica.extra[" Genmodel_ID"] == "10_1", "Length"] = np.nan
    cars = load(replica.write(tmp_path))
    assert "10_1" not in cars.target_names
    assert cars.dropped["missing cell"] == cars.missing_cells["Length"] == 16


def test_jitter_moves_sizes_by_at_most_its_width_and_nothing_else(whole):
    plain, noisy = load(whole), load(whole, size_jitter=50.0)
    moved = (noisy.data[SIZES] - plain.data[SIZES]).to_numpy()
    assert np.abs(moved).max() <= 50
    assert np.abs(moved).max() > 45
    assert moved.mean() == pytest.approx(0, abs=5)
    assert moved.std() == pytest.approx(50 / np.sqrt(3), rel=0.1)
    rest = [name for name in plain.frame if name not in SIZES]
    pd.testing.assert_frame_equal(plain.frame[rest], noisy.frame[rest])
    np.testing.assert_array_equal(plain.test_indices, noisy.test_indices)


def test_same_seed_gives_the_same_frame_and_split_and_another_seed_another(whole):
    first, second = load_dvm(whole, min_adverts=10), load_dvm(whole, min_adverts=10)
    other = load_dvm(whole, min_adverts=10, random_state=1)
    pd.testing.assert_frame_equal(first.frame, second.frame, check_exact=True)
    np.testing.assert_array_equal(first.train_indices, second.train_indices)
    assert set(first.test_indices) != set(other.test_indices)
    assert not first.data[SIZES].equals(other.data[SIZES])


def test_no_column_is_scaled(whole):
    assert load(whole).data["Adv_year"].unique().tolist() == [2018]


def test_groups_are_the_adverts_of_equal_columns_before_the_noise(replica, tmp_path):
    for column in ("Runned_Miles", "Color", "Reg_year"):
        value = replica.ads.loc[replica.ads["Adv_ID"] == "29_14$$1", column].item()
        replica.set("29_14$$9", column, value)
    cars = load(replica.write(tmp_path), size_jitter=50.0)
    table = load(tmp_path).data[cars.feature_names].to_numpy().tolist()
    for i, row in enumerate(table):
        same = [j for j, other in enumerate(table) if other == row]
        assert np.flatnonzero(cars.groups == cars.groups[i]).tolist() == same
    assert cars.groups[0] == cars.groups[8]


def test_split_is_40_10_50_and_stratified(whole):
    cars = load(whole)
    parts = [cars.train_indices, cars.validation_indices, cars.test_indices]
    assert sorted(np.concatenate(parts)) == list(range(73))
    assert [len(part) for part in parts] == [28, 8, 37]
    counts = [cars.target.iloc[part].value_counts()[cars.target_names].tolist() for part in parts]
    shares = np.array(counts) / cars.target.value_counts()[cars.target_names].to_numpy()
    assert shares == pytest.approx(np.repeat([[0.4], [0.1], [0.5]], 4, axis=1), abs=0.08)


def test_test_half_is_that_of_the_published_call(whole):
    cars = load(whole)
    # The published code hands over a list of ids, and classes numbered in order of appearance.
    number = {model: i for i, model in enumerate(cars.target.unique())}
    ids = cars.advert_ids.tolist()
    classes = cars.target.map(number)
    _, test = train_test_split(ids, test_size=0.5, random_state=2022, stratify=classes)
    assert cars.advert_ids.iloc[cars.test_indices].tolist() == test


def test_split_sizes_of_the_whole_set_are_the_published_ones():
    # 176,414 adverts of 286 models.
    classes = np.random.default_rng(0).permutation(np.arange(176_414) % 286)
    train, validation, test = split_rows(classes, 2022)
    assert [len(train), len(validation), len(test)] == [70_565, 17_642, 88_207]
    shares = np.array([np.bincount(classes[part]) for part in (train, validation, test)])
    assert np.abs(shares / np.bincount(classes) - [[0.4], [0.1], [0.5]]).max() < 0.004
    tenth = draw_tenth(train, classes, 2022)
    hundredth = draw_tenth(tenth, classes, 2022)
    assert [len(tenth), len(hundredth)] == [7_056, 705]
    assert len(np.unique(classes[hundredth])) == 286


def test_few_label_sets_are_nested_and_show_every_class(whole):
    cars = load(whole)
    tenth, hundredth = cars.few_label_indices[0.1], cars.few_label_indices[0.01]
    assert set(hundredth) <= set(tenth) <= set(cars.train_indices)
    assert len(tenth) == len(set(tenth)) == 4
    assert cars.target.iloc[hundredth].nunique() == 4


@pytest.mark.parametrize("n", [40, 60, 100, 1000])
def test_a_tenth_shows_every_class_even_of_one_row(n):
    classes = np.minimum(np.arange(n), 3)  # three classes of one row, and the rest
    rows = np.random.default_rng(0).permutation(n)
    tenth = draw_tenth(rows, classes, 0)
    assert len(tenth) == len(set(tenth)) == n // 10
    assert set(classes[tenth]) == {0, 1, 2, 3}


def test_return_x_y_gives_data_and_target(whole):
    data, target = load(whole, return_X_y=True)
    cars = load(whole)
    pd.testing.assert_frame_equal(data, cars.data)
    pd.testing.assert_series_equal(target, cars.target)
    assert target.name == "Genmodel_ID"
    assert load_dvm.__doc__ == cars.DESCR


@pytest.mark.parametrize("tables", [".", "tables", "tables_V2.0", "tables/tables_V2.0"])
def test_tables_are_found_where_archives_put_them(replica, tmp_path, tables):
    assert len(load(replica.write(tmp_path, tables)).frame) == 73


def test_photos_are_found_in_a_nested_folder_and_under_image_root(replica, tmp_path):
    replica.write(tmp_path)
    (tmp_path / "resized_DVM").rename(tmp_path / "photos")
    (tmp_path / "resized_DVM_clean").mkdir()
    (tmp_path / "photos").rename(tmp_path / "resized_DVM_clean" / "resized_DVM_clean")
    found = load(tmp_path)
    assert found.image_dir == str(tmp_path / "resized_DVM_clean" / "resized_DVM_clean")
    (tmp_path / "resized_DVM_clean").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"resized_DVM.*image_root="):
        load(tmp_path)
    root = tmp_path / "elsewhere" / "resized_DVM_clean"
    assert load(tmp_path, image_root=root).data["photo"].map(os.path.isfile).all()


@pytest.mark.parametrize(
    "table", ["Ad_table.csv", "Ad_table (extra).csv", "Price_table.csv", "Image_table.csv"]
)
def test_missing_table_raises_and_is_named(replica, tmp_path, table):
    replica.write(tmp_path)
    (tmp_path / "tables_V2.0" / table).unlink()
    with pytest.raises(FileNotFoundError) as raised:
        load(tmp_path)
    assert str(raised.value).startswith(f"{table} is missing")


@pytest.mark.parametrize(
    ("attribute", "table", "column"),
    [
        ("ads", "Ad_table.csv", "Engin_size"),
        ("ads", "Ad_table.csv", " Genmodel_ID"),
        ("extra", r"Ad_table \(extra\).csv", "Wheelbase"),
        ("prices", "Price_table.csv", " Entry_price"),
        ("images", "Image_table.csv", " Image_name"),
    ],
)
def test_missing_column_raises_and_is_named_with_its_table(
    replica, tmp_path, attribute, table, column
):
    setattr(replica, attribute, getattr(replica, attribute).rename(columns={column: "Other"}))
    # Photos are written by the name's column, which the last case takes away.
    if attribute == "images":
        replica.images[" Image_name"] = replica.images.pop("Other")
        replica.write(tmp_path)
        path = tmp_path / "tables_V2.0" / "Image_table.csv"
        pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
    else:
        replica.write(tmp_path)
    with pytest.raises(ValueError, match=rf"{table} lacks the column\(s\) {column.strip()}\."):
        load(tmp_path)


def test_damaged_table_raises_and_is_named(replica, tmp_path):
    replica.write(tmp_path)
    path = tmp_path / "tables_V2.0" / "Price_table.csv"
    path.write_bytes(b"\xff\xfe\x00" + path.read_bytes())
    with pytest.raises(ValueError, match=r"Price_table\.csv' cannot be read .*Unpack the tables"):
        load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"Price_table\.csv' is empty"):
        load(tmp_path)


def test_table_in_two_places_raises_and_names_both(replica, tmp_path):
    replica.write(tmp_path, "tables_V1.0")
    replica.write(tmp_path, "tables_V2.0")
    with pytest.raises(ValueError, match=r"tables_V1\.0.*tables_V2\.0"):
        load(tmp_path)


def test_repeated_price_or_advert_raises(replica, tmp_path):
    replica.prices = pd.concat([replica.prices, replica.prices.iloc[[5]]])
    with pytest.raises(
        ValueError, match=r"Price_table\.csv has several rows for Genmodel_ID '29_14'"
    ):
        load(replica.write(tmp_path))


def test_image_id_without_advert_raises(replica, tmp_path):
    replica.images.loc[4, " Image_ID"] = "29_14"
    with pytest.raises(ValueError, match=r"Image_table.csv: row 4 has the Image_ID '29_14'"):
        load(replica.write(tmp_path))


def test_image_name_without_folders_raises(replica, tmp_path):
    replica.write(tmp_path)
    replica.images.loc[0, " Image_name"] = "image_0.jpg"
    replica.images.to_csv(tmp_path / "tables_V2.0" / "Image_table.csv", index=False)
    with pytest.raises(ValueError, match=r"the Image_name 'image_0\.jpg' does not begin with"):
        load(tmp_path)


def test_missing_photo_raises_or_is_dropped_and_counted(replica, tmp_path):
    replica.write(tmp_path)
    os.unlink(load(tmp_path).data["photo"].iloc[3])
    with pytest.raises(
        FileNotFoundError, match=r"1 of 73 adverts.*'29_14\$\$4'.*on_missing='drop'"
    ):
        load(tmp_path)
    cars = load(tmp_path, on_missing="drop")
    assert cars.dropped["photo missing"] == 1
    assert "29_14$$4" not in cars.advert_ids.tolist()
    assert len(cars.frame) == len(cars.groups) == 72


def test_photo_missing_of_a_model_that_is_left_out_anyway_does_not_matter(replica, tmp_path):
    replica.write(tmp_path)
    for name in replica.images[" Image_name"]:
        if name.startswith("Volvo"):
            photo_of(tmp_path, name).unlink()
    assert len(load(tmp_path).frame) == 73


def test_nothing_left_raises_with_the_counts(whole):
    with pytest.raises(ValueError, match=r"No advert is left.*fewer than 100 adverts: 78"):
        load_dvm(whole)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_adverts": 9}, "min_adverts must be at least 10"),
        ({"size_jitter": -1}, "size_jitter must be a finite number of at least 0"),
        ({"on_missing": "empty"}, "on_missing must be one of 'raise', 'drop'"),
    ],
)
def test_wrong_parameter_is_refused_by_name(whole, parameters, message):
    with pytest.raises(ValueError, match=message):
        load(whole, **parameters)


def test_folder_that_is_not_there_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder: there is no folder"):
        load_dvm(tmp_path / "none")


def test_whole_path_from_files_to_predictions(whole):
    cars = load_dvm(whole, min_adverts=10)
    pretrainer = MultiModalPretrainer(
        image_column=cars.image_column, image_size=32, embedding_dim=16, max_epochs=1
    )
    classifier = MTCMTMClassifier(pretrainer, finetune="frozen", random_state=0)
    train, test = cars.train_indices, cars.test_indices
    classifier.fit(cars.data.iloc[train], cars.target.iloc[train])
    table = cars.data.drop(columns="photo").iloc[test]
    assert set(classifier.predict(table)) <= set(cars.target_names)
    assert classifier.n_features_in_ == 17
