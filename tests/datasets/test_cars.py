"""make_cars: columns, catalogue, truth and photos against independent computations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from tabimg.datasets import make_cars
from tabimg.datasets.assembly import blank_cells
from tabimg.datasets.car_catalogue import (
    BODY_SIZES,
    BODYTYPES,
    ENGINE_SIZES,
    FUEL_TYPES,
    GEARBOXES,
    MAX_CLASSES,
    build_catalogue,
)
from tabimg.datasets.car_law import CAN_BE_MISSING, COLUMNS, CarLaw
from tabimg.datasets.car_photo import draw_car

NUMERIC = [
    "Wheelbase", "Height", "Width", "Length", "Adv_year", "Adv_month", "Reg_year", "Runned_Miles",
    "Price", "Seat_num", "Door_num", "Entry_price", "Engine_size",
]  # fmt: skip
CATEGORIES = {"Color": 22, "Bodytype": 13, "Gearbox": 3, "Fuel_type": 12}


@pytest.fixture(scope="module")
def cars(tmp_path_factory):
    return make_cars(2000, image_dir=tmp_path_factory.mktemp("cars"), random_state=0)


def large_sample(n_classes: int, missing_rate: float, n: int = 20_000):
    law = CarLaw(build_catalogue(n_classes), size_jitter=60.0, style_noise=0.25)
    rng = np.random.default_rng(11)
    classes = law.draw_classes(n, rng)
    adverts = law.draw_adverts(classes, rng)
    return law, classes, blank_cells(adverts, law.draw_missing(n, missing_rate, rng)), rng


def test_columns_are_those_of_dvm(cars):
    assert cars.feature_names == [*NUMERIC, *CATEGORIES]
    table = cars.frame[cars.feature_names]
    assert list(table.select_dtypes("number").columns) == NUMERIC
    assert {name: table[name].nunique() for name in CATEGORIES} == CATEGORIES
    assert list(cars.frame.columns) == [*NUMERIC, *CATEGORIES, "photo", "Genmodel"]


def test_classes_are_maker_and_model_with_several_rows_and_photos_each(cars):
    counts = cars.target.value_counts()
    assert cars.target_names == sorted(counts.index)
    assert len(cars.target_names) == 30
    assert all(len(name.split()) == 2 for name in cars.target_names)
    assert counts.min() >= 20
    assert cars.frame.groupby("Genmodel")["photo"].nunique().equals(counts.sort_index())


def test_catalogue_has_286_different_models_and_begins_with_the_shorter_one():
    full, short = build_catalogue(MAX_CLASSES), build_catalogue(10)
    assert len(set(full.names)) == MAX_CLASSES == 286
    assert full.names[:10] == short.names
    np.testing.assert_array_equal(full.style[:10], short.style)
    np.testing.assert_allclose(full.fuel.sum(axis=1), 1)


def test_largest_number_of_classes_shows_every_class():
    cars = make_cars(1200, MAX_CLASSES, image_size=32, random_state=0)
    assert cars.target.nunique() == MAX_CLASSES
    assert cars.target.value_counts().min() >= 2


def test_smallest_allowed_sample_shows_every_class_twice():
    cars = make_cars(90, repeat_rate=0.0, image_size=32, random_state=0)
    assert cars.target.nunique() == 30
    assert cars.target.value_counts().min() >= 2


def test_values_lie_in_plausible_ranges(cars):
    table = cars.frame
    assert table["Adv_month"].between(1, 12).all()
    assert (table["Adv_year"] >= table["Reg_year"]).all()
    assert (table["Price"] > 0).all()
    assert table["Length"].dropna().between(2500, 6500).all()
    assert (table["Length"] > table["Wheelbase"])[
        table[["Length", "Wheelbase"]].notna().all(axis=1)
    ].all()


def test_missing_cells_fall_where_documented_at_the_given_rate():
    _, _, table, _ = large_sample(30, missing_rate=0.1)
    shares = table.isna().mean()
    assert shares[list(CAN_BE_MISSING)].to_numpy() == pytest.approx(0.1, abs=0.01)
    assert (shares.drop(list(CAN_BE_MISSING)) == 0).all()
    assert all(
        f"``{name}``" in make_cars.__doc__ for name in CAN_BE_MISSING if name not in NUMERIC[:4]
    )


def test_repeated_adverts_are_identical_rows_with_photos_of_their_own(cars):
    assert len(np.unique(cars.groups)) == 1600
    rows = np.flatnonzero(cars.groups == np.bincount(cars.groups).argmax())
    assert len(rows) >= 3
    assert len(cars.frame.iloc[rows][cars.feature_names].drop_duplicates()) == 1
    assert cars.target.iloc[rows].nunique() == 1
    assert len({Path(path).read_bytes() for path in cars.frame["photo"].iloc[rows]}) == len(rows)


def test_posterior_of_a_row_equals_hand_computation():
    law, _, table, _ = large_sample(4, missing_rate=0.0, n=40)
    book = law.catalogue
    row = table.iloc[7]
    body = BODYTYPES.index(row["Bodytype"])
    weights = []
    for c in range(4):
        generation = int(np.flatnonzero(row["Reg_year"] <= book.last_year[c])[0])
        sizes = row[["Length", "Height", "Width", "Wheelbase"]].to_numpy(dtype=float)
        centre = book.sizes[c, generation] + BODY_SIZES[body]
        density = norm.pdf(sizes, centre, 60.0 * np.array([1.5, 0.5, 0.4, 0.8])).prod()
        density *= norm.pdf(np.log(row["Entry_price"]), book.log_price[c, generation], 0.2)
        density *= book.body[c, body]
        density *= book.engine[c, list(ENGINE_SIZES).index(row["Engine_size"])]
        density *= book.gearbox[c, GEARBOXES.index(row["Gearbox"])]
        density *= book.fuel[c, FUEL_TYPES.index(row["Fuel_type"])]
        weights.append(book.prior[c] * density)
    expected = np.array(weights) / np.sum(weights)
    np.testing.assert_allclose(law.posterior(table.iloc[[7]])[0], expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("missing_rate", [0.0, 0.2])
def test_bayes_score_is_reached_by_exact_posterior_on_large_sample(missing_rate):
    law, classes, table, _ = large_sample(30, missing_rate)
    posterior = law.posterior(table)
    hits = (posterior.argmax(axis=1) == classes).mean()
    claimed = make_cars(120, missing_rate=missing_rate, image_size=32, random_state=0).bayes_score
    assert hits == pytest.approx(claimed, abs=0.012)
    # Calibration: of the rows that get about p for some model, a share of p is of that model.
    truth = np.eye(30)[classes]
    for low, high in ((0.1, 0.3), (0.3, 0.7), (0.7, 0.9)):
        chosen = (posterior > low) & (posterior < high)
        assert truth[chosen].mean() == pytest.approx(posterior[chosen].mean(), abs=0.03)


def test_latent_r2_lies_in_window_and_is_reached_by_posterior_mean(cars):
    law, classes, table, rng = large_sample(30, missing_rate=0.02)
    latent = law.draw_style(classes, rng)
    reached = r2_score(latent, law.posterior(table) @ law.catalogue.style)
    assert reached == pytest.approx(cars.latent_r2, abs=0.012)
    assert 0.7 < cars.latent_r2 < 0.9


def test_bayes_prediction_scores_near_bayes_score_on_the_sample(cars):
    reached = (cars.bayes_prediction == cars.target).mean()
    assert reached == pytest.approx(cars.bayes_score, abs=0.03)
    assert 0.85 < cars.bayes_score < 0.95


def test_forest_with_all_labels_stays_below_bayes_score_and_far_above_chance(cars):
    table = pd.get_dummies(cars.frame[cars.feature_names]).fillna(-1)
    train = cars.groups < 1200
    forest = RandomForestClassifier(60, random_state=0).fit(table[train], cars.target[train])
    reached = forest.score(table[~train], cars.target[~train])
    assert 0.35 < reached < cars.bayes_score - 0.1


def test_columns_said_to_tell_nothing_leave_posterior_unchanged():
    law, _, table, rng = large_sample(30, missing_rate=0.02, n=500)
    idle = ["Adv_year", "Adv_month", "Runned_Miles", "Price", "Seat_num", "Door_num", "Color"]
    shuffled = table.copy()
    shuffled[idle] = table[idle].to_numpy()[rng.permutation(500)]
    np.testing.assert_array_equal(law.posterior(table), law.posterior(shuffled))
    assert set(idle) < set(COLUMNS)


def test_photos_are_colour_files_that_show_the_paint(cars):
    with Image.open(cars.frame["photo"][0]) as image:
        assert image.size == (64, 64)
        assert image.mode == "RGB"
    red = [draw_car(np.zeros(7), "Saloon", "Red", 64, np.random.default_rng(s)) for s in range(5)]
    blue = [draw_car(np.zeros(7), "Saloon", "Blue", 64, np.random.default_rng(s)) for s in range(5)]
    door = np.s_[:, 39:43, 28:31]
    assert np.mean(np.stack(red)[door][..., 0]) > 2 * np.mean(np.stack(red)[door][..., 2])
    assert np.mean(np.stack(blue)[door][..., 2]) > 2 * np.mean(np.stack(blue)[door][..., 0])


@pytest.mark.parametrize("k", range(7))
def test_each_style_changes_the_photo(k):
    style = np.zeros(7)
    style[k] = 1.5
    changed = draw_car(style, "Saloon", "Red", 64, np.random.default_rng(0)).astype(int)
    plain = draw_car(np.zeros(7), "Saloon", "Red", 64, np.random.default_rng(0)).astype(int)
    assert (np.abs(changed - plain).max(axis=2) > 40).sum() >= 15


def test_photos_tell_latent_to_a_linear_model(cars):
    pixels = []
    for path in cars.frame["photo"]:
        with Image.open(path) as image:
            small = image.convert("L").resize((32, 32), Image.Resampling.BOX)
            pixels.append(np.asarray(small, dtype=float).ravel())
    model = make_pipeline(
        PCA(150, random_state=0, svd_solver="randomized"), RidgeCV(np.logspace(0, 6, 7))
    )
    predicted = cross_val_predict(model, np.array(pixels), cars.latent, cv=3)
    scores = r2_score(cars.latent, predicted, multioutput="raw_values")
    assert scores.mean() > 0.75, scores
    assert scores.min() > 0.45, scores


def test_extreme_style_is_still_drawn_inside_the_image():
    for sign in (-1, 1):
        pixels = draw_car(np.full(7, 40.0 * sign), "SUV", "Red", 64, np.random.default_rng(0))
        border = np.concatenate([pixels[:10].reshape(-1, 3), pixels[30:45, 0]]).astype(int)
        assert (border[:, 0] - border[:, 2] < 60).all()


def test_latent_strays_from_style_of_its_class_by_style_noise(cars):
    book = build_catalogue(30)
    style = dict(zip(book.names, book.style, strict=True))
    deviation = cars.latent - np.array([style[name] for name in cars.target])
    assert deviation.std(axis=0) == pytest.approx(np.full(7, 0.25), abs=0.02)
