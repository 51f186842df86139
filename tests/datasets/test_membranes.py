"""make_membranes: shape, truth, repetitions and missing cells against independent computations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from tabimg.datasets import make_membranes
from tabimg.datasets.membrane_law import MembraneLaw, draw_recipes, population_scores, response
from tabimg.datasets.micrograph import draw_micrograph


@pytest.fixture(scope="module")
def membranes(tmp_path_factory):
    return make_membranes(image_dir=tmp_path_factory.mktemp("membranes"), random_state=0)


def test_default_frame_is_under_2000_rows_of_10_to_20_columns_with_photo_and_target(membranes):
    assert membranes.frame.shape == (1500, 17)
    assert len(membranes.feature_names) == 15
    assert [*membranes.feature_names, "photo"] == list(membranes.data.columns)
    assert list(membranes.frame.columns)[-1] == membranes.target.name == "permeance_lmh_bar"
    table = membranes.frame[membranes.feature_names]
    assert table.select_dtypes("number").shape[1] == 10
    assert table["polymer"].nunique() == 4


def test_target_is_positive_and_equals_frame_column(membranes):
    pd.testing.assert_series_equal(membranes.frame["permeance_lmh_bar"], membranes.target)
    assert (membranes.target > 0).all()


def test_photos_are_grayscale_files_of_the_wanted_size_at_absolute_paths(membranes):
    for path in membranes.frame["photo"].iloc[[0, 7, 1499]]:
        assert Path(path).is_absolute()
        with Image.open(path) as image:
            assert image.size == (64, 64)
            assert image.mode == "L"
    assert membranes.frame["photo"].is_unique


def test_missing_share_matches_missing_rate(membranes):
    table = membranes.frame[membranes.feature_names]
    distinct = table[~pd.Series(membranes.groups).duplicated()]
    assert distinct.isna().to_numpy().mean() == pytest.approx(0.03, abs=0.005)
    assert make_membranes(20, missing_rate=0.0, random_state=0).data.notna().all(axis=None)


def test_repeated_recipes_are_identical_rows_with_their_own_latent_target_and_photo(membranes):
    table = membranes.frame[membranes.feature_names]
    assert len(np.unique(membranes.groups)) == 1200
    largest = np.flatnonzero(membranes.groups == np.bincount(membranes.groups).argmax())
    assert len(largest) >= 3
    assert len(table.iloc[largest].drop_duplicates()) == 1
    assert len(np.unique(membranes.latent[largest, 0])) == len(largest)
    assert membranes.target.iloc[largest].nunique() == len(largest)
    pixels = {Path(membranes.frame["photo"].iloc[i]).read_bytes() for i in largest}
    assert len(pixels) == len(largest)


def test_bayes_score_is_reached_by_conditional_mean_on_large_sample():
    law = MembraneLaw(column_r2=0.85, target_noise=0.1)
    rng = np.random.default_rng(3)
    recipes = draw_recipes(400_000, rng)
    target = law.draw_permeance(law.draw_latent(recipes, rng), rng)
    reached = r2_score(target, law.expected_permeance(recipes))
    assert reached == pytest.approx(population_scores(law, 0.0)[0], abs=0.01)
    # No smooth function of the conditional mean does better: it is the best predictor.
    expected = PolynomialFeatures(4).fit_transform(law.expected_permeance(recipes)[:, None] / 60)
    refitted = LinearRegression().fit(expected, target).predict(expected)
    assert r2_score(target, refitted) == pytest.approx(reached, abs=0.001)


def test_bayes_score_with_missing_cells_is_reached_by_averaging_over_them():
    law = MembraneLaw(column_r2=0.85, target_noise=0.1)
    rng = np.random.default_rng(4)
    recipes = draw_recipes(6_000, rng)
    missing = rng.random(recipes.shape) < 0.1
    target = law.expected_permeance(recipes)
    predicted = law.expected_given_observed(recipes, missing, rng)
    # Scored against E[y | complete columns], whose share of Var(y) is the complete-table score.
    complete, _ = population_scores(law, 0.0)
    incomplete, latent_r2 = population_scores(law, 0.1)
    assert complete * r2_score(target, predicted) == pytest.approx(incomplete, abs=0.02)
    assert latent_r2 < 0.85


def test_bayes_prediction_scores_near_bayes_score_on_the_sample(membranes):
    reached = r2_score(membranes.target, membranes.bayes_prediction)
    assert reached == pytest.approx(membranes.bayes_score, abs=0.06)
    assert 0.6 < membranes.bayes_score < 0.8


def test_latent_r2_lies_in_window_and_is_reached_on_large_sample():
    law = MembraneLaw(column_r2=0.85, target_noise=0.1)
    rng = np.random.default_rng(5)
    recipes = draw_recipes(100_000, rng)
    latent = law.draw_latent(recipes, rng)
    assert latent.mean(axis=0) == pytest.approx([0, 0], abs=0.02)
    assert latent.var(axis=0) == pytest.approx([1, 1], abs=0.02)
    assert r2_score(latent, np.sqrt(0.85) * response(recipes)) == pytest.approx(0.85, abs=0.01)
    assert 0.7 < population_scores(law, 0.03)[1] < 0.9


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_target_noise_is_the_share_that_latent_leaves_open(share):
    law = MembraneLaw(column_r2=0.85, target_noise=share)
    rng = np.random.default_rng(6)
    latent = law.draw_latent(draw_recipes(400_000, rng), rng)
    first, second = law.draw_permeance(latent, rng), law.draw_permeance(latent, rng)
    # Two membranes of one z share what z determines, and nothing else.
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(1 - share, abs=0.02)


def test_forest_with_all_labels_stays_well_below_bayes_score(membranes):
    table = pd.get_dummies(membranes.frame[membranes.feature_names]).fillna(-1)
    train = membranes.groups < 900
    forest = RandomForestRegressor(50, random_state=0).fit(table[train], membranes.target[train])
    reached = r2_score(membranes.target[~train], forest.predict(table[~train]))
    assert 0.0 < reached < membranes.bayes_score - 0.1


def test_target_is_easy_from_latent_where_it_is_hard_from_columns(membranes):
    few = np.arange(100)
    rest = np.arange(100, 1500)
    law = np.log(membranes.target.to_numpy())
    table = pd.get_dummies(membranes.frame[membranes.feature_names]).fillna(0)
    from_latent = RidgeCV().fit(membranes.latent[few], law[few])
    scaled = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
    from_columns = scaled.fit(table.iloc[few], law[few])
    assert r2_score(law[rest], from_latent.predict(membranes.latent[rest])) > 0.85
    assert r2_score(law[rest], from_columns.predict(table.iloc[rest])) < 0.3


@pytest.mark.parametrize("size", [64, 32])
def test_micrographs_tell_latent_with_r2_above_point_nine(membranes, size):
    features = np.array([describe(path, size) for path in membranes.frame["photo"][:800]])
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(2), StandardScaler(), RidgeCV(np.logspace(-1, 4, 9))
    )
    predicted = cross_val_predict(model, features, membranes.latent[:800], cv=4)
    scores = r2_score(membranes.latent[:800], predicted, multioutput="raw_values")
    assert (scores > 0.9).all(), scores


def describe(path: str, size: int) -> np.ndarray:
    """Ring-averaged log spectrum and grey quantiles of the standardised image."""
    with Image.open(path) as image:
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX), dtype=float)
    pixels = (pixels - pixels.mean()) / pixels.std()
    power = np.abs(np.fft.fft2(pixels)) ** 2
    axis = np.abs(np.fft.fftfreq(size, 1 / size))
    radius = np.hypot(axis[:, None], axis[None, :])
    edges = [0.5, 1.5, 2.5, 3.5, 4.5, 6, 8, 10, 12, 14, 16]
    rings = [
        np.log(power[(radius >= low) & (radius < high)].mean()) for low, high in pairwise(edges)
    ]
    return np.concatenate([rings, np.quantile(pixels, np.linspace(0.02, 0.98, 13))])


def test_micrograph_porosity_darkens_it_under_any_exposure():
    seeds = range(20)
    dark = [np.median(draw_micrograph([0, 2.5], 64, np.random.default_rng(s))) for s in seeds]
    light = [np.median(draw_micrograph([0, -2.5], 64, np.random.default_rng(s))) for s in seeds]
    assert (np.array(dark) < np.array(light)).all()


def test_micrograph_of_extreme_latent_is_still_an_image():
    for extreme in ([40.0, 40.0], [-40.0, -40.0]):
        pixels = draw_micrograph(extreme, 32, np.random.default_rng(0))
        assert pixels.dtype == np.uint8
        assert pixels.std() > 5


def test_inert_columns_do_not_change_the_response():
    recipes = draw_recipes(200, np.random.default_rng(0))
    changed = recipes.copy()
    changed[:, [6, 7, 8, 9, 14]] = 0  # thickness, speed, stirring, storage, support
    np.testing.assert_array_equal(response(recipes), response(changed))
