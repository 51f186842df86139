"""What `finetune="auto"` blends, with and without photos to distil from."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

import tabimg
from tabimg import MultiModalPretrainer, Unlabeled
from tabimg.image import ImageReadError
from tabimg.training.photo_embedding import MIN_LABELLED, MIN_PAIRS

pytestmark = pytest.mark.usefixtures("few_folds")

FROM_SCRATCH = {"columns", "random_forest", "extra_trees", "network"}
PRETRAINED = FROM_SCRATCH | {"embedding"}
STUDENTS = {"linear_student", "forest_student", "boosted_student"}
DISTILLED = PRETRAINED | STUDENTS


def blended(estimator: Any) -> set[str]:
    """Names of what is blended, but for what the columns may say of these few photos by chance."""
    names = set(estimator.weights_)
    assert ("imputed" in names) == (estimator.imputer_ is not None)
    return names - {"imputed"}


def as_vectors(pre: MultiModalPretrainer, frame: pd.DataFrame) -> pd.DataFrame:
    """Put what the image encoder makes of photos in their place."""
    vectors = list(pre.transform_images(frame))
    return frame.assign(photo=pd.Series(vectors, index=frame.index, dtype=object))


def test_blend_from_scratch_needs_no_pretrainer(
    table: pd.DataFrame, target: np.ndarray, labels: np.ndarray, make: Any
) -> None:
    for fitted in (make.regressor().fit(table, target), make.classifier().fit(table, labels)):
        assert set(fitted.weights_) == FROM_SCRATCH
        assert {member.name for member in fitted.members_} == FROM_SCRATCH
        assert sum(member.weight for member in fitted.members_) == pytest.approx(1.0)
        trained = {epoch["member"] for epoch in fitted.history_}
        networks = {n for n, m in enumerate(fitted.members_) if m.name == "network"}
        assert trained == networks


def test_boosting_joins_the_blend_of_a_hundred_rows(make: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(100, 3)), columns=["a", "b", "c"])
    labels = np.array(["low", "middle", "high"])[rng.integers(0, 3, size=100)]
    fewer = make.classifier().fit(rows[:99], labels[:99])
    assert set(fewer.weights_) == FROM_SCRATCH
    classifier = make.classifier().fit(rows, labels)
    assert set(classifier.weights_) == FROM_SCRATCH | {"boosting"}
    tabimg.save(classifier, tmp_path / "saved")
    found = tabimg.load(tmp_path / "saved").predict_proba(rows)
    np.testing.assert_array_equal(found, classifier.predict_proba(rows))
    np.testing.assert_array_equal(classifier.predict_proba(rows[7:8])[0], found[7])


# --- distillation --------------------------------------------------------------------------------


def test_pretrainer_that_is_fitted_along_teaches_by_photos_too(
    frame: pd.DataFrame, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    classifier = make.classifier(pretrainer=make.pretrainer())
    classifier.fit(frame[:20], labels[:20], unlabeled=Unlabeled(frame[20:]))
    assert blended(classifier) == DISTILLED
    assert classifier.validation_losses_.keys() == classifier.weights_.keys()
    probabilities = classifier.predict_proba(table)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_array_equal(classifier.predict_proba(frame), probabilities)


def test_frozen_pretrainer_distils_from_paths(
    frame: pd.DataFrame, target: np.ndarray, to_frame: Any, make: Any
) -> None:
    table = frame.drop(columns="photo")
    frozen = FrozenEstimator(make.pretrainer().fit(frame))
    before = pickle.dumps(frozen)
    regressor = make.regressor(pretrainer=frozen)
    more = frame[20:][["photo", "support", "pressure", "width"]].assign(secret=1.0)
    regressor.fit(to_frame(frame[:20]), target[:20], unlabeled=Unlabeled(to_frame(more)))
    assert blended(regressor) == DISTILLED
    assert pickle.dumps(frozen) == before
    plain = make.regressor(pretrainer=frozen).fit(frame[:20], target[:20])
    assert blended(plain) == PRETRAINED
    assert not np.allclose(plain.predict(table), regressor.predict(to_frame(table)), atol=1e-6)


def test_frozen_pretrainer_distils_from_vectors_as_from_photos(
    frame: pd.DataFrame, target: np.ndarray, fitted: MultiModalPretrainer, make: Any
) -> None:
    table = frame.drop(columns="photo")
    vectors = as_vectors(fitted, frame)
    # The same encoder of the table, its image encoder dropped.
    light = make.pretrainer(keep_image_encoder=False).fit(frame)
    predictions = []
    for pre, given in ((fitted, frame), (fitted, vectors), (light, vectors)):
        regressor = make.regressor(pretrainer=FrozenEstimator(pre))
        regressor.fit(given[:20], target[:20], unlabeled=Unlabeled(given[20:]))
        assert blended(regressor) == DISTILLED
        predictions.append(regressor.predict(table))
    np.testing.assert_allclose(predictions[1], predictions[0], atol=1e-5)
    np.testing.assert_allclose(predictions[2], predictions[0], atol=1e-5)


def test_photos_may_come_as_image_paths(
    frame: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    table = frame.drop(columns="photo")
    paths = list(frame["photo"])
    regressor = make.regressor(pretrainer=frozen)
    more = Unlabeled(table[20:], image_paths=paths[20:])
    regressor.fit(table[:20], target[:20], image_paths=paths[:20], unlabeled=more)
    by_column = make.regressor(pretrainer=frozen)
    by_column.fit(frame[:20], target[:20], unlabeled=Unlabeled(frame[20:]))
    np.testing.assert_array_equal(regressor.predict(table), by_column.predict(table))


def test_frozen_pretrainer_without_image_encoder_says_that_it_needs_one(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    light = FrozenEstimator(make.pretrainer(keep_image_encoder=False).fit(frame))
    regressor = make.regressor(pretrainer=light)
    with pytest.warns(UserWarning, match=r"not used.*keep_image_encoder=True.*transform_images"):
        regressor.fit(frame[:20], target[:20], unlabeled=Unlabeled(frame[20:]))
    assert blended(regressor) == PRETRAINED


def test_image_encoder_dropped_before_the_blend_is_told(
    frame: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    light = make.pretrainer(keep_image_encoder=False, image_loader=photo_log.loader)
    regressor = make.regressor(pretrainer=light)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="neither imputed photo features nor students"):
            regressor.fit(frame, target)
        assert photo_log.names() == []  # before the pre-training
        warnings.simplefilter("default")
        warnings.filterwarnings("error", message="keep_image_encoder=False")
        # Nothing is lost where the cells are embeddings already, or nothing is blended.
        vectors = list(np.random.default_rng(0).standard_normal((len(frame), 4)))
        given = frame.assign(photo=pd.Series(vectors, dtype=object))
        regressor.fit(given[:20], target[:20], unlabeled=Unlabeled(given[20:]))
        assert blended(regressor) >= STUDENTS
        regressor.set_params(finetune="frozen").fit(frame, target)


@pytest.mark.parametrize("few", ["labelled", "unlabeled"])
def test_too_few_photos_are_reported(
    few: str, frame: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    labelled, pairs = frame[:20].copy(), frame[20:].copy()
    part, n_least = (labelled, MIN_LABELLED) if few == "labelled" else (pairs, MIN_PAIRS)
    part.iloc[n_least - 1 :, part.columns.get_loc("photo")] = None
    regressor = make.regressor(pretrainer=frozen)
    with pytest.warns(UserWarning, match=rf"not used.*\b{n_least - 1} {few}"):
        regressor.fit(labelled, target[:20], unlabeled=Unlabeled(pairs))
    assert blended(regressor) == PRETRAINED
    with warnings.catch_warnings():  # pre-training has used them
        warnings.simplefilter("error", UserWarning)
        fresh = make.regressor(pretrainer=make.pretrainer())
        fresh.fit(labelled, target[:20], unlabeled=Unlabeled(pairs))
    assert blended(fresh) == PRETRAINED


def test_rows_without_a_photo_take_part(
    frame: pd.DataFrame, labels: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    some = frame.assign(photo=frame["photo"].where(np.arange(40) % 3 > 0, None))
    classifier = make.classifier(pretrainer=frozen)
    classifier.fit(some[:20], labels[:20], unlabeled=Unlabeled(some[20:]))
    assert blended(classifier) == DISTILLED
    assert np.isfinite(classifier.predict_proba(frame)).all()


def test_only_rows_of_weight_zero_with_photos_teach_nothing_by_them(
    frame: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    weight = (np.arange(20) >= 8).astype(float)
    labelled = frame[:20].assign(photo=frame["photo"][:20].where(weight == 0, None))
    regressor = make.regressor(pretrainer=frozen)
    with pytest.warns(UserWarning, match=r"not used.*\b0 labelled"):
        regressor.fit(labelled, target[:20], sample_weight=weight, unlabeled=Unlabeled(frame[20:]))
    assert np.isfinite(regressor.predict(frame)).all()


def test_unlabeled_frame_that_does_not_fit_is_refused(
    frame: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    regressor = make.regressor(pretrainer=frozen)
    for wrong, message in (
        (frame.drop(columns="pressure"), r"unlabeled.*'pressure'"),
        (frame.assign(pressure="much"), r"'pressure' is numeric in X and categorical"),
        (pl.from_pandas(frame), r"one library.*pandas.*polars"),
    ):
        with pytest.raises(ValueError, match=message):
            regressor.fit(frame, target, unlabeled=Unlabeled(wrong))


def test_labelled_columns_that_the_pretrainer_does_not_know_are_named(
    frame: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    other = frame.rename(columns={"width": "height"})
    with pytest.raises(ValueError, match=r"missing: \['width'\], not known to it: \['height'\]"):
        make.regressor(pretrainer=frozen).fit(other, target, unlabeled=Unlabeled(other))


def test_photo_that_cannot_be_read_is_treated_as_the_pretrainer_says(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    broken = frame.assign(photo=frame["photo"].where(np.arange(40) != 30, "nowhere.png"))
    strict = FrozenEstimator(make.pretrainer().fit(frame))
    with pytest.raises(ImageReadError, match=r"nowhere\.png"):
        make.regressor(pretrainer=strict).fit(
            broken[:20], target[:20], unlabeled=Unlabeled(broken[20:])
        )
    lenient = FrozenEstimator(make.pretrainer(on_bad_image="warn").fit(frame))
    with pytest.warns(UserWarning, match=r"1 of 40"):
        regressor = make.regressor(pretrainer=lenient).fit(
            broken[:20], target[:20], unlabeled=Unlabeled(broken[20:])
        )
    assert blended(regressor) == DISTILLED


def test_photos_that_show_the_target_teach_more_than_few_labels(make: Any) -> None:
    """Thirty columns add up to the target, and the photo, here a vector, shows it."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(700, 30)), columns=[f"c{n}" for n in range(30)])
    y = rows.sum(axis=1).to_numpy() / np.sqrt(30)
    vectors = list(y[:, None] + rng.normal(0.0, 0.2, size=(700, 6)))
    frame = rows.assign(photo=pd.Series(vectors, dtype=object))
    frozen = FrozenEstimator(make.pretrainer(max_epochs=1).fit(frame[:500]))
    labelled, pairs, test = frame[:16], frame[16:500], rows[500:]
    taught = make.regressor(pretrainer=frozen).fit(labelled, y[:16], unlabeled=Unlabeled(pairs))
    alone = make.regressor(pretrainer=frozen).fit(labelled, y[:16])
    assert taught.weights_["linear_student"] == max(taught.weights_.values())
    assert taught.score(test, y[500:]) > alone.score(test, y[500:]) + 0.05


def test_photos_of_labelled_rows_are_imputed_where_the_columns_say_something(make: Any) -> None:
    """The photo, a vector, shows the size of a number, which no linear model of it tells."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(300, 2)), columns=["a", "b"])
    shown = rows["a"].abs().to_numpy()
    told = rows.assign(photo=pd.Series(list(np.outer(shown, np.ones(5))), dtype=object))
    noise = rows.assign(photo=pd.Series(list(rng.normal(size=(300, 5))), dtype=object))
    y = shown + rng.normal(0.0, 0.1, size=300)
    frozen = FrozenEstimator(make.pretrainer().fit(told))
    regressor = make.regressor(pretrainer=frozen).fit(told[:250], y[:250])
    assert regressor.imputer_.n_features == 1
    losses = regressor.validation_losses_
    assert losses["imputed"] < 0.9 * losses["columns"]
    assert regressor.predict(rows[250:]).shape == (50,)
    for unsaid, finetune in ((noise, "auto"), (rows, "auto"), (told, "full")):
        other = make.regressor(pretrainer=frozen, finetune=finetune).fit(unsaid[:250], y[:250])
        assert other.imputer_ is None and "imputed" not in other.weights_


# --- a blend as an estimator ---------------------------------------------------------------------


@pytest.fixture
def blends(
    frame: pd.DataFrame, target: np.ndarray, labels: np.ndarray, frozen: FrozenEstimator, make: Any
) -> list[tuple[Any, str]]:
    """A regressor and a classifier with everything in their blend."""
    more = Unlabeled(frame[20:])
    return [
        (
            make.regressor(pretrainer=frozen).fit(frame[:20], target[:20], unlabeled=more),
            "predict",
        ),
        (
            make.classifier(pretrainer=frozen).fit(frame[:20], labels[:20], unlabeled=more),
            "predict_proba",
        ),
    ]


LOAD = """
import pickle, sys

import tabimg
from tabimg.nn.resnet import ResNet

table, result, *directories = sys.argv[1:]
with open(table, "rb") as file:
    rows = pickle.load(file)
found = []
for directory in directories:
    back = tabimg.load(directory, custom={"tabimg.nn.resnet.ResNet": ResNet})
    predictions = getattr(back, "predict_proba", back.predict)(rows)
    found.append((predictions, back.weights_, back.validation_losses_))
with open(result, "wb") as file:
    pickle.dump(found, file)
"""


def test_blend_predicts_the_same_after_loading_in_a_new_process(
    blends: list[tuple[Any, str]], table: pd.DataFrame, tmp_path: Path
) -> None:
    script, given, result = tmp_path / "load.py", tmp_path / "table.pkl", tmp_path / "result.pkl"
    script.write_text(LOAD)
    given.write_bytes(pickle.dumps(table))
    directories = [tmp_path / f"model-{number}" for number in range(len(blends))]
    for (estimator, _), directory in zip(blends, directories, strict=True):
        tabimg.save(estimator, directory)
    subprocess.run([sys.executable, script, given, result, *directories], check=True, timeout=120)
    found = pickle.loads(result.read_bytes())
    for (estimator, method), (predictions, weights, losses) in zip(blends, found, strict=True):
        np.testing.assert_array_equal(predictions, getattr(estimator, method)(table))
        assert blended(estimator) == DISTILLED
        assert weights == estimator.weights_ and losses == estimator.validation_losses_
        copy = pickle.loads(pickle.dumps(estimator))
        np.testing.assert_array_equal(getattr(copy, method)(table), predictions)


def test_row_alone_is_predicted_as_in_a_batch(
    blends: list[tuple[Any, str]], table: pd.DataFrame
) -> None:
    many = pd.concat([table] * 5, ignore_index=True)
    for estimator, method in blends:
        predict = getattr(estimator, method)
        together = predict(many)
        for row in (0, 3, 39, 63, 64, 199):
            np.testing.assert_array_equal(predict(many.iloc[[row]])[0], together[row])
        np.testing.assert_array_equal(predict(many[::-1])[::-1], together)


def test_equal_seeds_give_equal_blends(
    frame: pd.DataFrame, target: np.ndarray, blends: list[tuple[Any, str]], weights: Any
) -> None:
    again = clone(blends[0][0])
    again.fit(frame[:20], target[:20], unlabeled=Unlabeled(frame[20:]))
    assert again.weights_ == blends[0][0].weights_
    np.testing.assert_equal(weights(again), weights(blends[0][0]))


def test_controls_of_photos_lose_what_photos_gave(make: Any) -> None:
    """The photo, here a vector, shows the target; the columns add up to it."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(400, 12)), columns=[f"c{n}" for n in range(12)])
    y = rows.sum(axis=1).to_numpy() / np.sqrt(12)
    vectors = list(y[:, None] + rng.normal(0.0, 0.2, size=(400, 6)))
    frame = rows.assign(photo=pd.Series(vectors, dtype=object))
    frozen = FrozenEstimator(make.pretrainer(max_epochs=1).fit(frame))
    regressor = make.regressor(pretrainer=frozen, photo_control=True)
    regressor.fit(frame[:40], y[:40], unlabeled=Unlabeled(frame[40:]))
    report = regressor.report_
    assert set(report.controls) == {"shuffled photos", "a teacher without photos"}
    assert all(report.loss < loss for loss in report.controls.values())
    assert "held-out loss with shuffled photos" in str(report)
    plain = make.regressor(pretrainer=frozen)
    plain.fit(frame[:40], y[:40], unlabeled=Unlabeled(frame[40:]))
    assert plain.report_.controls == {} and plain.report_.loss == report.loss
    assert np.array_equal(plain.predict(rows), regressor.predict(rows))
    assert {"photos", "blend"} <= set(report.seconds)


def test_blend_is_the_same_on_one_thread_and_on_two(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    alone = make.regressor().fit(table, target)
    side_by_side = make.regressor(n_jobs=2).fit(table, target)
    np.testing.assert_array_equal(side_by_side.predict(table), alone.predict(table))
    assert side_by_side.weights_ == alone.weights_
    with pytest.raises(ValueError, match="n_jobs == 0 has no meaning"):
        make.regressor(n_jobs=0).fit(table, target)
