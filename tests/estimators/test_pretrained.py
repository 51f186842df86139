"""Where the encoder of a fine-tuned estimator comes from, and that it is never lost or changed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

import tabimg
from tabimg import MultiModalPretrainer


@pytest.mark.parametrize("finetune", ["frozen", "full", "gradual", "auto"])
def test_frozen_pretrainer_keeps_its_weights(
    finetune: str, frame: pd.DataFrame, labels: np.ndarray, make: Any, weights: Any
) -> None:
    table = frame.drop(columns="photo")
    fitted = make.pretrainer().fit(frame)
    before, embedding = weights(fitted), fitted.transform(table)
    classifier = make.classifier(pretrainer=FrozenEstimator(fitted), finetune=finetune, lr=0.1)
    classifier.fit(table, labels).predict(table)
    np.testing.assert_equal(weights(fitted), before)
    np.testing.assert_array_equal(fitted.transform(table), embedding)


@pytest.mark.parametrize(
    ("finetune", "changes"), [("frozen", False), ("full", True), ("gradual", True)]
)
def test_encoder_is_trained_unless_frozen(
    finetune: str,
    changes: bool,
    table: pd.DataFrame,
    labels: np.ndarray,
    fitted: MultiModalPretrainer,
    make: Any,
) -> None:
    classifier = make.classifier(
        pretrainer=FrozenEstimator(fitted),
        finetune=finetune,
        validation_fraction=None,
        max_epochs=4,
    ).fit(table, labels)
    member = classifier.members_[0].model.module.arrays
    encoder = {k: v for k, v in fitted.network_.arrays.items() if f"encoder.{k}" in member}
    assert len(encoder) > 5
    moved = [k for k, v in encoder.items() if not np.array_equal(member[f"encoder.{k}"], v)]
    assert bool(moved) is changes


@pytest.mark.slow
def test_saved_directory_is_searched_in_two_processes(
    table: pd.DataFrame, labels: np.ndarray, tmp_path: Path, make: Any
) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(table), 6))
    frame = table.assign(photo=pd.Series(list(vectors), dtype=object))
    tabimg.save(make.pretrainer(image_encoder="resnet18").fit(frame), tmp_path / "saved")
    search = GridSearchCV(
        make.classifier(pretrainer=tmp_path / "saved", finetune="full"),
        {"lr": [1e-3, 1e-2], "head": ["embedding", "embedding+columns"]},
        cv=2,
        n_jobs=2,
        error_score="raise",
    )
    search.fit(frame, labels)
    assert search.predict(table).shape == (40,)


def test_fitted_unfrozen_pretrainer_with_photos_is_refitted_with_a_warning(
    frame: pd.DataFrame, target: np.ndarray, make: Any, weights: Any
) -> None:
    fitted = make.pretrainer().fit(frame)
    before = weights(fitted)
    with pytest.warns(UserWarning, match="FrozenEstimator"):
        regressor = make.regressor(pretrainer=fitted, finetune="frozen").fit(
            frame[:20], target[:20]
        )
    assert regressor.pretrainer_ is not fitted
    np.testing.assert_equal(weights(fitted), before)


def test_fitted_unfrozen_pretrainer_without_photos_is_refused(
    frame: pd.DataFrame, target: np.ndarray, fitted: MultiModalPretrainer, make: Any
) -> None:
    for X in (frame.drop(columns="photo"), frame.assign(photo=None)):
        with pytest.raises(ValueError, match="FrozenEstimator"):
            make.regressor(pretrainer=fitted).fit(X, target)


def test_unfitted_pretrainer_without_its_photos_is_refused(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="image_column='photo' is not a column"):
        make.regressor(pretrainer=make.pretrainer()).fit(table, target)


def test_pretrainer_of_another_type_is_refused(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    for wrong in (PCA(), 3, MultiModalPretrainer):
        with pytest.raises(TypeError, match="pretrainer"):
            make.regressor(pretrainer=wrong).fit(frame, target)
    with pytest.raises(TypeError, match=r"FrozenEstimator\(...\) holds a PCA"):
        make.regressor(pretrainer=FrozenEstimator(PCA())).fit(frame, target)
    other = make.regressor(image_column="photo").fit(frame, target)
    tabimg.save(other, tmp_path / "other")
    with pytest.raises(TypeError, match="holds a MTCMTMRegressor"):
        make.regressor(pretrainer=tmp_path / "other").fit(frame, target)


def test_frozen_pretrainer_that_was_never_fitted_is_refused(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(NotFittedError):
        make.regressor(pretrainer=FrozenEstimator(make.pretrainer())).fit(frame, target)


def test_directory_that_does_not_exist_is_named(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make.regressor(pretrainer=tmp_path / "nowhere").fit(frame, target)


def test_pretrainer_parameter_stays_unfitted(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    pre = make.pretrainer()
    make.regressor(pretrainer=pre, finetune="frozen").fit(frame, target)
    assert not hasattr(pre, "network_")


def test_clone_of_estimator_with_frozen_pretrainer_keeps_the_weights(
    frame: pd.DataFrame, target: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    regressor = make.regressor(pretrainer=frozen, finetune="frozen")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copied = clone(regressor).fit(frame, target)
    np.testing.assert_array_equal(
        copied.predict(frame), regressor.fit(frame, target).predict(frame)
    )


def test_memory_spares_the_second_pretraining(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    # The loader takes part in the cache's key, so it has to be a function that can be pickled.
    log = tmp_path / "reads"
    pre = make.pretrainer(image_loader=_LoggingLoader(log))
    for memory in (str(tmp_path / "memory"), joblib.Memory(str(tmp_path / "memory"), verbose=0)):
        for lr in (1e-3, 1e-2):
            make.regressor(pretrainer=pre, finetune="full", lr=lr, memory=memory).fit(frame, target)
    assert len(log.read_text().splitlines()) == 40
    other = clone(pre).set_params(lambda_c=0.5)
    make.regressor(pretrainer=other, finetune="full", memory=str(tmp_path / "memory")).fit(
        frame, target
    )
    assert len(log.read_text().splitlines()) == 80


def test_memory_notices_a_changed_photo(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    changing = tmp_path / "changing.png"
    changing.write_bytes(Path(frame["photo"][1]).read_bytes())
    cells = [str(changing), *frame["photo"][1:]]
    X = frame.assign(photo=pd.Series(cells, dtype=object))
    log = tmp_path / "reads"
    pre = make.pretrainer(image_loader=_LoggingLoader(log))
    regressor = make.regressor(pretrainer=pre, finetune="frozen", memory=str(tmp_path / "memory"))
    regressor.fit(X, target)
    regressor.fit(X, target)
    assert len(log.read_text().splitlines()) == 40
    changing.write_bytes(Path(frame["photo"][2]).read_bytes() + b" ")
    regressor.fit(X, target)
    assert len(log.read_text().splitlines()) == 80


class _LoggingLoader:
    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, path: str) -> np.ndarray:
        with open(self.log, "a") as file:
            file.write(f"{path}\n")
        return np.full((8, 8, 3), sum(Path(path).read_bytes()) % 256, dtype=np.uint8)
