"""make_cohorts: columns, truth, photos, and what can be learned from what."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from tabimg.datasets import make_cohorts
from tabimg.datasets.cohort_catalogue import CLINICS
from tabimg.datasets.cohort_concepts import CONCEPTS, Category, Measurement
from tabimg.datasets.cohort_law import (
    CONCEPT_NAMES,
    EFFECTS,
    TERMS,
    CohortLaw,
    draw_patients,
    response,
    term_values,
)
from tabimg.datasets.retina_photo import Camera, draw_retina

SIZES = {"harbour": 700, "meadow": 500, "northgate": 400, "lakeside": 300, "summit": 900}
PLAIN = Camera(gains=(1.0, 1.0, 1.0), field=0.94)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")
    return make_cohorts(SIZES, image_size=32, image_dir=folder, random_state=0)


def test_int_of_rows_is_shared_out_over_five_clinics_of_very_different_size():
    cohorts = make_cohorts(400, image_size=32, random_state=0)
    sizes = {name: len(frame) for name, frame in cohorts.frames.items()}
    assert sizes == {"harbour": 136, "meadow": 108, "northgate": 80, "lakeside": 56, "summit": 20}
    smallest = make_cohorts(40, image_size=32, random_state=0)
    assert min(map(len, smallest.frames.values())) == 2


def test_mapping_of_rows_chooses_clinics_whose_rows_do_not_depend_on_the_others(cohorts):
    alone = make_cohorts({"northgate": 400}, image_size=32, random_state=0)
    assert alone.cohort_names == ["northgate"]
    with_others = cohorts.frames["northgate"].drop(columns="photo").reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.data[with_others.columns], with_others)
    rows = cohorts.frames["northgate"].index
    np.testing.assert_array_equal(alone.latent, cohorts.latent[rows])
    first = [frame["photo"].iloc[0] for frame in (alone.data, cohorts.frames["northgate"])]
    assert np.array_equal(*(np.asarray(Image.open(path)) for path in first))


@pytest.mark.parametrize(
    ("n_samples", "error", "match"),
    [
        ({"harbor": 10}, ValueError, "n_samples.*'harbour'.*got.*harbor'"),
        ({}, ValueError, "n_samples"),
        ({"summit": 1}, ValueError, r"n_samples\['summit'\]"),
        ({"summit": "10"}, TypeError, r"n_samples\['summit'\]"),
        (39, ValueError, "at least 40"),
        ([10, 20], TypeError, "n_samples"),
    ],
)
def test_bad_number_of_rows_raises_and_is_named(n_samples, error, match):
    with pytest.raises(error, match=match):
        make_cohorts(n_samples)


def test_clinics_share_concepts_but_few_headers():
    for first, second in combinations(CLINICS.values(), 2):
        shared = set(first.concepts.values()) & set(second.concepts.values())
        assert len(shared) >= 8
        assert len(set(first.columns) & set(second.columns)) <= 3
    widths = [len(clinic.columns) for clinic in CLINICS.values()]
    assert len(set(widths)) < len(widths)  # the width does not tell the clinic
    assert all(len(set(c.concepts.values())) == len(c.columns) for c in CLINICS.values())


def test_shares_sum_to_one_and_no_cell_is_missed_more_often_than_said():
    assert sum(clinic.share for clinic in CLINICS.values()) == pytest.approx(1)
    assert max(clinic.missing for clinic in CLINICS.values()) == 1


def test_stacked_frame_holds_each_clinics_cells_and_nothing_else(cohorts):
    data = cohorts.data
    assert list(data.columns) == ["cohort", *cohorts.feature_names, "photo"]
    assert data["cohort"].unique().tolist() == cohorts.cohort_names == list(SIZES)
    pd.testing.assert_series_equal(cohorts.frame["letters_lost"], cohorts.target)
    for name, frame in cohorts.frames.items():
        rows = data[data["cohort"] == name]
        pd.testing.assert_frame_equal(rows[frame.columns], frame, check_dtype=False)
        absent = [c for c in cohorts.feature_names if c not in frame]
        assert rows[absent].isna().all(axis=None)
        pd.testing.assert_series_equal(cohorts.targets[name], cohorts.target[rows.index])


def test_a_header_is_a_number_in_all_clinics_or_in_none(cohorts):
    kinds: dict[str, set[bool]] = {}
    for frame in cohorts.frames.values():
        for header, column in frame.items():
            kinds.setdefault(header, set()).add(pd.api.types.is_numeric_dtype(column))
    assert all(len(kind) == 1 for kind in kinds.values())
    assert pd.api.types.is_numeric_dtype(cohorts.frames["summit"]["statin_use"])


def test_observed_cells_are_the_patients_values_in_the_clinics_units(cohorts):
    # Molar masses: glucose 180.16, cholesterol 386.7, creatinine 113.12 g/mol.
    to_common = {
        "lb": lambda v: v * 0.45359237,
        "inch": lambda v: v * 2.54,
        "months": lambda v: v / 12,
        "mmol/mol": lambda v: (v + 23.5) / 10.93,
        "g/dl": lambda v: v * 10,
        ("glucose", "mg/dl"): lambda v: v / 18.016,
        ("cholesterol", "mg/dl"): lambda v: v / 38.67,
        ("creatinine", "mg/dl"): lambda v: v / 0.011312,
    }
    for name, frame in cohorts.frames.items():
        for header, concept in cohorts.concepts[name].items():
            if isinstance(CONCEPTS[concept], Category):
                continue
            unit = cohorts.units[name][header]
            convert = to_common.get((concept, unit)) or to_common.get(unit, lambda v: v)
            observed = frame[header].dropna()
            truth = cohorts.concept_values.loc[observed.index, concept]
            step = np.diff(CONCEPTS[concept].levels).min()
            np.testing.assert_allclose(convert(observed), truth, atol=0.51 * step)


def test_spellings_stand_for_the_same_category_in_every_clinic(cohorts):
    for name, frame in cohorts.frames.items():
        for header, concept in cohorts.concepts[name].items():
            if isinstance(CONCEPTS[concept], Category):
                observed = frame[header].dropna()
                truth = cohorts.concept_values.loc[observed.index, concept]
                pairs = set(zip(observed, truth, strict=True))
                assert len(pairs) == len(CONCEPTS[concept].levels)


def test_every_unit_and_spelling_keeps_all_levels_apart():
    for concept in CONCEPTS.values():
        forms = concept.units if isinstance(concept, Measurement) else concept.spellings
        assert all(len(set(concept.written(form))) == len(concept.levels) for form in forms)
        assert len(concept.position) == len(concept.levels)


def test_missing_share_differs_between_clinics_as_documented(cohorts):
    relative = {"harbour": 0.3, "meadow": 1.0, "northgate": 0.5, "lakeside": 0.8, "summit": 0.6}
    for name, frame in cohorts.frames.items():
        share = frame[list(cohorts.concepts[name])].isna().to_numpy().mean()
        assert share == pytest.approx(0.1 * relative[name], abs=0.015)


def test_patients_with_several_eyes_have_one_row_and_several_photos(cohorts):
    for name, frame in cohorts.frames.items():
        groups = pd.Series(cohorts.groups[frame.index], index=frame.index)
        assert groups.nunique() == 0.8 * SIZES[name]
        rows = groups.index[groups == groups.mode()[0]]
        assert len(rows) >= 2
        assert len(frame.loc[rows].drop(columns="photo").drop_duplicates()) == 1
        assert cohorts.target[rows].nunique() == len(rows)
    by_clinic = pd.Series(cohorts.groups).groupby(cohorts.data["cohort"]).agg(set)
    assert len(set.union(*by_clinic)) == sum(map(len, by_clinic))


def test_terms_have_mean_zero_variance_one_and_are_uncorrelated():
    values = term_values(draw_patients(200_000, np.random.default_rng(0)))
    assert values.mean(axis=0) == pytest.approx(np.zeros(len(TERMS)), abs=0.01)
    assert np.cov(values.T) == pytest.approx(np.eye(len(TERMS)), abs=0.02)
    assert len({frozenset(term.curves) for term in TERMS}) == len(TERMS)


def test_latent_is_standardised_and_concepts_determine_the_wanted_share():
    law = CohortLaw(column_r2=0.85, target_noise=0.1)
    rng = np.random.default_rng(1)
    patients = draw_patients(200_000, rng)
    latent = law.draw_latent(patients, rng)
    assert np.cov(latent.T) == pytest.approx(np.eye(2), abs=0.02)
    assert r2_score(latent, np.sqrt(0.85) * response(patients)) == pytest.approx(0.85, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_target_noise_is_the_share_that_latent_leaves_open(share):
    law = CohortLaw(column_r2=0.85, target_noise=share)
    rng = np.random.default_rng(2)
    latent = law.draw_latent(draw_patients(200_000, rng), rng)
    loss = law.draw_loss(latent, rng)
    assert r2_score(loss, 12 + latent @ EFFECTS) == pytest.approx(1 - share, abs=0.01)
    assert loss.var() == pytest.approx(law.loss_variance, rel=0.02)


def test_expected_loss_equals_average_over_patients_who_agree_in_what_is_known():
    law = CohortLaw(column_r2=0.85, target_noise=0.1)
    rng = np.random.default_rng(3)
    patients = draw_patients(12, rng)
    known = rng.random(patients.shape) < 0.7
    claimed = law.expected_given_known(patients, known)
    for patient, seen, expected in zip(patients, known, claimed, strict=True):
        others = np.where(seen, patient, draw_patients(60_000, rng))
        average = 12 + np.sqrt(0.85) * response(others).mean(axis=0) @ EFFECTS
        assert expected == pytest.approx(average, abs=0.1)


@pytest.mark.parametrize("missing_rate", [0.0, 0.15])
@pytest.mark.parametrize("name", ["meadow", "summit"])
def test_bayes_score_is_reached_by_bayes_prediction_on_large_sample(name, missing_rate):
    law = CohortLaw(column_r2=0.85, target_noise=0.1)
    rng = np.random.default_rng(4)
    patients = draw_patients(100_000, rng)
    recorded = np.isin(CONCEPT_NAMES, list(CLINICS[name].concepts.values()))
    known = recorded & (rng.random(patients.shape) >= missing_rate)
    latent = law.draw_latent(patients, rng)
    loss = law.draw_loss(latent, rng)
    claimed, latent_r2 = law.scores(recorded, missing_rate)
    reached = r2_score(loss, law.expected_given_known(patients, known))
    assert reached == pytest.approx(claimed, abs=0.008)
    # For z by least squares, on the terms of which every concept is known.
    parts = [known[:, [CONCEPT_NAMES.index(c) for c in term.curves]].all(axis=1) for term in TERMS]
    values = term_values(patients) * np.column_stack(parts)
    fitted = values @ np.linalg.lstsq(values, latent, rcond=None)[0]
    assert r2_score(latent, fitted) == pytest.approx(latent_r2, abs=0.008)


def test_bayes_prediction_scores_near_bayes_score_in_every_clinic(cohorts):
    for name, frame in cohorts.frames.items():
        reached = r2_score(cohorts.targets[name], cohorts.bayes_prediction[frame.index])
        assert reached == pytest.approx(cohorts.bayes_score[name], abs=0.1)
        assert 0.5 < cohorts.bayes_score[name] < 0.72
        assert 0.55 < cohorts.latent_r2[name] < 0.8


def test_no_function_of_the_columns_explains_what_bayes_prediction_leaves(cohorts):
    features = in_concepts(cohorts, cohorts.concepts)
    left = (cohorts.target - cohorts.bayes_prediction).to_numpy()
    assert cross_val_score(pair_model(), features, left, cv=4).max() < 0.03
    assert cross_val_score(pair_model(), features, cohorts.target, cv=4).min() > 0.4


def test_heart_rate_and_haemoglobin_have_no_effect():
    assert not {"heart_rate", "haemoglobin"} & {c for term in TERMS for c in term.curves}
    assert set(CONCEPT_NAMES) - {"heart_rate", "haemoglobin"} == {
        c for term in TERMS for c in term.curves
    }


# What the set is for, measured with the simplest models that can tell: columns are standardised
# within their clinic and put under the concept that a mapping of headers says, a model of pairs of
# row and z (what a perfect image encoder would see) is the pre-training, and a linear model of
# that with 40 labels is the fine-tuning. The target clinic is "summit"; it has 120 pairs.
N_PAIRS, N_LABELS = 120, 40


def in_concepts(cohorts, mapping: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Standardised columns of all rows under the concepts of ``mapping``; 0 where not known."""
    parts = []
    for name, frame in cohorts.frames.items():
        numbers = {}
        for header, unit in cohorts.units[name].items():
            concept = CONCEPTS[cohorts.concepts[name][header]]
            values = frame[header]
            if isinstance(concept, Category):
                values = values.map(dict(zip(concept.written(unit), concept.scores, strict=True)))
            values = values.astype(float)
            numbers[mapping[name][header]] = (values - values.mean()) / values.std()
        parts.append(pd.DataFrame(numbers))
    return pd.concat(parts).fillna(0)


def pair_model():
    """All squares and products of two: close to the law's own form."""
    products = PolynomialFeatures(2, include_bias=False)
    return make_pipeline(products, StandardScaler(), RidgeCV([30.0, 100.0, 300.0, 1000.0]))


def score_in_summit(cohorts, features: np.ndarray) -> float:
    """R2 in summit's other patients of a linear model with a few labels."""
    rows = cohorts.frames["summit"].index
    few = rows[:N_LABELS]
    rest = rows[~np.isin(cohorts.groups[rows], cohorts.groups[rows[:N_PAIRS]])]
    linear = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11)))
    linear.fit(features[few], cohorts.target[few])
    return r2_score(cohorts.target[rest], linear.predict(features[rest]))


def score_pretrained(cohorts, clinics: list[str], mapping) -> float:
    """The same after pre-training on the pairs of ``clinics``."""
    features = in_concepts(cohorts, mapping).to_numpy()
    own = cohorts.frames["summit"].index[:N_PAIRS]
    rows = np.concatenate(
        [own if name == "summit" else cohorts.frames[name].index for name in clinics]
    )
    model = pair_model().fit(features[rows], cohorts.latent[rows])
    return score_in_summit(cohorts, model.predict(features))


def test_photos_help_where_labels_are_few(cohorts):
    columns = in_concepts(cohorts, cohorts.concepts).to_numpy()
    from_columns = score_in_summit(cohorts, columns)
    assert score_pretrained(cohorts, ["summit"], cohorts.concepts) > from_columns + 0.1
    assert score_in_summit(cohorts, cohorts.latent) > 0.8


def test_other_clinics_help_one_that_has_few_pairs(cohorts):
    alone = score_pretrained(cohorts, ["summit"], cohorts.concepts)
    together = score_pretrained(cohorts, list(SIZES), cohorts.concepts)
    never_seen = score_pretrained(cohorts, list(SIZES)[:-1], cohorts.concepts)
    assert together > alone + 0.15
    assert never_seen > alone + 0.1
    assert together < cohorts.bayes_score["summit"]


def test_wrong_meaning_of_headers_misleads(cohorts):
    together = score_pretrained(cohorts, list(SIZES), cohorts.concepts)
    exact = {name: {h: h for h in columns} for name, columns in cohorts.concepts.items()}
    assert score_pretrained(cohorts, list(SIZES), exact) < together - 0.1

    rng = np.random.default_rng(0)
    headers = list(cohorts.concepts["summit"])
    shuffled = [cohorts.concepts["summit"][headers[i]] for i in rng.permutation(len(headers))]
    misled = {**cohorts.concepts, "summit": dict(zip(headers, shuffled, strict=True))}
    assert score_pretrained(cohorts, list(SIZES), misled) < together - 0.3


def describe(path: str) -> np.ndarray:
    """Grey quantiles of the middle of the field, relative to its median, in green and blue."""
    with Image.open(path) as image:
        pixels = np.asarray(image, dtype=float)
    axis = (np.arange(len(pixels)) + 0.5) / len(pixels) - 0.5
    middle = pixels[np.hypot(axis[:, None], axis[None, :]) < 0.4]
    relative = (middle / np.median(middle, axis=0))[:, 1:]
    return np.append(np.quantile(relative, np.linspace(0.02, 0.98, 13), axis=0), relative.std())


@pytest.mark.parametrize("size", [32, 64])
def test_photos_tell_latent_whatever_the_camera(size):
    cohorts = make_cohorts(600, image_size=size, random_state=0)
    features = np.array([describe(path) for path in cohorts.data["photo"]])
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(2), StandardScaler(), RidgeCV(np.logspace(0, 4, 5))
    )
    mixed = KFold(4, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, features, cohorts.latent, cv=mixed)
    assert (r2_score(cohorts.latent, predicted, multioutput="raw_values") > 0.85).all()


def test_colours_of_photos_tell_the_clinic(cohorts):
    rows = np.arange(0, len(cohorts.data), 4)
    colours = [np.asarray(Image.open(p)).mean((0, 1)) for p in cohorts.data["photo"].iloc[rows]]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(model, colours, cohorts.data["cohort"].iloc[rows], cv=4).mean() > 0.6


def test_photos_are_colour_files_of_the_wanted_size(cohorts):
    with Image.open(cohorts.data["photo"][0]) as image:
        assert image.size == (32, 32)
        assert image.mode == "RGB"
    assert cohorts.data["photo"].is_unique


def test_narrowing_thins_vessels_and_leakage_adds_spots():
    def draw(latent: list[float], seed: int) -> np.ndarray:
        return draw_retina(np.array(latent), PLAIN, 64, np.random.default_rng(seed))[..., 1]

    for seed in range(20):
        assert draw([2, 0], seed).mean() > draw([-2, 0], seed).mean()  # vessels are dark
        assert draw([0, 2], seed).mean() > draw([0, -2], seed).mean()  # spots are light


def test_retina_of_extreme_latent_is_still_an_image():
    for extreme in ([40.0, 40.0], [-40.0, -40.0]):
        pixels = draw_retina(np.array(extreme), PLAIN, 32, np.random.default_rng(0))
        assert pixels.dtype == np.uint8
        assert pixels.shape == (32, 32, 3)
        assert pixels.std() > 20
