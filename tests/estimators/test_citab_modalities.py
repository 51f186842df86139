"""One fine-tuned estimator predicts from the table, the photo or both."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

import tabimg
from tabimg import CITabPretrainer
from tabimg.image import ImageReadError
from tabimg.nn import ResNet
from tabimg.serialization import qualified_name

Frames = dict[str, pd.DataFrame]

pytestmark = pytest.mark.usefixtures("few_folds")


def test_one_estimator_predicts_from_table_photo_both_and_what_there_is(
    citab_of_one: CITabPretrainer, vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(citab_of_one)).fit(vectors, target)
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


def test_older_save_that_calls_the_fused_block_an_embedding_predicts_the_same(
    citab_of_one: CITabPretrainer, vectors: pd.DataFrame, make: Any, tmp_path: Path
) -> None:
    source = FrozenEstimator(citab_of_one)
    regressor = make.citab_regressor(pretrainer=source, predict_modality="both")
    expected = regressor.fit(vectors, np.arange(40.0)).predict(vectors)
    fused = [member.model for member in regressor.photo_members_["both"] if member.name == "fused"]
    assert [model.names for model in fused] == [("fused", "columns", "photos")]
    for model in fused:
        object.__setattr__(model, "names", ("embedding", "columns", "photos"))
    tabimg.save(regressor, tmp_path / "older")
    older = tabimg.load(tmp_path / "older", {qualified_name(ResNet): ResNet})
    assert older.photo_members_["both"][-1].model.names == ("fused", "columns", "photos")
    np.testing.assert_array_equal(older.predict(vectors), expected)


def test_prediction_from_the_table_never_looks_at_photos(
    frame: pd.DataFrame, labels: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.citab(image_loader=photo_log.loader)
    classifier = make.citab_classifier(pretrainer=pre, finetune="frozen").fit(frame, labels)
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
    citab_of_one: CITabPretrainer, vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    table = vectors.drop(columns="photo")
    without = make.citab(keep_image_encoder=False).fit(vectors)
    for pretrainer, X in ((citab_of_one, table), (without, vectors), (None, table)):
        frozen = None if pretrainer is None else FrozenEstimator(pretrainer)
        regressor = make.citab_regressor(pretrainer=frozen, finetune="full").fit(X, target)
        assert regressor.photo_members_ == {}
        expected = regressor.predict(X)
        both = make.citab_regressor(pretrainer=frozen, predict_modality="both")
        with pytest.raises(ValueError, match="'both' needs a fit with photos of labelled rows"):
            both.fit(X, target)
        auto = regressor.set_params(predict_modality="auto")
        np.testing.assert_array_equal(auto.predict(X), expected)
        for modality in ("image", "both"):
            with pytest.raises(ValueError, match=f"'{modality}' needs a fit with photos"):
                regressor.set_params(predict_modality=modality).predict(X)


def test_photos_in_place_of_vectors_are_told(
    citab_of_one: CITabPretrainer, vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(citab_of_one), finetune="frozen")
    regressor.fit(vectors, target).set_params(predict_modality="both")
    with pytest.raises(ValueError, match="was fitted on embedding vectors"):
        regressor.predict(vectors.assign(photo=[Image.new("RGB", (8, 8))] * 40))


def test_photos_of_one_class_alone_leave_probabilities(
    citab_of_one: CITabPretrainer, vectors: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    some = vectors.copy()
    some["photo"] = [v if y == "high" else None for v, y in zip(some["photo"], labels, strict=True)]
    classifier = make.citab_classifier(pretrainer=FrozenEstimator(citab_of_one), finetune="frozen")
    classifier.fit(some, labels).set_params(predict_modality="auto")
    found = classifier.predict_proba(some)
    assert found.shape == (40, 3) and np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-6)


def test_rows_of_weight_zero_are_as_good_as_absent_with_photos_too(
    citab_of_one: CITabPretrainer, vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    kept = np.flatnonzero(np.arange(40) % 4 > 0)
    weight = np.isin(np.arange(40), kept).astype(float)
    regressor = make.citab_regressor(
        pretrainer=FrozenEstimator(citab_of_one), finetune="frozen", predict_modality="both"
    )
    weighted = clone(regressor).fit(vectors, target, sample_weight=weight).predict(vectors)
    removed = clone(regressor).fit(vectors.iloc[kept], target[kept]).predict(vectors)
    np.testing.assert_allclose(weighted, removed, rtol=1e-6)


def test_photos_of_each_cohort_are_found_in_its_folder(
    cohorts: Frames, target: np.ndarray, make: Any
) -> None:
    folder = Path(cohorts["north"]["photo"].iloc[0]).parent
    relative = {
        name: frame.assign(clinic=name, photo=[Path(path).name for path in frame["photo"]])
        for name, frame in cohorts.items()
    }
    roots = {"north": folder, "south": folder}
    pre = make.citab(cohort_column="clinic", image_root=roots)
    source = FrozenEstimator(pre.fit(pd.concat(relative.values(), ignore_index=True)))
    regressor = make.citab_regressor(
        pretrainer=source, finetune="frozen", predict_modality="both"
    ).fit(relative["north"], target[:24])
    expected = regressor.predict(relative["north"])
    np.testing.assert_array_equal(regressor.predict(cohorts["north"]), expected)
    nameless = relative["north"].drop(columns="clinic")
    with pytest.raises(ValueError, match=r"nothing says which one these rows are"):
        regressor.predict(nameless)


def test_auto_takes_the_photo_alone_or_the_table_where_the_other_cannot_be_had(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    source = FrozenEstimator(make.citab(on_bad_image="skip").fit(frame))
    regressor = make.citab_regressor(pretrainer=source, finetune="frozen").fit(frame, target)
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
