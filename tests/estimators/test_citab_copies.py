"""Seeds, copies and saved models of CITab: every bit comes back."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import tabimg
from tabimg import CITabPretrainer
from tabimg.nn.resnet import ResNet
from tabimg.serialization import qualified_name

Frames = dict[str, pd.DataFrame]


# --- the pretrainer ------------------------------------------------------------------------------


SCRIPT = """
import pickle, sys
from tabimg import CITabPretrainer
with open(sys.argv[1], "rb") as file:
    frame, params = pickle.load(file)
pretrainer = CITabPretrainer(**params).fit(frame)
with open(sys.argv[2], "wb") as file:
    pickle.dump((pretrainer.network_.arrays, pretrainer.transform(frame)), file)
"""


def test_equal_random_state_gives_equal_bits_in_a_new_process(
    with_vectors: pd.DataFrame, make: Any, tmp_path: Path
) -> None:
    pretrainer = make.citab(cohort_column="clinic", lambda_mtr=0.5, image_encoder="resnet18")
    given, there = tmp_path / "given.pkl", tmp_path / "there.pkl"
    given.write_bytes(pickle.dumps((with_vectors, pretrainer.get_params())))
    environment = {**os.environ, "PYTHONHASHSEED": "321"}
    subprocess.run(
        [sys.executable, "-c", SCRIPT, given, there], check=True, timeout=300, env=environment
    )
    arrays, embedding = pickle.loads(there.read_bytes())
    pretrainer.fit(with_vectors)
    assert [
        n for n, a in pretrainer.network_.arrays.items() if not np.array_equal(a, arrays[n])
    ] == []
    np.testing.assert_array_equal(pretrainer.transform(with_vectors), embedding)
    other = clone(pretrainer).set_params(random_state=1).fit(with_vectors)
    assert not np.allclose(other.transform(with_vectors), embedding)


def test_clone_keeps_the_parameters_only(citab_of_two: CITabPretrainer) -> None:
    twin = clone(citab_of_two.set_params(column_descriptions={"width": "width in millimetres"}))
    assert [name for name in vars(twin) if name.endswith("_")] == []
    ours, theirs = citab_of_two.get_params(), twin.get_params()
    assert {n: repr(v) for n, v in theirs.items()} == {n: repr(v) for n, v in ours.items()}


def test_set_output_gives_named_frames(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    plain = citab_of_two.transform(with_vectors)
    shuffled = with_vectors[::-1]
    found = citab_of_two.set_output(transform="pandas").transform(shuffled)
    assert list(found.columns) == [f"citabpretrainer{i}" for i in range(8)]
    assert list(found.index) == list(shuffled.index)
    np.testing.assert_allclose(found.to_numpy(), plain[::-1], atol=1e-6)
    mapping = dict(iter(with_vectors.groupby("clinic")))
    assert citab_of_two.transform(mapping).shape == (40, 8)


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
def test_pretrainer_comes_back_embedding_bit_equally(
    way: Callable[..., Any], with_vectors: pd.DataFrame, make: Any, tmp_path: Path
) -> None:
    pretrainer = make.citab(
        cohort_column="clinic",
        column_descriptions={"mass": "body mass"},
        image_root={"north": "a", "south": "b"},
        on_new_columns="embed",
    ).fit(with_vectors)
    back = way(pretrainer, tmp_path)
    np.testing.assert_array_equal(back.transform(with_vectors), pretrainer.transform(with_vectors))
    np.testing.assert_array_equal(
        back.transform_images(with_vectors), pretrainer.transform_images(with_vectors)
    )
    assert back.gate_statistics_ == pretrainer.gate_statistics_
    assert back.history_ == pretrainer.history_
    assert back.codec_.names == ("north", "south")
    assert back.get_params().keys() == pretrainer.get_params().keys()
    assert back.image_root == pretrainer.image_root
    new = pd.DataFrame({"Body Mass": [3.0, 5.0]})
    with pytest.warns(UserWarning, match="'body mass'"):
        expected = pretrainer.transform({"west": new})
    with pytest.warns(UserWarning, match="'body mass'"):
        np.testing.assert_array_equal(back.transform({"west": new}), expected)


def test_saved_pretrainer_never_asks_the_encoder_for_a_known_text(
    with_vectors: pd.DataFrame, make: Any, tmp_path: Path
) -> None:
    calls: list[list[str]] = []

    def lengths(texts: list[str]) -> np.ndarray:
        calls.append(texts)
        return np.array([[len(text), text.count("s"), 1.0] for text in texts])

    pretrainer = make.citab(cohort_column="clinic", header_encoder=lengths).fit(with_vectors)
    assert len([t for texts in calls for t in texts]) == len({t for texts in calls for t in texts})
    expected = pretrainer.transform(with_vectors)
    tabimg.save(pretrainer, tmp_path / "saved")
    calls.clear()
    # The package's own encoders, such as ResNet, need not be handed over.
    back = tabimg.load(tmp_path / "saved", {qualified_name(lengths): lengths})
    np.testing.assert_array_equal(back.transform(with_vectors), expected)
    assert calls == []


def test_photos_may_be_deleted_after_fit(cohorts: Frames, tmp_path: Path, make: Any) -> None:
    copied = {}
    for name, frame in cohorts.items():
        paths = [shutil.copy(path, tmp_path / Path(path).name) for path in frame["photo"]]
        copied[name] = frame.assign(photo=[str(path) for path in paths])
    pretrainer = make.citab().fit(copied)
    for path in tmp_path.iterdir():
        path.unlink()
    back = through_directory(pretrainer, tmp_path)
    np.testing.assert_array_equal(back.transform(copied), pretrainer.transform(copied))


def test_fit_leaves_parameters_and_frames_as_they_were(cohorts: Frames, make: Any) -> None:
    before = {name: frame.copy(deep=True) for name, frame in cohorts.items()}
    pretrainer = make.citab(image_root={"north": ".", "south": "."})
    params = {name: (id(value), repr(value)) for name, value in pretrainer.get_params().items()}
    pretrainer.fit(cohorts).transform(cohorts)
    assert {n: (id(v), repr(v)) for n, v in pretrainer.get_params().items()} == params
    for name, frame in cohorts.items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_pretrainer_in_a_pipeline_is_cross_validated(
    with_vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    pipeline = make_pipeline(make.citab(cohort_column="clinic"), Ridge())
    scores = cross_val_score(pipeline, with_vectors.sample(frac=1.0, random_state=0), target, cv=2)
    assert np.isfinite(scores).all()


# --- the fine-tuned estimators -------------------------------------------------------------------


@pytest.mark.usefixtures("few_folds")
@pytest.mark.parametrize(
    "way",
    [through_directory, through_joblib, lambda e, _: pickle.loads(pickle.dumps(e)),
     lambda e, _: copy.deepcopy(e)],
)  # fmt: skip
def test_estimator_comes_back_predicting_bit_equally(
    way: Callable[..., Any],
    citab_of_one: CITabPretrainer,
    vectors: pd.DataFrame,
    tmp_path: Path,
    make: Any,
) -> None:
    labels = np.where(vectors["pressure"] > 500, "high", "low")
    renamed = vectors.rename(columns={"width": "Breadth"})
    finetune = "auto" if way is through_directory else "frozen"
    classifier = make.citab_classifier(pretrainer=FrozenEstimator(citab_of_one), finetune=finetune)
    classifier.fit(renamed, labels)
    back = way(classifier, tmp_path)
    assert back.nearest_headers_ == classifier.nearest_headers_
    for modality in ("table", "image", "both", "auto"):
        expected = classifier.set_params(predict_modality=modality).predict_proba(renamed)
        found = back.set_params(predict_modality=modality).predict_proba(renamed)
        np.testing.assert_array_equal(found, expected)
    assert np.array_equal(back.predict(renamed), classifier.predict(renamed))


@pytest.mark.usefixtures("few_folds")
def test_second_fit_gives_equal_bits(vectors: pd.DataFrame, target: np.ndarray, make: Any) -> None:
    regressor = make.citab_regressor(
        pretrainer=make.citab(random_state=None), finetune="full", predict_modality="both"
    )
    first = regressor.fit(vectors, target).predict(vectors)
    np.testing.assert_array_equal(clone(regressor).fit(vectors, target).predict(vectors), first)
    other = clone(regressor).set_params(random_state=1).fit(vectors, target).predict(vectors)
    assert not np.array_equal(other, first)
