"""Doubles that a split could part are found, and nothing is where there are none."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation.data import read_data
from tabimg.evaluation.leakage import near_equal_photos
from tabimg.evaluation.leakage.near_equal import column_of_things, near_equal_rows, tying_column
from tabimg.table import RawColumn, read_columns

N = 120
THING = np.arange(N) // 4
ALONE = np.arange(N)


def make_table(noise: float) -> pd.DataFrame:
    """Thirty things, each in four rows that differ by noise."""
    rng = np.random.default_rng(0)
    order = rng.permutation(30)
    cells = {f"size {k}": rng.normal(size=30)[THING] for k in range(4)}
    table = pd.DataFrame(cells) + noise * rng.normal(size=(N, 4))
    return table.assign(
        kind=rng.choice(["x", "y"], 30)[THING],
        thing=[f"thing {order[number]}" for number in THING],
    )


def columns_of(table: pd.DataFrame) -> list[RawColumn]:
    return read_columns(table)


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_near_equal_rows_are_numbered_by_thing_and_the_column_that_ties_them_is_named(
    noise: float,
) -> None:
    columns = columns_of(make_table(noise))
    ids = near_equal_rows(columns, ALONE)
    assert ids is not None
    assert (ids >= 0).mean() > 0.95
    assert pd.crosstab(ids[ids >= 0], THING[ids >= 0]).gt(0).sum(axis=1).eq(1).all()
    place = tying_column(ids, columns)
    assert place is not None and columns[place].name == "thing"


def test_rows_that_are_equal_in_all_columns_but_one_are_found() -> None:
    table = make_table(0.0).assign(view=np.random.default_rng(1).normal(size=N))
    assert near_equal_rows(columns_of(table), ALONE) is not None


def test_rows_of_one_group_are_no_doubles() -> None:
    assert near_equal_rows(columns_of(make_table(0.0)), THING) is None


def test_rows_that_few_values_make_equal_are_no_doubles() -> None:
    rng = np.random.default_rng(0)
    coarse = pd.DataFrame({name: rng.integers(0, 4, 300) for name in "abc"})
    assert near_equal_rows(columns_of(coarse), np.arange(300)) is None
    fine = coarse.assign(d=rng.normal(size=300))
    assert near_equal_rows(columns_of(fine), np.arange(300)) is None


def test_column_of_things_is_one_whose_rows_have_one_target() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=N), "case": rng.permutation(30)[THING]})
    columns = columns_of(table)
    for goal in (rng.normal(size=30)[THING], rng.integers(0, 2, 30)[THING]):
        (target,) = read_columns(pd.DataFrame({"y": goal}))
        place = column_of_things(columns, target, ALONE)
        assert place == 1
        assert column_of_things(columns, target, THING) is None


def test_quantity_that_the_target_follows_is_no_column_of_things() -> None:
    year = np.random.default_rng(0).integers(0, 40, N)
    columns = columns_of(pd.DataFrame({"year": year}))
    (target,) = read_columns(pd.DataFrame({"y": year > 20}))
    assert column_of_things(columns, target, ALONE) is None


def test_near_equal_photos_are_those_of_one_thing() -> None:
    rng = np.random.default_rng(0)
    photos = rng.normal(size=(30, 50))[THING] + 0.1 * rng.normal(size=(N, 50))
    photos = photos.astype(np.float32)
    ids = near_equal_photos(photos, ALONE)
    assert ids is not None
    assert (ids >= 0).all()
    assert pd.crosstab(ids, THING).gt(0).sum(axis=1).eq(1).all()
    assert near_equal_photos(photos, THING) is None
    assert near_equal_photos(rng.normal(size=(N, 50)).astype(np.float32), ALONE) is None
    assert near_equal_photos(np.zeros((N, 50), dtype=np.float32), ALONE) is None


def test_study_warns_without_the_group_column_and_is_silent_with_it() -> None:
    table = make_table(1e-4).assign(photo=[f"{row}.png" for row in range(N)])
    y = np.random.default_rng(2).normal(size=N)
    with pytest.warns(UserWarning, match=r"rows have cells that .*mean group_column='thing'\?"):
        read_data(table, y, "photo", None, "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_data(table, y, "photo", "thing", "auto")


@pytest.mark.parametrize("name", ["houses_ahmed", "bus_busbra", "derm_ph2"])
def test_real_sets_with_their_groups_raise_no_alarm(real_data, name: str) -> None:
    target, group, features = {
        "houses_ahmed": ("price", None, ["bedrooms", "bathrooms", "area", "zipcode"]),
        "bus_busbra": ("pathology", "case", ["device", "width", "bbox_x", "bbox_w", "birads"]),
        "derm_ph2": ("diagnosis", None, ["asymmetry", "pigment_network", "streaks"]),
    }[name]
    table = pd.read_csv(real_data(name) / "table.csv")
    X = table[[*features, "image", *([group] if group else [])]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_data(
            X,
            table[target],
            "image",
            group,
            "regression" if group is None and name == "houses_ahmed" else "auto",
        )


def test_real_set_without_its_group_is_told_which_column_it_is(real_data) -> None:
    table = pd.read_csv(real_data("food_ecustfd") / "table.csv")
    with pytest.warns(UserWarning, match="group_column='portion'"):
        read_data(table.drop(columns="weight"), table["weight"], "image", None, "regression")
