"""Fine-tuning on any columns, and predicting from the table, the photo or both."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_validate
from skorch.callbacks import Callback

import tabimg
from tabimg import CITabClassifier, CITabPretrainer, CITabRegressor, Unlabeled
from tabimg.image import ImageReadError
from tabimg.nn.resnet import ResNet
from tabimg.serialization import qualified_name

Make = Callable[..., CITabPretrainer]
MakeRegressor = Callable[..., CITabRegressor]
MakeClassifier = Callable[..., CITabClassifier]
Frames = dict[str, pd.DataFrame]


pytestmark = pytest.mark.usefixtures("few_folds")


@pytest.fixture
def vectors(frame: pd.DataFrame, target: np.ndarray) -> pd.DataFrame:
    """One cohort with vectors in place of photos, which show the target."""
    noise = np.random.default_rng(8).standard_normal((40, 5))
    shown = np.column_stack([target, noise])
    return frame.assign(photo=pd.Series(list(shown), dtype=object))


@pytest.fixture
def source(with_vectors: pd.DataFrame, make_citab: Make) -> CITabPretrainer:
    """A pretrainer fitted on two cohorts, with vectors in place of photos."""
    return make_citab(cohort_column="clinic").fit(with_vectors)


@pytest.fixture
def one(vectors: pd.DataFrame, make_citab: Make) -> CITabPretrainer:
    """A pretrainer fitted on one cohort, with vectors in place of photos."""
    return make_citab().fit(vectors)


# --- any columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize("finetune", ["auto", "full", "frozen", "gradual"])
def test_frozen_source_serves_every_mode_and_stays_as_it_is(
    finetune: str,
    source: CITabPretrainer,
    table: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    before = pickle.dumps(source)
    frozen = FrozenEstimator(source)
    regressor = make_citab_regressor(pretrainer=frozen, finetune=finetune).fit(table, target)
    assert np.isfinite(regressor.predict(table)).all()
    assert np.corrcoef(regressor.predict(table), target)[0, 1] > 0.5
    assert pickle.dumps(source) == before
    assert regressor.pretrainer_ is source


def test_fine_tuning_starts_from_the_pre_trained_weights(
    source: CITabPretrainer,
    table: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(source), finetune="frozen")
    arrays = regressor.fit(table, target).members_[0].model.module.arrays
    encoder = {k.removeprefix("encoder."): v for k, v in arrays.items() if k.startswith("encoder.")}
    assert {name.split(".")[0] for name in encoder} == {"cells", "transformer"}
    for name, array in encoder.items():
        np.testing.assert_array_equal(array, source.network_.arrays[name])


def test_embedding_of_a_known_cohort_is_that_of_the_pretrainer(
    with_vectors: pd.DataFrame,
    make_citab: Make,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "photo"]]
    source = make_citab().fit(north)
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(source)).fit(north, target[:24])
    encoded = regressor._encode(north)
    np.testing.assert_allclose(regressor._embed(encoded), source.transform(north), atol=1e-6)


def test_new_columns_go_through_fit_and_are_told(
    source: CITabPretrainer,
    target: np.ndarray,
    table: pd.DataFrame,
    labels: np.ndarray,
    make_citab_classifier: MakeClassifier,
) -> None:
    renamed = table.rename(columns={"width": "Width", "pressure": "BathPressure"})
    classifier = make_citab_classifier(pretrainer=FrozenEstimator(source), finetune="full")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.fit(renamed, labels)
    assert list(classifier.nearest_headers_) == ["Width", "BathPressure"]
    assert classifier.nearest_headers_["Width"] == ("width", pytest.approx(1.0))
    header, cosine = classifier.nearest_headers_["BathPressure"]
    assert header == "pressure" and 0.3 < cosine < 1.0
    assert classifier.predict_proba(renamed).shape == (40, 3)
    n_weights = sum(a.size for a in classifier.members_[0].model.module.arrays.values())
    more = classifier.fit(renamed.assign(grade="x", noise=target), labels)
    head = 3 * (2 + 2)  # a number and its flags, or its categories
    assert (
        sum(a.size for a in more.members_[0].model.module.arrays.values()) <= n_weights + 2 * head
    )


def test_from_scratch_takes_any_columns_too(
    table: pd.DataFrame, labels: np.ndarray, make_citab_classifier: MakeClassifier
) -> None:
    classifier = make_citab_classifier().fit(table, labels)
    assert classifier.pretrainer_ is None and classifier.nearest_headers_ == {}
    assert set(classifier.weights_) == {"columns", "random_forest", "extra_trees", "network"}
    for params, message in (
        ({"n_heads": 3}, "n_heads must divide dim"),
        ({"header_encoder": "ngram"}, "did you mean 'ngrams'"),
        ({"predict_modality": "photo"}, "predict_modality must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            make_citab_classifier(**params).fit(table, labels)


def test_categories_of_pre_training_have_a_code(
    source: CITabPretrainer,
    table: pd.DataFrame,
    labels: np.ndarray,
    make_citab_classifier: MakeClassifier,
) -> None:
    glass = table.assign(support="glass")
    classifier = make_citab_classifier(pretrainer=FrozenEstimator(source), finetune="frozen")
    classifier.fit(glass, labels)
    assert classifier.codec_.categories == [["glass", "paper", "steel"]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steel = classifier.predict_proba(table.assign(support="steel"))
    assert np.isfinite(steel).all()


def test_other_spelling_of_a_category_is_read_and_told_but_no_other_word_is(
    source: CITabPretrainer,
    table: pd.DataFrame,
    labels: np.ndarray,
    make_citab_classifier: MakeClassifier,
) -> None:
    classifier = make_citab_classifier(pretrainer=FrozenEstimator(source)).fit(table, labels)
    expected = classifier.predict_proba(table)
    loud = table.assign(support=table["support"].str.upper())
    with pytest.warns(
        UserWarning, match=r"read as the nearest ones: 'support': \{'GLASS': 'glass'"
    ):
        np.testing.assert_array_equal(classifier.predict_proba(loud), expected)
    with pytest.warns(UserWarning, match="no category of column 'support' was seen"):
        classifier.predict_proba(table.assign(support="fibreglass"))


def test_descriptions_of_the_target_cohort_join_those_of_the_pretrainer(
    with_vectors: pd.DataFrame,
    table: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    told = make_citab(cohort_column="clinic", column_descriptions={"mass": "systolic pressure"})
    source = FrozenEstimator(told.fit(with_vectors))
    renamed = table.rename(columns={"pressure": "v7"})
    plain = make_citab_regressor(pretrainer=source, finetune="frozen").fit(renamed, target)
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
    name: str,
    source: CITabPretrainer,
    table: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    nameless = table.rename(columns={"width": name})
    for pretrainer in (None, FrozenEstimator(source)):
        with pytest.raises(ValueError, match="at position 0 has no name"):
            make_citab_regressor(pretrainer=pretrainer).fit(nameless, target)


def test_row_alone_and_in_a_batch_predict_the_same(
    one: CITabPretrainer,
    vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(one), finetune="full")
    regressor.fit(vectors, target)
    for modality in ("table", "image", "both", "auto"):
        regressor.set_params(predict_modality=modality)
        together = regressor.predict(vectors)
        for row in (0, 3, 39):
            alone = regressor.predict(vectors.iloc[[row]])
            np.testing.assert_allclose(alone[0], together[row], rtol=1e-6)
        backwards = regressor.predict(vectors[::-1])[::-1]
        np.testing.assert_allclose(backwards, together, rtol=1e-6)


def test_polars_frame_predicts_as_a_pandas_frame(
    source: CITabPretrainer,
    table: pd.DataFrame,
    labels: np.ndarray,
    make_citab_classifier: MakeClassifier,
) -> None:
    classifier = make_citab_classifier(pretrainer=FrozenEstimator(source), finetune="full")
    expected = clone(classifier).fit(table, labels).predict_proba(table)
    polars = pl.from_pandas(table, nan_to_null=True)
    np.testing.assert_array_equal(classifier.fit(polars, labels).predict_proba(polars), expected)


# --- where the encoder comes from ----------------------------------------------------------------


def test_unfitted_pretrainer_inside_is_fitted_on_all_cohorts(
    with_vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
    weights: Any,
    assert_equal_weights: Any,
) -> None:
    pre = make_citab(cohort_column="clinic")
    whole = weights(clone(pre).fit(with_vectors))
    north, south = with_vectors[:24], with_vectors[24:]
    regressor = make_citab_regressor(pretrainer=pre, finetune="frozen")
    for unlabeled in (Unlabeled(south), Unlabeled({"south": south})):
        regressor.fit(north, target[:24], unlabeled=unlabeled)
        assert_equal_weights(weights(regressor.pretrainer_), whole)
        assert regressor.pretrainer_.codec_.names == ("north", "south")
        assert regressor.nearest_headers_ == {}
    assert not hasattr(pre, "network_")


def test_fitted_pretrainer_that_is_not_frozen_is_not_lost_silently(
    source: CITabPretrainer,
    with_vectors: pd.DataFrame,
    table: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(pretrainer=source, finetune="frozen")
    with pytest.warns(UserWarning, match="FrozenEstimator"):
        regressor.fit(with_vectors[:24], target[:24])
    with pytest.raises(ValueError, match="FrozenEstimator"):
        regressor.fit(table, target)


def test_directory_serves_as_a_frozen_pretrainer(
    table: pd.DataFrame,
    target: np.ndarray,
    tmp_path: Path,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    pre = make_citab(image_column=None, image_encoder="resnet18").fit(table)
    tabimg.save(pre, tmp_path / "cohorts")
    saved = make_citab_regressor(pretrainer=str(tmp_path / "cohorts"), finetune="frozen")
    live = make_citab_regressor(pretrainer=FrozenEstimator(pre), finetune="frozen")
    np.testing.assert_array_equal(
        saved.fit(table, target).predict(table), live.fit(table, target).predict(table)
    )


def test_own_word_on_special_columns_counts_beside_a_fitted_pretrainer(
    with_vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    patients = np.arange(40) // 2
    pre = make_citab(cohort_column="clinic", group_column="patient")
    source = FrozenEstimator(pre.fit(with_vectors.assign(patient=patients)))
    east = with_vectors[:24].rename(columns={"photo": "picture", "clinic": "site"})
    east = east.assign(person=patients[:24]).drop(columns=["mass", "photo_grade"])
    own = {"image_column": "picture", "group_column": "person", "cohort_column": "site"}
    regressor = make_citab_regressor(pretrainer=source, finetune="frozen", **own)
    regressor.fit(east, target[:24])
    assert not {"picture", "person", "site"} & set(regressor.feature_names_in_)
    found = regressor.predict(east)
    np.testing.assert_array_equal(regressor.predict(east.drop(columns=list(own.values()))), found)
    for name, value in own.items():
        wrong = clone(regressor).set_params(**{name: "nowhere"})
        with pytest.raises(ValueError, match=f"{name}='nowhere' is not a column"):
            wrong.fit(east, target[:24])
        both = clone(regressor).set_params(pretrainer=clone(pre), **{name: value})
        with pytest.raises(ValueError, match=r"fitted on the same frame, has .*set one of them"):
            both.fit(east, target[:24])


def test_array_beside_a_pretrainer_that_knows_columns_by_name_is_told(
    source: CITabPretrainer, target: np.ndarray, make_citab_regressor: MakeRegressor
) -> None:
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(source), finetune="frozen")
    with pytest.warns(UserWarning, match="X has no column names"):
        regressor.fit(np.random.default_rng(0).normal(size=(40, 3)), target)


def test_pretrainer_of_the_other_method_is_refused(
    table: pd.DataFrame,
    target: np.ndarray,
    make_pretrainer: Any,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
    make_regressor: Any,
) -> None:
    with pytest.raises(TypeError, match=r"a CITabPretrainer, .*got MultiModalPretrainer"):
        make_citab_regressor(pretrainer=make_pretrainer()).fit(table, target)
    with pytest.raises(TypeError, match=r"a MultiModalPretrainer, .*got CITabPretrainer"):
        make_regressor(pretrainer=make_citab()).fit(table, target)


def test_grid_search_reaches_the_pretrainer(
    vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(pretrainer=make_citab(), finetune="frozen", head="embedding")
    grid = {"pretrainer__lambda_itm": [0.0, 0.5]}
    search = GridSearchCV(regressor, grid, cv=2, error_score="raise").fit(vectors, target)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    best = search.best_estimator_.pretrainer_
    assert best.lambda_itm == search.best_params_["pretrainer__lambda_itm"]


def test_metadata_is_routed_to_the_pretrainer(
    with_vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    weight = np.linspace(0.0, 2.0, 24)
    north = with_vectors[:24]
    with sklearn.config_context(enable_metadata_routing=True):
        pre = make_citab(cohort_column="clinic").set_fit_request(
            sample_weight=True, unlabeled=True, image_paths=False
        )
        regressor = make_citab_regressor(pretrainer=pre, finetune="frozen")
        regressor.set_fit_request(sample_weight=True, unlabeled=True, image_paths=False)
        regressor.set_score_request(sample_weight=False)
        found = cross_validate(
            regressor,
            north,
            target[:24],
            cv=2,
            params={"sample_weight": weight, "unlabeled": Unlabeled(with_vectors[24:])},
            return_estimator=True,
            error_score="raise",
        )
        for estimator in found["estimator"]:
            assert estimator.pretrainer_.codec_.names == ("north", "south")
        regressor.fit(north, target[:24], sample_weight=weight)
    direct = make_citab(cohort_column="clinic").fit(north, sample_weight=weight)
    np.testing.assert_array_equal(regressor.pretrainer_.transform(north), direct.transform(north))


LOADED: list[str] = []


def load_and_note(path: str) -> np.ndarray:
    LOADED.append(path)
    return np.asarray(Image.open(path))


def test_memory_spares_the_second_pre_training_and_notices_other_photos(
    cohorts: Frames,
    target: np.ndarray,
    tmp_path: Path,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    north = cohorts["north"].assign(clinic="north")
    folder = Path(north["photo"].iloc[0]).parent
    north["photo"] = [Path(path).name for path in north["photo"]]
    pre = make_citab(
        cohort_column="clinic", image_root={"north": folder, "south": folder},
        image_loader=load_and_note, keep_image_encoder=False,
    )  # fmt: skip
    further = Unlabeled({"south": cohorts["south"]})
    regressor = make_citab_regressor(pretrainer=pre, finetune="frozen", memory=str(tmp_path))
    LOADED.clear()
    for _ in range(2):
        regressor.fit(north, target[:24], unlabeled=further)
        assert len(LOADED) == 40
    other = {"south": cohorts["south"].assign(photo=str(folder / "00.png"))}
    regressor.fit(north, target[:24], unlabeled=Unlabeled(other))
    assert len(LOADED) > 40


# --- columns that are no features ----------------------------------------------------------------


def test_cohort_and_group_columns_are_no_features(
    source: CITabPretrainer,
    with_vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "clinic", "photo"]]
    north = north.assign(patient=np.arange(24) // 2)
    for pretrainer in (FrozenEstimator(source), make_citab(), None):
        regressor = make_citab_regressor(
            pretrainer=pretrainer,
            image_column=["photo"],
            cohort_column="clinic",
            group_column="patient",
            finetune="full",
        ).fit(north, target[:24])
        assert regressor.image_column == ["photo"]
        assert list(regressor.feature_names_in_) == ["width", "pressure", "support"]
        if regressor.pretrainer_ not in (None, source):
            assert list(regressor.pretrainer_.feature_names_in_) == ["width", "pressure", "support"]
        expected = regressor.predict(north)
        np.testing.assert_array_equal(regressor.predict(north.drop(columns="clinic")), expected)
        bare = north[["width", "pressure", "support"]]
        np.testing.assert_array_equal(regressor.predict(bare), expected)


def test_column_that_was_declared_here_must_be_there(
    table: pd.DataFrame, target: np.ndarray, make_citab_regressor: MakeRegressor
) -> None:
    with pytest.raises(ValueError, match="cohort_column='clinic' is not a column of X"):
        make_citab_regressor(cohort_column="clinic").fit(table, target)


def test_description_of_a_column_that_is_not_there_is_told_before_pre_training(
    frame: pd.DataFrame,
    target: np.ndarray,
    photo_log: Any,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    pre = make_citab(image_loader=photo_log.loader)
    regressor = make_citab_regressor(pretrainer=pre, column_descriptions={"widht": "breadth"})
    with pytest.raises(ValueError, match=r"describes 'widht'.*mean 'width'"):
        regressor.fit(frame, target)
    assert photo_log.names() == []


def test_mapping_of_cohorts_is_refused(
    cohorts: Frames, target: np.ndarray, make_citab_regressor: MakeRegressor
) -> None:
    with pytest.raises(TypeError, match=r"one cohort is fitted.*unlabeled=Unlabeled"):
        make_citab_regressor().fit(cohorts, target)


def test_several_cohorts_at_once_are_told(
    stacked: pd.DataFrame, target: np.ndarray, make_citab_regressor: MakeRegressor
) -> None:
    regressor = make_citab_regressor(cohort_column="clinic", image_column="photo", finetune="full")
    with pytest.warns(UserWarning, match=r"X holds 2 cohorts, \['north', 'south'\].*unlabeled="):
        regressor.fit(stacked, target)
    assert np.isfinite(regressor.predict(stacked)).all()


# --- what is predicted from ----------------------------------------------------------------------


def test_one_estimator_predicts_from_table_photo_both_and_what_there_is(
    one: CITabPretrainer,
    vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(one)).fit(vectors, target)
    bare = vectors.drop(columns="photo")
    found = {}
    for modality in ("table", "image", "both", "auto"):
        found[modality] = regressor.set_params(predict_modality=modality).predict(vectors)
        assert found[modality].shape == (40,) and np.isfinite(found[modality]).all()
    assert set(regressor.photo_members_) == {"image", "both"}
    np.testing.assert_array_equal(found["auto"], found["both"])
    assert not np.allclose(found["table"], found["both"])
    # Photos show the target.
    assert np.corrcoef(found["image"], target)[0, 1] > 0.95
    np.testing.assert_array_equal(
        regressor.set_params(predict_modality="table").predict(bare), found["table"]
    )
    regressor.set_params(predict_modality="auto")
    np.testing.assert_array_equal(regressor.predict(bare), found["table"])
    some = vectors.copy()
    some["photo"] = [None if row % 2 else v for row, v in enumerate(some["photo"])]
    mixed = regressor.predict(some)
    np.testing.assert_allclose(mixed[::2], found["both"][::2], rtol=1e-6)
    np.testing.assert_allclose(mixed[1::2], found["table"][1::2], rtol=1e-6)
    for modality in ("image", "both"):
        regressor.set_params(predict_modality=modality)
        with pytest.raises(
            ValueError, match=r"in every row; 20 rows have none, the first is row 1"
        ):
            regressor.predict(some)
        with pytest.raises(ValueError, match="no row has any in image_column='photo'"):
            regressor.predict(bare)
    # Without a table the photo alone predicts, and a row without any cell is such a one.
    blank = vectors.assign(width=np.nan, pressure=np.nan, support=None)
    half = vectors.where((np.arange(40) % 2 == 0)[:, None] | (vectors.columns == "photo"))
    regressor.set_params(predict_modality="image")
    np.testing.assert_array_equal(regressor.predict(blank), found["image"])
    np.testing.assert_array_equal(regressor.predict(vectors[["photo"]]), found["image"])
    regressor.set_params(predict_modality="auto")
    mixed = regressor.predict(half)
    np.testing.assert_allclose(mixed[::2], found["both"][::2], rtol=1e-6)
    np.testing.assert_allclose(mixed[1::2], found["image"][1::2], rtol=1e-6)


def test_prediction_from_the_table_never_looks_at_photos(
    frame: pd.DataFrame,
    labels: np.ndarray,
    photo_log: Any,
    make_citab: Make,
    make_citab_classifier: MakeClassifier,
) -> None:
    pre = make_citab(image_loader=photo_log.loader)
    classifier = make_citab_classifier(pretrainer=pre, finetune="frozen").fit(frame, labels)
    n_read = len(photo_log.names())
    gone = frame.assign(photo="/nowhere/at/all.png")
    expected = classifier.predict_proba(frame)
    np.testing.assert_array_equal(classifier.predict_proba(gone), expected)
    np.testing.assert_array_equal(classifier.predict_proba(frame.drop(columns="photo")), expected)
    assert len(photo_log.names()) == n_read
    for modality in ("both", "auto", "image"):
        classifier.set_params(predict_modality=modality)
        with pytest.raises(tabimg.image.ImageReadError, match=r"rows 0, 1.*all\.png"):
            classifier.predict_proba(gone)
        probabilities = classifier.predict_proba(frame)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)
        assert not np.array_equal(probabilities, expected)


def test_fit_without_photos_predicts_from_the_table_and_says_why_nothing_else(
    one: CITabPretrainer,
    vectors: pd.DataFrame,
    table: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    without = make_citab(keep_image_encoder=False).fit(vectors)
    for pretrainer, X in ((one, table), (without, vectors), (None, table)):
        frozen = None if pretrainer is None else FrozenEstimator(pretrainer)
        regressor = make_citab_regressor(pretrainer=frozen, finetune="full").fit(X, target)
        assert regressor.photo_members_ == {}
        expected = regressor.predict(X)
        auto = regressor.set_params(predict_modality="auto")
        np.testing.assert_array_equal(auto.predict(X), expected)
        for modality in ("image", "both"):
            with pytest.raises(ValueError, match=f"'{modality}' needs a fit with photos"):
                regressor.set_params(predict_modality=modality).predict(X)


def test_photos_in_place_of_vectors_are_told(
    one: CITabPretrainer,
    vectors: pd.DataFrame,
    frame: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(one), finetune="frozen")
    regressor.fit(vectors, target).set_params(predict_modality="both")
    with pytest.raises(ValueError, match="was fitted on embedding vectors"):
        regressor.predict(frame)


def test_photos_of_one_class_alone_leave_probabilities(
    one: CITabPretrainer,
    vectors: pd.DataFrame,
    labels: np.ndarray,
    make_citab_classifier: MakeClassifier,
) -> None:
    some = vectors.copy()
    some["photo"] = [v if y == "high" else None for v, y in zip(some["photo"], labels, strict=True)]
    classifier = make_citab_classifier(pretrainer=FrozenEstimator(one), finetune="frozen")
    classifier.fit(some, labels).set_params(predict_modality="auto")
    found = classifier.predict_proba(some)
    assert found.shape == (40, 3) and np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-6)


def test_rows_of_weight_zero_are_as_good_as_absent_with_photos_too(
    one: CITabPretrainer,
    vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    kept = np.flatnonzero(np.arange(40) % 4 > 0)
    weight = np.isin(np.arange(40), kept).astype(float)
    regressor = make_citab_regressor(
        pretrainer=FrozenEstimator(one), finetune="frozen", predict_modality="both"
    )
    weighted = clone(regressor).fit(vectors, target, sample_weight=weight).predict(vectors)
    removed = clone(regressor).fit(vectors.iloc[kept], target[kept]).predict(vectors)
    np.testing.assert_allclose(weighted, removed, rtol=1e-6)


def test_photos_of_each_cohort_are_found_in_its_folder(
    cohorts: Frames, target: np.ndarray, make_citab: Make, make_citab_regressor: MakeRegressor
) -> None:
    folder = Path(cohorts["north"]["photo"].iloc[0]).parent
    relative = {
        name: frame.assign(clinic=name, photo=[Path(path).name for path in frame["photo"]])
        for name, frame in cohorts.items()
    }
    roots = {"north": folder, "south": folder}
    pre = make_citab(cohort_column="clinic", image_root=roots)
    source = FrozenEstimator(pre.fit(pd.concat(relative.values(), ignore_index=True)))
    regressor = make_citab_regressor(
        pretrainer=source, finetune="frozen", predict_modality="both"
    ).fit(relative["north"], target[:24])
    expected = regressor.predict(relative["north"])
    np.testing.assert_array_equal(regressor.predict(cohorts["north"]), expected)
    nameless = relative["north"].drop(columns="clinic")
    with pytest.raises(ValueError, match=r"nothing says which one these rows are"):
        regressor.predict(nameless)


def test_auto_takes_the_photo_alone_or_the_table_where_the_other_cannot_be_had(
    frame: pd.DataFrame,
    target: np.ndarray,
    tmp_path: Path,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    source = FrozenEstimator(make_citab(on_bad_image="skip").fit(frame))
    regressor = make_citab_regressor(pretrainer=source, finetune="frozen").fit(frame, target)
    by_table = regressor.predict(frame)
    by_image = regressor.set_params(predict_modality="image").predict(frame)
    auto = regressor.set_params(predict_modality="auto")
    by_both = auto.predict(frame)
    np.testing.assert_allclose(auto.predict(frame[["photo"]]), by_image, rtol=1e-6)
    broken = frame.copy()
    broken.loc[4, "photo"] = str(tmp_path / "nowhere.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = auto.predict(broken)
    np.testing.assert_allclose(found[4], by_table[4], rtol=1e-6)
    np.testing.assert_allclose(np.delete(found, 4), np.delete(by_both, 4), rtol=1e-6)
    with pytest.raises(ImageReadError, match=r"nowhere\.png"):
        auto.set_params(predict_modality="both").predict(broken)


# --- distillation --------------------------------------------------------------------------------


def test_unlabeled_rows_that_a_frozen_pretrainer_cannot_place_are_told(
    source: CITabPretrainer,
    with_vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "photo"]]
    south = with_vectors[24:][["mass", "photo_grade", "photo"]]
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(source))
    for unlabeled in (Unlabeled(south), Unlabeled({"north": north})):
        with pytest.warns(UserWarning, match="unlabeled rows are not used"):
            regressor.fit(north, target[:24], unlabeled=unlabeled)
        assert "distilled" not in regressor.weights_


def test_unlabeled_rows_of_the_same_cohort_are_distilled(
    source: CITabPretrainer,
    with_vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab_regressor: MakeRegressor,
) -> None:
    own = with_vectors[["width", "pressure", "support", "photo", "clinic"]]
    labelled, further = own[:12], pd.concat([own[12:24], with_vectors[24:]])
    regressor = make_citab_regressor(pretrainer=FrozenEstimator(source))
    by_frame = clone(regressor).fit(labelled, target[:12], unlabeled=Unlabeled(further))
    assert "distilled" in by_frame.weights_
    mapping = dict(iter(further.groupby("clinic")))
    by_mapping = clone(regressor).fit(labelled, target[:12], unlabeled=Unlabeled(mapping))
    np.testing.assert_array_equal(by_mapping.predict(own[:24]), by_frame.predict(own[:24]))
    others = Unlabeled({"south": with_vectors[24:]})
    without = clone(regressor).fit(labelled, target[:12], unlabeled=others)
    assert "distilled" not in without.weights_


# --- copies, warm start --------------------------------------------------------------------------


def through_directory(estimator: Any, folder: Path) -> Any:
    tabimg.save(estimator, folder / "saved")
    return tabimg.load(folder / "saved", {qualified_name(ResNet): ResNet})


def through_joblib(estimator: Any, folder: Path) -> Any:
    joblib.dump(estimator, folder / "saved.joblib")
    return joblib.load(folder / "saved.joblib")


@pytest.mark.parametrize(
    "way",
    [through_directory, through_joblib, lambda e, _: pickle.loads(pickle.dumps(e)),
     lambda e, _: copy.deepcopy(e)],
)  # fmt: skip
def test_estimator_comes_back_predicting_bit_equally(
    way: Callable[..., Any],
    one: CITabPretrainer,
    vectors: pd.DataFrame,
    labels: np.ndarray,
    tmp_path: Path,
    make_citab_classifier: MakeClassifier,
) -> None:
    renamed = vectors.rename(columns={"width": "Breadth"})
    finetune = "auto" if way is through_directory else "frozen"
    classifier = make_citab_classifier(pretrainer=FrozenEstimator(one), finetune=finetune)
    classifier.fit(renamed, labels)
    back = way(classifier, tmp_path)
    assert back.nearest_headers_ == classifier.nearest_headers_
    for modality in ("table", "image", "both", "auto"):
        expected = classifier.set_params(predict_modality=modality).predict_proba(renamed)
        found = back.set_params(predict_modality=modality).predict_proba(renamed)
        np.testing.assert_array_equal(found, expected)
    assert np.array_equal(back.predict(renamed), classifier.predict(renamed))


def test_refit_is_bit_equal(
    vectors: pd.DataFrame,
    target: np.ndarray,
    make_citab: Make,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(
        pretrainer=make_citab(random_state=None), finetune="full", predict_modality="both"
    )
    first = regressor.fit(vectors, target).predict(vectors)
    np.testing.assert_array_equal(clone(regressor).fit(vectors, target).predict(vectors), first)
    other = clone(regressor).set_params(random_state=1).fit(vectors, target).predict(vectors)
    assert not np.array_equal(other, first)


def test_warm_start_goes_on_from_the_last_weights(
    source: CITabPretrainer,
    table: pd.DataFrame,
    target: np.ndarray,
    weights: Any,
    make_citab_regressor: MakeRegressor,
) -> None:
    regressor = make_citab_regressor(
        pretrainer=FrozenEstimator(source), finetune="full", warm_start=True,
        validation_fraction=None, max_epochs=5,
    )  # fmt: skip
    first = weights(regressor.fit(table, target))
    loss = regressor.history_[-1]["train_task"]
    second = weights(regressor.fit(table, target))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    assert regressor.history_[-1]["train_task"] < loss


class PowerCut(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.history[-1]["epoch"] == 2:
            raise RuntimeError("power cut")


def test_interrupted_fine_tuning_does_not_take_up_other_headers(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make_citab_regressor: MakeRegressor
) -> None:
    params = {"finetune": "full", "max_epochs": 4, "validation_fraction": None}
    interrupted = make_citab_regressor(callbacks=[PowerCut()], checkpoint_dir=tmp_path, **params)
    with pytest.raises(RuntimeError, match="power cut"):
        interrupted.fit(table, target)
    described = {"column_descriptions": {"width": "breadth in inches"}, **params}
    other = make_citab_regressor(checkpoint_dir=tmp_path, **described).fit(table, target)
    expected = make_citab_regressor(**described).fit(table, target).predict(table)
    np.testing.assert_array_equal(other.predict(table), expected)
    assert len(list(tmp_path.iterdir())) == 1
