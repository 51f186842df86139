"""Nothing of a test fold is read or learned in fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline


@pytest.fixture
def marked(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a category of its own in each row, so that the rows learned from show."""
    return frame.assign(mark=[f"m{row:02d}" for row in range(len(frame))])


def estimators(make: Any, **params: Any) -> list[Any]:
    return [
        make_pipeline(make.pretrainer(**params), Ridge()),
        make.regressor(pretrainer=make.pretrainer(**params), finetune="frozen"),
        make.regressor(pretrainer=make.pretrainer(**params), finetune="auto"),
    ]


def names_of(rows: np.ndarray) -> set[str]:
    return {f"{row:02d}.png" for row in rows}


@pytest.mark.parametrize("which", [0, 1, 2])
def test_cross_validation_reads_and_learns_from_training_rows_only(
    which: int, marked: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    estimator = estimators(make, image_loader=photo_log.loader)[which]
    splits = list(KFold(3, shuffle=True, random_state=0).split(marked))
    for train, test in splits:
        before = len(photo_log.names())
        result = cross_validate(
            estimator, marked, target, cv=[(train, test)], return_estimator=True
        )
        # Scoring comes after fit: no photo is read there either.
        assert set(photo_log.names()[before:]) == names_of(train)
        fitted = result["estimator"][0]
        codec = getattr(fitted, "codec_", None) or fitted[0].codec_
        assert codec.categories[codec.categorical_names.index("mark")] == sorted(
            f"m{row:02d}" for row in train
        )
        np.testing.assert_allclose(
            codec.medians[codec.numeric_names.index("pressure")],
            np.median(marked["pressure"].iloc[train]),
        )


@pytest.mark.parametrize("which", [0, 1])
def test_search_in_two_processes_reads_training_photos_only(
    which: int, marked: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    estimator = estimators(make, image_loader=photo_log.loader)[which]
    prefix = ["multimodalpretrainer", "pretrainer"][which]
    grid = {f"{prefix}__lambda_c": [0.5, 1.0], f"{prefix}__lambda_m": [0.5, 1.0]}
    train, test = np.arange(25), np.arange(25, 40)
    search = GridSearchCV(
        estimator, grid, cv=[(train, test)], n_jobs=2, refit=False, error_score="raise"
    )
    search.fit(marked, target)
    assert set(photo_log.names()) == names_of(train)
    assert len(photo_log.names()) == 4 * len(train)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_values_of_test_rows_change_nothing_in_the_fit(
    which: int, frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    train, test = np.arange(25), np.arange(25, 40)
    poisoned, poisoned_target = frame.copy(), target.copy()
    poisoned["pressure"] = poisoned["pressure"].astype(float)
    poisoned.loc[test, "pressure"] = 1e30
    poisoned.loc[test, "support"] = "poison"
    poisoned.loc[test, "photo"] = "missing.png"
    poisoned_target[test] = 1e9
    predictions = []
    for X, y in ((frame, target), (poisoned, poisoned_target)):
        estimator = estimators(make)[which]
        result = cross_validate(estimator, X, y, cv=[(train, test)], return_estimator=True)
        predictions.append(result["estimator"][0].predict(frame))
    np.testing.assert_array_equal(*predictions)


def test_files_deleted_after_fit_change_nothing(
    frame: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    copies = []
    for path in frame["photo"]:
        copies.append(tmp_path / Path(path).name)
        copies[-1].write_bytes(Path(path).read_bytes())
    copied = frame.assign(photo=pd.Series([str(path) for path in copies], dtype=object))
    regressor = make.regressor(pretrainer=make.pretrainer(), finetune="full").fit(copied, target)
    expected = regressor.predict(copied)
    embedding = regressor.pretrainer_.transform(copied)
    for path in copies:
        path.unlink()
    np.testing.assert_array_equal(regressor.predict(copied), expected)
    np.testing.assert_array_equal(regressor.predict(copied.drop(columns="photo")), expected)
    np.testing.assert_array_equal(regressor.pretrainer_.transform(copied), embedding)
