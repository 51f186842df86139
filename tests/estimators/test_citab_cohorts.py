"""Cohorts that CITab has never seen, odd ones, and what is probably meant otherwise."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tabimg import CITabPretrainer, Unlabeled

Frames = dict[str, pd.DataFrame]


# --- new cohorts, new columns --------------------------------------------------------------------


@pytest.fixture
def west() -> pd.DataFrame:
    return pd.DataFrame({"Width_MM": [4.0, 6.0], "support material": ["glass", "wood"]})


def test_new_cohort_is_refused_with_what_its_headers_are_nearest_to(
    citab_of_two: CITabPretrainer, west: pd.DataFrame
) -> None:
    message = (
        r"a cohort that fit did not see, 'west' \(known are \['north', 'south'\]\)"
        r".*'Width_MM' \(nearest known: 'width', similarity 0\.\d\d\)"
        r".*nearest known: 'SupportMaterial', similarity 1\.00\).*on_new_columns='embed'"
    )
    for given in (west.assign(clinic="west"), {"west": west}):
        with pytest.raises(ValueError, match=message):
            citab_of_two.transform(given)


def test_new_cohort_is_embedded_by_its_headers_on_demand(
    citab_of_two: CITabPretrainer, west: pd.DataFrame, with_vectors: pd.DataFrame
) -> None:
    citab_of_two.set_params(on_new_columns="embed")
    texts = list(citab_of_two.vectors_.texts)
    with pytest.warns(UserWarning, match=r"embedded by their headers: .*'west'.*'Width_MM'"):
        found = citab_of_two.transform({"west": west})
    assert found.shape == (2, 8) and np.isfinite(found).all()
    assert citab_of_two.vectors_.texts == texts
    with pytest.warns(UserWarning, match="'west'"):
        both = citab_of_two.transform({"south": with_vectors[24:], "west": west})
    np.testing.assert_allclose(both[16:], found, atol=1e-6)
    with pytest.warns(UserWarning, match="'west'"):
        alone = citab_of_two.transform({"west": west[1:]})
    np.testing.assert_allclose(alone[0], found[1], atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        citab_of_two.transform(with_vectors)


def test_synonymous_cohort_is_embedded_as_the_known_one(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    citab_of_two.set_params(on_new_columns="embed")
    north = with_vectors[:24]
    renamed = north[["width", "pressure", "support"]].rename(columns=str.upper)
    with pytest.warns(UserWarning, match=r"'WIDTH' \(nearest known: 'width', similarity 1\.00\)"):
        found = citab_of_two.transform({"north again": renamed})
    np.testing.assert_allclose(found, citab_of_two.transform(north), atol=1e-5)


def test_new_columns_of_a_known_cohort_are_named(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    more = with_vectors.assign(Pressures=5.0)
    with pytest.raises(ValueError, match=r"cohort 'north' did not have in fit: 'Pressures' \(near"):
        citab_of_two.transform(more)
    np.testing.assert_array_equal(
        citab_of_two.transform(with_vectors.assign(Pressures=np.nan)),
        citab_of_two.transform(with_vectors),
    )
    with pytest.warns(UserWarning, match=r"'Pressures' \(nearest known: 'pressure'"):
        found = citab_of_two.set_params(on_new_columns="embed").transform(more)
    assert not np.allclose(found, citab_of_two.transform(with_vectors))


def test_columns_that_a_known_cohort_lacks_are_named(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    north = with_vectors[:24]
    with pytest.raises(ValueError, match=r"cohort 'north' without its columns \['pressure'\]"):
        citab_of_two.transform(north.drop(columns="pressure"))
    empty = citab_of_two.transform(north.assign(pressure=np.nan))
    citab_of_two.set_params(on_new_columns="embed")
    with pytest.warns(UserWarning, match=r"cohort 'north' without its columns \['pressure'\]"):
        lacking = citab_of_two.transform(north.drop(columns="pressure"))
    np.testing.assert_array_equal(lacking, empty)


def test_rows_that_name_no_cohort_are_told_how_to(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame, cohorts: Frames, make: Any
) -> None:
    plain = with_vectors.drop(columns="clinic")
    with pytest.raises(ValueError, match=r"name no cohort .*add the column 'clinic'"):
        citab_of_two.transform(plain)
    with pytest.raises(ValueError, match=r"bare ndarray.*give a DataFrame"):
        citab_of_two.transform(np.zeros((3, 3)))
    by_mapping = make.citab(lambda_itc=0, lambda_itm=0, lambda_mtr=1).fit(cohorts)
    with pytest.raises(ValueError, match=r"name no cohort .*give a mapping of cohort to frame"):
        by_mapping.transform(cohorts["north"])


def test_single_cohort_needs_no_name_but_is_not_taken_for_another(
    with_vectors: pd.DataFrame, make: Any
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "photo", "clinic"]]
    pretrainer = make.citab(cohort_column="clinic").fit(north)
    expected = pretrainer.transform(north)
    np.testing.assert_array_equal(pretrainer.transform(north.drop(columns="clinic")), expected)
    with pytest.raises(ValueError, match="fit did not see, 'west'"):
        pretrainer.transform(north.assign(clinic="west"))
    with pytest.raises(ValueError, match="feature names"):
        pretrainer.transform(north.rename(columns={"width": "height"}))
    plain = make.citab().fit(north.drop(columns="clinic"))
    np.testing.assert_array_equal(plain.transform(north.drop(columns="clinic")), expected)
    np.testing.assert_array_equal(plain.transform({"any": north.drop(columns="clinic")}), expected)


def test_unseen_categories_have_the_meaning_of_their_text(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    def embed(category: str | None) -> np.ndarray:
        return citab_of_two.transform(with_vectors[:24].assign(support=category))

    np.testing.assert_allclose(embed("GLASS"), embed("glass"), atol=1e-6)
    assert not np.allclose(embed("wood"), embed("glass"), atol=1e-3)
    assert not np.allclose(embed("wood"), embed(None), atol=1e-3)


def test_column_of_another_kind_is_refused(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match=r"'pressure' was numeric in fit but is categorical now"):
        citab_of_two.transform(with_vectors[:24].assign(pressure="much"))


# --- odd cohorts ---------------------------------------------------------------------------------


def test_cohorts_of_very_different_sizes_are_trained_together(make: Any) -> None:
    rng = np.random.default_rng(0)

    def cohort(n_rows: int, *names: str) -> pd.DataFrame:
        columns = {name: rng.standard_normal(n_rows) for name in names}
        return pd.DataFrame(columns).assign(photo=list(rng.standard_normal((n_rows, 4))))

    frames = {"small": cohort(10, "age", "bmi"), "large": cohort(2000, "Age", "height", "sbp")}
    pretrainer = make.citab(batch_size=256).fit(frames)
    assert np.isfinite(pretrainer.transform(frames)).all()
    assert all(np.isfinite(list(epoch.values())).all() for epoch in pretrainer.history_)


@pytest.mark.parametrize(
    "other",
    [
        pd.DataFrame({"only": [1.0, 2.0, 5.0]}),
        pd.DataFrame({"only": ["a", "b", "a"]}),
        pd.DataFrame({"single": [1.0], "row": ["x"]}),
        pd.DataFrame({"width": [1.0, 2.0], "pressure": [3, 4], "support": ["glass", None]}),
        pd.DataFrame({"constant": [1.0, 1.0], "word": ["x", "x"]}),
        pd.DataFrame({"empty": [np.nan, np.nan], "word": ["x", "y"]}),
    ],
    ids=["one number", "one category", "one row", "same columns", "constant", "empty column"],
)
def test_odd_cohort_trains_beside_another(other: pd.DataFrame, cohorts: Frames, make: Any) -> None:
    frames = {"north": cohorts["north"].drop(columns="photo"), "odd": other}
    pretrainer = make.citab(image_column=None, validation_fraction=None).fit(frames)
    found = pretrainer.transform(frames)
    assert found.shape == (24 + len(other), 8) and np.isfinite(found).all()
    assert pretrainer.codec_.names == ("north", "odd")


def test_two_cohorts_with_the_same_number_of_columns_are_told_apart(make: Any) -> None:
    rng = np.random.default_rng(0)
    first = pd.DataFrame({"age": rng.normal(50, 9, 20), "bmi": rng.normal(25, 3, 20)})
    second = first.rename(columns={"age": "height", "bmi": "weight"})
    pretrainer = make.citab(image_column=None).fit({"a": first, "b": second})
    found = pretrainer.transform({"a": first, "b": second})
    assert not np.allclose(found[:20], found[20:], atol=1e-3)
    with pytest.raises(ValueError, match=r"'a' did not have in fit: 'height'"):
        pretrainer.transform({"a": second})


def test_cohort_without_any_cell_is_named(cohorts: Frames, make: Any) -> None:
    blank = cohorts["south"][["mass", "width"]] * np.nan
    with pytest.raises(ValueError, match="cohort 'south': Every cell of the table is missing"):
        make.citab().fit({"north": cohorts["north"], "south": blank})


@pytest.mark.parametrize("name", ["", "  ", None])
def test_column_without_a_name_is_refused_before_any_photo_is_read(
    name: Any, cohorts: Frames, photo_log: Any, make: Any
) -> None:
    south = cohorts["south"].rename(columns={"mass": name})
    if name is None:
        south.columns = [None if c is None or c != c else c for c in south.columns]
    with pytest.raises((ValueError, TypeError)) as caught:
        make.citab(image_loader=photo_log.loader).fit({"north": cohorts["north"], "south": south})
    assert photo_log.names() == []
    if name is not None:
        assert str(caught.value).startswith(f"cohort 'south': column {name!r} at position 2 has no")


def test_column_without_a_name_may_be_described(cohorts: Frames, make: Any) -> None:
    south = cohorts["south"].rename(columns={"mass": ""})
    frames = {"north": cohorts["north"], "south": south}
    named = make.citab(column_descriptions={"": "mass"}).fit(frames)
    plain = make.citab().fit(cohorts)
    np.testing.assert_allclose(
        named.transform(frames)[:24], plain.transform(cohorts)[:24], atol=1e-6
    )


def test_names_that_are_numbers_serve_alone_but_not_beside_text(cohorts: Frames, make: Any) -> None:
    numbered = [frame.drop(columns="photo") for frame in cohorts.values()]
    numbered = [frame.set_axis(range(frame.shape[1]), axis=1) for frame in numbered]
    frames = dict(zip("ab", numbered, strict=True))
    pretrainer = make.citab(image_column=None).fit(frames)
    assert pretrainer.n_features_in_ == 4 and not hasattr(pretrainer, "feature_names_in_")
    assert np.isfinite(pretrainer.transform(frames)).all()
    mixed = {"a": numbered[0], "b": cohorts["south"].drop(columns="photo")}
    with pytest.raises(TypeError, match="string"):
        make.citab(image_column=None).fit(mixed)


def test_names_of_one_reading_are_two_columns(make: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"Heart Rate": rng.random(20), "heart_rate": rng.random(20)})
    pretrainer = make.citab(image_column=None).fit({"a": frame, "b": frame[["heart_rate"]]})
    swapped = frame[frame.columns[::-1]]
    np.testing.assert_array_equal(
        pretrainer.transform({"a": swapped}), pretrainer.transform({"a": frame})
    )
    exchanged = frame.set_axis(["heart_rate", "Heart Rate"], axis=1)
    assert not np.allclose(
        pretrainer.transform({"a": exchanged}), pretrainer.transform({"a": frame}), atol=1e-4
    )


def test_transform_without_rows_is_refused(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        citab_of_two.transform(with_vectors[:0])
    some = citab_of_two.transform({"north": with_vectors[:24], "south": with_vectors[:0]})
    np.testing.assert_array_equal(some, citab_of_two.transform(with_vectors[:24]))


# --- what is probably meant otherwise ------------------------------------------------------------


def test_group_column_that_no_cohort_has_is_refused(cohorts: Frames, make: Any) -> None:
    grouped = {name: frame.assign(patient=1) for name, frame in cohorts.items()}
    with pytest.raises(ValueError, match=r"group_column='pateint' is not a column of any cohort"):
        make.citab(group_column="pateint").fit(grouped)


def test_unlabeled_rows_without_a_column_of_their_cohort_are_refused(
    cohorts: Frames, make: Any
) -> None:
    other = cohorts["south"].drop(columns="width")
    with pytest.raises(ValueError, match=r"cohort 'table' have none of its columns .*a mapping"):
        make.citab().fit(cohorts["north"], unlabeled=Unlabeled(other))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a mapping of cohorts without any cohort"),
        ([pd.DataFrame({"a": [1.0]})], "a list of frames: give a mapping"),
    ],
)
def test_container_without_named_cohorts_is_refused(given: Any, message: str, make: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make.citab().fit(given)


def test_weights_by_cohort_are_refused(cohorts: Frames, make: Any) -> None:
    weights = {name: np.ones(len(frame)) for name, frame in cohorts.items()}
    with pytest.raises(TypeError, match="one array over the rows of all cohorts"):
        make.citab().fit(cohorts, sample_weight=weights)


def test_column_cannot_be_declared_twice(stacked: pd.DataFrame, make: Any) -> None:
    for name in ("cohort_column", "group_column"):
        with pytest.raises(ValueError, match="column 'photo' is declared twice"):
            make.citab(**{name: "photo"}).fit(stacked)


def test_frame_that_names_its_cohort_otherwise_than_the_mapping_is_refused(
    cohorts: Frames, make: Any
) -> None:
    contrary = {**cohorts, "south": cohorts["south"].assign(clinic="north")}
    with pytest.raises(ValueError, match="frame of cohort 'south' calls its rows 'north'"):
        make.citab(cohort_column="clinic").fit(contrary)


def test_header_that_stands_twice_at_transform_is_refused(
    citab_of_two: CITabPretrainer, cohorts: Frames
) -> None:
    north = cohorts["north"]
    twice = pd.concat([north, north[["width"]]], axis=1)
    with pytest.raises(ValueError, match=r"cohort 'north': .*more than one column named 'width'"):
        citab_of_two.transform({"north": twice})


def test_mistyped_cohort_is_told_what_may_be_meant(
    citab_of_two: CITabPretrainer, cohorts: Frames
) -> None:
    with pytest.raises(ValueError, match=r"did you mean 'north'.*all of whose columns are known"):
        citab_of_two.transform({"nort": cohorts["north"]})


def test_column_of_another_kind_names_its_cohort(
    citab_of_two: CITabPretrainer, cohorts: Frames
) -> None:
    words = {**cohorts, "south": cohorts["south"].assign(mass="much")}
    with pytest.raises(ValueError, match=r"cohort 'south': .*'mass'"):
        citab_of_two.transform(words)


@pytest.mark.parametrize("order", [("upper", "lower"), ("lower", "upper")])
def test_new_cohort_is_scaled_by_the_very_header_before_other_spellings(
    order: tuple[str, str], make: Any
) -> None:
    rng = np.random.default_rng(0)
    cohorts = {
        "lower": pd.DataFrame({"sbp": rng.normal(16, 2, 40), "age": rng.normal(60, 10, 40)}),
        "upper": pd.DataFrame({"SBP": rng.normal(120, 15, 40), "Age": rng.normal(720, 120, 40)}),
    }
    pre = make.citab(image_column=None, on_new_columns="embed")
    pre.fit({name: cohorts[name] for name in order})
    with pytest.warns(UserWarning, match="embedded by their headers"):
        found = pre.transform({"new": cohorts["upper"]})
    np.testing.assert_allclose(found, pre.transform({"upper": cohorts["upper"]}), atol=1e-5)


def test_frame_of_a_mapping_keeps_the_index(citab_of_two: CITabPretrainer, cohorts: Frames) -> None:
    later = {name: frame.set_axis(frame.index + 100) for name, frame in cohorts.items()}
    expected = citab_of_two.transform(later)
    found = copy.deepcopy(citab_of_two).set_output(transform="pandas").transform(later)
    assert found.index.tolist() == [*later["north"].index, *later["south"].index]
    assert found.columns[0] == "citabpretrainer0"
    np.testing.assert_array_equal(found.to_numpy(), expected)


def test_cohorts_that_teach_nothing_are_told(with_vectors: pd.DataFrame, make: Any) -> None:
    without = with_vectors.copy()
    without.loc[24:, "photo"] = None
    pre = make.citab(cohort_column="clinic")
    with pytest.warns(UserWarning, match=r"nothing is learned from the rows of \['south'\]"):
        pre.fit(without)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(pre).set_params(lambda_mtr=1.0).fit(without)
    alone = with_vectors.assign(clinic=np.arange(40))
    with pytest.raises(ValueError, match="none of the 40 cohorts has two photos to compare"):
        clone(pre).fit(alone)
