"""CITab fine-tuned on columns of any names, and the columns that are no features."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from tabimg import CITabPretrainer

Frames = dict[str, pd.DataFrame]

pytestmark = pytest.mark.usefixtures("few_folds")


@pytest.mark.parametrize("finetune", ["auto", "full", "frozen", "gradual"])
def test_frozen_source_serves_every_mode_and_stays_as_it_is(
    finetune: str, citab_of_two: CITabPretrainer, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    before = pickle.dumps(citab_of_two)
    frozen = FrozenEstimator(citab_of_two)
    regressor = make.citab_regressor(pretrainer=frozen, finetune=finetune).fit(table, target)
    assert np.isfinite(regressor.predict(table)).all()
    assert np.corrcoef(regressor.predict(table), target)[0, 1] > 0.5
    assert pickle.dumps(citab_of_two) == before
    assert regressor.pretrainer_ is citab_of_two


def test_fine_tuning_starts_from_the_pre_trained_weights(
    citab_of_two: CITabPretrainer, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(citab_of_two), finetune="frozen")
    arrays = regressor.fit(table, target).members_[0].model.module.arrays
    encoder = {k.removeprefix("encoder."): v for k, v in arrays.items() if k.startswith("encoder.")}
    assert {name.split(".")[0] for name in encoder} == {"cells", "transformer"}
    for name, array in encoder.items():
        np.testing.assert_array_equal(array, citab_of_two.network_.arrays[name])


def test_embedding_of_a_known_cohort_is_that_of_the_pretrainer(
    with_vectors: pd.DataFrame, make: Any, target: np.ndarray
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "photo"]]
    source = make.citab().fit(north)
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(source)).fit(north, target[:24])
    encoded = regressor._encode(north.drop(columns="photo"))
    embedding = regressor._blocks(encoded)["embedding"]
    np.testing.assert_allclose(embedding, source.transform(north), atol=1e-6)


def test_new_columns_go_through_fit_and_are_told(
    citab_of_two: CITabPretrainer, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    renamed = table.rename(columns={"width": "Width", "pressure": "BathPressure"})
    classifier = make.citab_classifier(pretrainer=FrozenEstimator(citab_of_two), finetune="full")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.fit(renamed, labels)
    assert list(classifier.nearest_headers_) == ["Width", "BathPressure"]
    assert classifier.nearest_headers_["Width"] == ("width", pytest.approx(1.0))
    header, cosine = classifier.nearest_headers_["BathPressure"]
    assert header == "pressure" and 0.3 < cosine < 1.0
    assert classifier.predict_proba(renamed).shape == (40, 3)
    n_weights = sum(a.size for a in classifier.members_[0].model.module.arrays.values())
    more = classifier.fit(renamed.assign(grade="x", noise=np.arange(40.0)), labels)
    head = 3 * (2 + 2)  # a number and its flags, or its categories
    assert (
        sum(a.size for a in more.members_[0].model.module.arrays.values()) <= n_weights + 2 * head
    )


def test_from_scratch_takes_any_columns_too(
    table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    classifier = make.citab_classifier().fit(table, labels)
    assert classifier.pretrainer_ is None and classifier.nearest_headers_ == {}
    assert set(classifier.weights_) == {"columns", "random_forest", "extra_trees", "network"}
    for params, message in (
        ({"n_heads": 3}, "n_heads must divide dim"),
        ({"header_encoder": "ngram"}, "did you mean 'ngrams'"),
        ({"predict_modality": "photo"}, "predict_modality must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            make.citab_classifier(**params).fit(table, labels)


def test_categories_of_pre_training_have_a_code(
    citab_of_two: CITabPretrainer, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    glass = table.assign(support="glass")
    classifier = make.citab_classifier(pretrainer=FrozenEstimator(citab_of_two), finetune="frozen")
    classifier.fit(glass, labels)
    assert classifier.codec_.categories == [["glass", "paper", "steel"]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steel = classifier.predict_proba(table.assign(support="steel"))
    assert np.isfinite(steel).all()


def test_other_spelling_of_a_category_is_read_and_told_but_no_other_word_is(
    citab_of_two: CITabPretrainer, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    classifier = make.citab_classifier(pretrainer=FrozenEstimator(citab_of_two)).fit(table, labels)
    expected = classifier.predict_proba(table)
    loud = table.assign(support=table["support"].str.upper())
    with pytest.warns(
        UserWarning, match=r"read as the nearest ones: 'support': \{'GLASS': 'glass'"
    ):
        np.testing.assert_array_equal(classifier.predict_proba(loud), expected)
    with pytest.warns(UserWarning, match="no category of column 'support' was seen"):
        classifier.predict_proba(table.assign(support="fibreglass"))


def test_descriptions_of_the_target_cohort_join_those_of_the_pretrainer(
    with_vectors: pd.DataFrame, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    told = make.citab(cohort_column="clinic", column_descriptions={"mass": "systolic pressure"})
    source = FrozenEstimator(told.fit(with_vectors))
    renamed = table.rename(columns={"pressure": "v7"})
    plain = make.citab_regressor(pretrainer=source, finetune="frozen").fit(renamed, target)
    assert plain.nearest_headers_["v7"][1] < 0.5
    own = {"v7": "systolic pressure"}
    described = clone(plain).set_params(column_descriptions=own).fit(renamed, target)
    assert "v7" not in described.nearest_headers_
    close = clone(plain).set_params(column_descriptions={"v7": "Systolic Pressures"})
    assert close.fit(renamed, target).nearest_headers_["v7"][0] == "systolic pressure"
    with pytest.raises(ValueError, match=r"describes 'v77', which is not a column.*'v7'"):
        clone(plain).set_params(column_descriptions={"v77": "x"}).fit(renamed, target)


@pytest.mark.parametrize("name", ["", " "])
def test_column_without_a_name_is_refused(
    name: str, citab_of_two: CITabPretrainer, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    nameless = table.rename(columns={"width": name})
    for pretrainer in (None, FrozenEstimator(citab_of_two)):
        with pytest.raises(ValueError, match="at position 0 has no name"):
            make.citab_regressor(pretrainer=pretrainer).fit(nameless, target)


def test_row_alone_and_in_a_batch_predict_the_same(
    citab_of_one: CITabPretrainer, vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(citab_of_one), finetune="full")
    regressor.fit(vectors, target)
    for modality in ("table", "image", "both", "auto"):
        regressor.set_params(predict_modality=modality)
        together = regressor.predict(vectors)
        for row in (0, 3, 39):
            alone = regressor.predict(vectors.iloc[[row]])
            np.testing.assert_allclose(alone[0], together[row], rtol=1e-6)
        backwards = regressor.predict(vectors[::-1])[::-1]
        np.testing.assert_allclose(backwards, together, rtol=1e-6)


# --- columns that are no features ----------------------------------------------------------------


def test_cohort_and_group_columns_are_no_features(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "clinic", "photo"]]
    north = north.assign(patient=np.arange(24) // 2)
    for pretrainer in (FrozenEstimator(citab_of_two), make.citab(), None):
        regressor = make.citab_regressor(
            pretrainer=pretrainer,
            image_column=["photo"],
            cohort_column="clinic",
            group_column="patient",
            finetune="full",
        ).fit(north, target[:24])
        assert regressor.image_column == ["photo"]
        assert list(regressor.feature_names_in_) == ["width", "pressure", "support"]
        if regressor.pretrainer_ not in (None, citab_of_two):
            assert list(regressor.pretrainer_.feature_names_in_) == ["width", "pressure", "support"]
        expected = regressor.predict(north)
        np.testing.assert_array_equal(regressor.predict(north.drop(columns="clinic")), expected)
        bare = north[["width", "pressure", "support"]]
        np.testing.assert_array_equal(regressor.predict(bare), expected)


def test_column_that_was_declared_here_must_be_there(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="cohort_column='clinic' is not a column of X"):
        make.citab_regressor(cohort_column="clinic").fit(table, target)


def test_description_of_a_column_that_is_not_there_is_told_before_pre_training(
    frame: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.citab(image_loader=photo_log.loader)
    regressor = make.citab_regressor(pretrainer=pre, column_descriptions={"widht": "breadth"})
    with pytest.raises(ValueError, match=r"describes 'widht'.*mean 'width'"):
        regressor.fit(frame, target)
    assert photo_log.names() == []


def test_mapping_of_cohorts_is_refused(cohorts: Frames, target: np.ndarray, make: Any) -> None:
    with pytest.raises(TypeError, match=r"one cohort is fitted.*unlabeled=Unlabeled"):
        make.citab_regressor().fit(cohorts, target)


def test_several_cohorts_at_once_are_told(
    stacked: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(cohort_column="clinic", image_column="photo", finetune="full")
    with pytest.warns(UserWarning, match=r"X holds 2 cohorts, \['north', 'south'\].*unlabeled="):
        regressor.fit(stacked, target)
    assert np.isfinite(regressor.predict(stacked)).all()
