"""MT-CMTM predicts from the table, the photo or both, if its fit was asked to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

import tabimg
from tabimg import Unlabeled
from tabimg.image import ImageReadError
from tabimg.nn import ResNet
from tabimg.serialization import qualified_name

pytestmark = pytest.mark.usefixtures("few_folds")

MODALITIES = ("table", "image", "both", "auto")


@pytest.fixture
def shown() -> np.ndarray:
    """A target of which the columns say nothing."""
    return np.random.default_rng(9).standard_normal(40)


@pytest.fixture
def pairs(frame: pd.DataFrame, shown: np.ndarray) -> pd.DataFrame:
    """The frame with vectors in place of photos, which show that target."""
    noise = np.random.default_rng(8).standard_normal((len(frame), 3))
    return frame.assign(photo=pd.Series(list(np.column_stack([shown, noise])), dtype=object))


@pytest.fixture
def regressor(pairs: pd.DataFrame, make: Any) -> Any:
    """A regressor, not fitted, with a frozen pretrainer of the pairs."""
    source = FrozenEstimator(make.pretrainer().fit(pairs))
    return make.regressor(pretrainer=source, finetune="frozen", predict_modality="both")


def by_modality(estimator: Any, X: Any) -> dict[str, np.ndarray]:
    return {m: estimator.set_params(predict_modality=m).predict(X) for m in MODALITIES}


def test_photo_that_shows_the_target_is_used_where_a_row_has_one(
    regressor: Any, pairs: pd.DataFrame, shown: np.ndarray
) -> None:
    regressor.set_params(finetune="auto").fit(pairs[:28], shown[:28])
    assert set(regressor.photo_members_) == {"image", "both"}
    seen = {m.name: getattr(m.model, "names", ()) for m in regressor.photo_members_["both"]}
    assert seen["image"] == ("photos",)
    assert seen["embedding"] == ("embedding", "columns", "photos")
    found, rest = by_modality(regressor, pairs), np.arange(28, 40)
    scores = {m: r2_score(shown[rest], values[rest]) for m, values in found.items()}
    assert scores["table"] < 0.3
    assert min(scores["image"], scores["both"]) > 0.8
    np.testing.assert_array_equal(found["auto"], found["both"])
    # Every other row has no photo, and every third no cells.
    bare, blank = np.arange(40) % 2 == 1, np.arange(40) % 3 == 0
    some = pairs.assign(photo=[None if b else v for b, v in zip(bare, pairs["photo"], strict=True)])
    some.loc[blank, ["width", "pressure", "support"]] = None
    mixed = regressor.predict(some)
    by_table = regressor.set_params(predict_modality="table").predict(some)
    np.testing.assert_array_equal(mixed[bare], by_table[bare])
    np.testing.assert_array_equal(mixed[~bare & ~blank], found["both"][~bare & ~blank])
    np.testing.assert_array_equal(mixed[~bare & blank], found["image"][~bare & blank])
    for modality in ("image", "both"):
        regressor.set_params(predict_modality=modality)
        with pytest.raises(ValueError, match="in every row; 20 rows have none, the first is row 1"):
            regressor.predict(some)


def test_fit_for_the_table_reads_no_photo_twice_and_says_how_to_get_more(
    frame: pd.DataFrame, labels: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.pretrainer(image_loader=photo_log.loader)
    classifier = make.classifier(pretrainer=pre, finetune="frozen").fit(frame, labels)
    assert classifier.photo_members_ is None
    assert sorted(photo_log.names()) == sorted(Path(path).name for path in frame["photo"])
    expected, gone = classifier.predict_proba(frame), frame.assign(photo="/nowhere/at/all.png")
    np.testing.assert_array_equal(classifier.predict_proba(gone), expected)
    np.testing.assert_array_equal(classifier.predict_proba(frame.drop(columns="photo")), expected)
    assert len(photo_log.names()) == 40
    for modality in ("image", "both", "auto"):
        classifier.set_params(predict_modality=modality)
        with pytest.raises(ValueError, match=f"fit again with predict_modality='{modality}'"):
            classifier.predict_proba(frame)
    classifier.fit(frame, labels)
    assert not np.array_equal(classifier.predict_proba(frame), expected)
    with pytest.raises(ImageReadError, match=r"rows 0, 1.*all\.png"):
        classifier.predict_proba(gone)
    # What is learned from photos leaves the prediction from the table as it is.
    classifier.set_params(predict_modality="table")
    np.testing.assert_array_equal(classifier.predict_proba(gone), expected)
    assert classifier.fit(frame, labels).photo_members_ is None


def test_fit_that_finds_no_photos_predicts_from_the_table_and_says_why_nothing_else(
    regressor: Any, pairs: pd.DataFrame, shown: np.ndarray, make: Any
) -> None:
    table = pairs.drop(columns="photo")
    without = FrozenEstimator(make.pretrainer(keep_image_encoder=False).fit(pairs))
    lacks = ("no row of X has a photo", "keep_image_encoder=False", "pretrainer is None")
    sources = ((regressor.pretrainer, table), (without, pairs), (None, table))
    for (source, X), lack in zip(sources, lacks, strict=True):
        own = clone(regressor).set_params(pretrainer=source, finetune="full")
        for modality in ("image", "both"):
            with pytest.raises(ValueError, match=f"'{modality}' needs a fit with photos.*{lack}"):
                own.set_params(predict_modality=modality).fit(X, shown)
        with pytest.warns(UserWarning, match=f"'auto' will predict from the table alone.*{lack}"):
            own.set_params(predict_modality="auto").fit(X, shown)
        assert own.photo_members_ == {}
        expected = own.set_params(predict_modality="table").predict(X)
        np.testing.assert_array_equal(own.set_params(predict_modality="auto").predict(X), expected)
        for modality in ("image", "both"):
            with pytest.raises(ValueError, match=f"'{modality}' needs a fit with photos"):
                own.set_params(predict_modality=modality).predict(X)


@pytest.mark.parametrize("lack", ["photos", "encoder"])
def test_photos_that_predictions_need_are_missed_before_any_pre_training(
    frame: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any, lack: str
) -> None:
    keeps = lack == "photos"
    pre = make.pretrainer(image_loader=photo_log.loader, keep_image_encoder=keeps)
    regressor = make.regressor(pretrainer=pre, finetune="frozen", predict_modality="both")
    few = frame.assign(photo=frame["photo"].where(np.arange(40) < 3, None)) if keeps else frame
    expected = "3 rows of X have a photo, and at least 4" if keeps else "keep_image_encoder=False"
    with pytest.raises(ValueError, match=f"'both' needs a fit with photos.*{expected}"):
        regressor.fit(few, target)
    assert photo_log.names() == []


def test_cells_of_another_kind_than_those_of_pre_training_are_told(
    regressor: Any, pairs: pd.DataFrame, shown: np.ndarray
) -> None:
    regressor.fit(pairs, shown)
    with pytest.raises(ValueError, match="was fitted on embedding vectors"):
        regressor.predict(pairs.assign(photo=[Image.new("RGB", (8, 8))] * 40))


def test_first_of_several_photos_counts_and_one_that_cannot_be_read_is_none(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    other = frame["photo"].to_numpy()[::-1]
    several = frame.assign(photo=[list(p) for p in zip(frame["photo"], other, strict=True)])
    pre = make.pretrainer(image_column=["photo", "back"], on_bad_image="skip")
    source = FrozenEstimator(pre.fit(several.assign(back=other)))
    auto = make.regressor(pretrainer=source, finetune="frozen", predict_modality="auto")
    auto.fit(several.assign(back=other), target)
    found = auto.predict(several)
    np.testing.assert_array_equal(auto.predict(frame), found)
    np.testing.assert_array_equal(auto.predict(frame.rename(columns={"photo": "back"})), found)
    broken = frame.copy()
    broken.loc[4, "photo"] = str(tmp_path / "nowhere.png")
    by_table = clone(auto).set_params(predict_modality="table").fit(several, target).predict(frame)
    expected = np.where(np.arange(40) == 4, by_table, found)
    np.testing.assert_array_equal(auto.predict(broken), expected)
    with pytest.raises(ImageReadError, match=r"nowhere\.png"):
        auto.set_params(predict_modality="both").predict(broken)


def test_frames_of_all_kinds_give_the_same_bits(
    frame: pd.DataFrame, target: np.ndarray, to_frame: Callable[..., Any], make: Any
) -> None:
    source = FrozenEstimator(make.pretrainer().fit(frame))
    regressor = make.regressor(pretrainer=source, finetune="frozen", predict_modality="both")
    expected = by_modality(clone(regressor).fit(frame, target), frame)
    found = by_modality(regressor.fit(to_frame(frame), target), to_frame(frame))
    for modality in MODALITIES:
        np.testing.assert_array_equal(found[modality], expected[modality])
    alone = regressor.set_params(predict_modality="image").predict(to_frame(frame[["photo"]]))
    np.testing.assert_array_equal(alone, expected["image"])


def test_rows_of_weight_zero_are_as_good_as_absent_with_photos_too(
    regressor: Any, pairs: pd.DataFrame, shown: np.ndarray
) -> None:
    kept = np.flatnonzero(np.arange(40) % 4 > 0)
    weight = np.isin(np.arange(40), kept).astype(float)
    weighted = clone(regressor).fit(pairs, shown, sample_weight=weight).predict(pairs)
    removed = clone(regressor).fit(pairs.iloc[kept], shown[kept]).predict(pairs)
    np.testing.assert_allclose(weighted, removed, rtol=1e-6)


def test_photos_that_were_distilled_serve_predictions_as_well(
    regressor: Any, pairs: pd.DataFrame, shown: np.ndarray
) -> None:
    regressor.set_params(finetune="auto").fit(pairs[:20], shown[:20], unlabeled=Unlabeled(pairs))
    assert "linear_student" in regressor.weights_
    assert r2_score(shown[20:], regressor.predict(pairs[20:])) > 0.8


def test_warm_start_learns_from_the_photos_of_the_rows_it_continues_with(
    regressor: Any, pairs: pd.DataFrame, shown: np.ndarray
) -> None:
    regressor.set_params(finetune="full", warm_start=True).fit(pairs, shown)
    first = regressor.predict(pairs)
    regressor.fit(pairs, -shown)
    assert np.corrcoef(regressor.predict(pairs), first)[0, 1] < -0.9


def test_search_finds_that_photos_pay(
    regressor: Any, pairs: pd.DataFrame, shown: np.ndarray
) -> None:
    search = GridSearchCV(regressor, {"predict_modality": ["table", "both"]}, cv=2)
    assert search.fit(pairs, shown).best_params_ == {"predict_modality": "both"}


def test_saved_estimator_predicts_bit_equally_and_an_older_save_from_the_table(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    source = FrozenEstimator(make.pretrainer().fit(frame))
    regressor = make.regressor(pretrainer=source, finetune="frozen", predict_modality="both")
    expected = by_modality(regressor.fit(frame, target), frame)
    custom = {qualified_name(ResNet): ResNet}
    tabimg.save(regressor, tmp_path / "saved")
    found = by_modality(tabimg.load(tmp_path / "saved", custom), frame)
    for modality in MODALITIES:
        np.testing.assert_array_equal(found[modality], expected[modality])
    del regressor.predict_modality, regressor.photo_members_
    tabimg.save(regressor, tmp_path / "older")
    older = tabimg.load(tmp_path / "older", custom)
    assert older.predict_modality == "table" and older.photo_members_ is None
    np.testing.assert_array_equal(older.predict(frame), expected["table"])
    with pytest.raises(ValueError, match="fit again with predict_modality='auto'"):
        older.set_params(predict_modality="auto").predict(frame)
