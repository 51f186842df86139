"""Cells hold what the public estimators give by hand, and are computed once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import r2_score

from tabimg import CITabPretrainer, CITabRegressor, MTCMTMRegressor, MultiModalPretrainer, Unlabeled
from tabimg.evaluation.data import StudyData, read_data
from tabimg.evaluation.study import CellError
from tabimg.evaluation.study.engine import _prepare, run_study, run_unit
from tabimg.evaluation.study.methods import Prototypes, StudyMethod, baseline_methods, own_methods
from tabimg.evaluation.study.plan import Protocol, plan_units
from tabimg.nn.resnet import ResNet

SECONDS = ["pretrain_seconds", "fit_seconds"]
NO_PHOTOS = "ignore:1 photos are listed by several rows"


class Study:
    """A small study of numbers; what it is given can be replaced."""

    def __init__(self, frame: pd.DataFrame, target: np.ndarray, small: dict[str, Any]) -> None:
        self.data = read_data(frame, target, small["image_column"], small["group_column"], "auto")
        self.prototypes = Prototypes.of(small["pretrainer"], small["estimator"], self.data, None)
        self.protocol = Protocol((0.3, 1.0), 2, 1, 2, 0)

    def built_in(self, *names: str) -> list[StudyMethod]:
        return self.prototypes.built_in(names)

    def run(
        self, methods: Sequence[StudyMethod], results_dir: Path | None = None, n_jobs: int = 1
    ) -> pd.DataFrame:
        return run_study(self.data, methods, self.protocol, results_dir, n_jobs, 0)


@pytest.fixture
def study(frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]) -> Study:
    return Study(frame, amount, small)


class CountingMean(RegressorMixin, BaseEstimator):
    """Predicts the mean and writes a line for each fit; without a permit the fifth fails."""

    def __init__(self, log: str = "", permit: str = "", random_state: Any = None) -> None:
        self.log = log
        self.permit = permit
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> CountingMean:
        if self.permit and count(self.log) == 4 and not Path(self.permit).exists():
            raise FloatingPointError("no more")
        with open(self.log, "a") as file:
            file.write(f"{torch.get_num_threads()} {','.join(map(str, X.columns))}\n")
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        assert list(X.columns) == ["width", "pressure", "support"]
        return np.full(len(X), self.mean_)


def count(log: str | Path) -> int:
    """Count the fits."""
    return len(Path(log).read_text().splitlines()) if Path(log).exists() else 0


def counting(data: StudyData, log: Path, **params: Any) -> list[StudyMethod]:
    return own_methods({"mean": (None, CountingMean(str(log), **params))}, data, None)


def test_cell_equals_the_estimators_fitted_by_hand(
    study: Study, frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]
) -> None:
    method = study.built_in("mt_cmtm")
    scores = study.run(method).set_index(["fold", "fraction", "draw"])
    units = plan_units(study.data, method, study.protocol)
    cell = next(c for c in units[1].cells if c.budget.fraction == 0.3 and c.draw == 1)
    fold = cell.fold
    declared = {"image_column": "photo", "group_column": "batch"}
    pretrainer = clone(small["pretrainer"]).set_params(random_state=units[1].seed, **declared)
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pretrainer.fit(frame.iloc[fold.train])
    torch.set_num_threads(torch_threads)
    regressor = clone(small["estimator"]).set_params(
        pretrainer=FrozenEstimator(pretrainer), random_state=cell.seed
    )
    regressor.fit(frame.iloc[cell.labelled], amount[cell.labelled])
    table = frame.iloc[fold.test].drop(columns=["photo", "batch"])
    expected = r2_score(amount[fold.test], regressor.predict(table))
    assert scores.loc[(1, 0.3, 1), "r2"] == pytest.approx(expected, rel=1e-12)
    assert set(cell.labelled) <= set(fold.train) and not set(fold.train) & set(fold.test)


class Recorder:
    """Keeps what the regressor's fit is given, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[tuple[pd.DataFrame, pd.DataFrame | None]] = []
        self.models: list[MTCMTMRegressor] = []
        fit = MTCMTMRegressor.fit

        def recorded(regressor: Any, X: pd.DataFrame, y: Any, *, unlabeled: Any = None) -> Any:
            self.given.append((X, None if unlabeled is None else unlabeled.frame))
            self.models.append(regressor)
            return fit(regressor, X, y, unlabeled=unlabeled)

        monkeypatch.setattr(MTCMTMRegressor, "fit", recorded)


@pytest.fixture
def blended(small: dict[str, Any], few_trees: None) -> dict[str, Any]:
    """Arguments of a small study whose estimator may distil."""
    return {**small, "estimator": MTCMTMRegressor(finetune="auto", max_epochs=1)}


@pytest.fixture
def blended_study(frame: pd.DataFrame, amount: np.ndarray, blended: dict[str, Any]) -> Study:
    """A study of one draw whose estimator may distil."""
    study = Study(frame, amount, blended)
    study.protocol = Protocol((0.3, 1.0), 2, 1, 1, 0)
    return study


@pytest.fixture
def pretrained_on(monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """The frames that pretrainers were fitted on so far."""
    frames: list[pd.DataFrame] = []
    fit = MultiModalPretrainer.fit

    def recorded(self: Any, X: pd.DataFrame, *args: Any, **kwargs: Any) -> Any:
        frames.append(X)
        return fit(self, X, *args, **kwargs)

    monkeypatch.setattr(MultiModalPretrainer, "fit", recorded)
    return frames


@pytest.mark.parametrize("name", ["mt_cmtm", "contrastive_only", "shuffled_photos"])
def test_methods_with_photos_are_fitted_with_their_vectors_and_the_unlabelled_pairs(
    name: str,
    frame: pd.DataFrame,
    blended_study: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = blended_study
    (unit, _) = plan_units(study.data, study.built_in(name), study.protocol)
    recorder = Recorder(monkeypatch)
    for cell in run_unit(unit, study.data, tmp_path):
        assert np.isfinite(cell["r2"])
    embedded = np.load(tmp_path / "encoders" / f"{unit.encoder_fingerprint}.npy")
    vector_of = dict(zip(unit.fold.train.tolist(), embedded, strict=True))
    for cell, (labelled, pairs) in zip(unit.cells, recorder.given, strict=True):
        assert labelled.index.tolist() == cell.labelled.tolist()
        others = sorted(set(unit.fold.train) - set(cell.labelled))
        assert ([] if pairs is None else pairs.index.tolist()) == others
        for rows in (labelled, pairs):
            for row, vector in ({} if rows is None else rows["photo"]).items():
                np.testing.assert_array_equal(vector, vector_of[row])
            columns = frame.drop(columns="photo")
            assert rows is None or rows[columns.columns].equals(columns.loc[rows.index])
    distilled = ["linear_student" in model.validation_losses_ for model in recorder.models]
    assert distilled == [True, False]


def test_ceiling_has_features_of_photos_as_columns_in_training_and_at_test(
    blended_study: Study,
    pretrained_on: list[pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = blended_study
    methods = [*study.built_in("mt_cmtm"), *study.built_in("photo_at_test")]
    (unit, _) = plan_units(study.data, methods, study.protocol)
    assert len({cell.fingerprint for cell in unit.cells}) == len(unit.cells)
    recorder, seen = Recorder(monkeypatch), []
    predict = MTCMTMRegressor.predict
    monkeypatch.setattr(
        MTCMTMRegressor, "predict", lambda self, X: (seen.append(X), predict(self, X))[1]
    )
    for cell in run_unit(unit, study.data, tmp_path):
        assert np.isfinite(cell["r2"])
    assert len(pretrained_on) == 1  # both methods share it
    features = np.load(tmp_path / "encoders" / f"{unit.encoder_fingerprint}-features.npy")
    assert features.shape[0] == len(study.data) and np.abs(features[unit.fold.test]).max() > 0
    (labelled, pairs), test = recorder.given[-1], seen[-1]
    names = [name for name in labelled.columns if str(name).startswith("photo feature")]
    assert pairs is None and len(names) == features.shape[1]
    np.testing.assert_array_equal(labelled[names], features[labelled.index])
    np.testing.assert_array_equal(test[names], features[unit.fold.test])
    assert recorder.models[-1].pretrainer_ is None
    assert not any(str(name).startswith("photo feature") for name in seen[0].columns)
    run_unit(unit, study.data, tmp_path)
    assert len(pretrained_on) == 1


def test_shuffled_photos_come_to_the_fit_with_the_rows_of_pretraining(
    frame: pd.DataFrame, amount: np.ndarray, blended: dict[str, Any], tmp_path: Path
) -> None:
    study = Study(frame, amount, blended)
    methods = study.built_in("shuffled_photos")
    (unit, _) = plan_units(study.data, methods, study.protocol)
    encoder = _prepare(unit, study.data, None)
    shuffled = study.data.with_shuffled_photos(unit.fold.train, unit.seed).iloc[unit.fold.train]
    declared = {"image_column": ["photo"], "group_column": "batch", "random_state": unit.seed}
    by_hand = clone(blended["pretrainer"]).set_params(**declared).fit(shuffled)
    assert encoder is not None and encoder.photos is not None
    np.testing.assert_allclose(encoder.photos, by_hand.transform_images(shuffled), rtol=1e-4)


def test_methods_without_photos_are_fitted_without_them(
    frame: pd.DataFrame,
    amount: np.ndarray,
    blended: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = Study(frame, amount, blended)
    study.protocol = Protocol((0.3,), 2, 1, 1, 0)
    recorder = Recorder(monkeypatch)
    study.run(study.built_in("scratch", "masked_only"))
    assert len(recorder.given) == 4
    for labelled, pairs in recorder.given:
        assert labelled["photo"].isna().all() and pairs is None


def test_vectors_stand_in_the_first_of_several_photo_columns(
    frame: pd.DataFrame,
    amount: np.ndarray,
    blended: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = frame.assign(photo=frame["photo"].where(frame.index != 9), back=frame["photo"])
    study = Study(frame, amount, {**blended, "image_column": ["photo", "back"]})
    study.protocol = Protocol((0.3,), 2, 1, 1, 0)
    recorder = Recorder(monkeypatch)
    scores = study.run(study.built_in("mt_cmtm"))
    assert scores["r2"].notna().all()
    for rows in (rows for given in recorder.given for rows in given):
        assert rows is not None
        assert rows["back"].isna().all()
        assert rows["photo"].notna().all()  # row 9 has a second photo


def test_scores_are_tidy_and_complete(study: Study) -> None:
    methods = [
        *study.built_in("scratch", "masked_only"),
        *baseline_methods(["linear"], "regression"),
    ]
    scores = study.run(methods)
    assert list(scores.columns) == [
        *("method", "repeat", "fold", "fraction", "budget", "draw"),
        *("n_labels", "n_train", "n_test", "r2", "relative_mse", "mae", "validation_loss"),
        *(*SECONDS, "fingerprint"),
    ]
    assert len(scores) == 2 * 3 * 3  # folds, budgets with their draws, methods
    assert scores["fingerprint"].is_unique
    assert set(zip(scores["budget"], scores["n_labels"], strict=True)) == {
        ("30 %", 10),  # nine rows are asked for, and groups have two
        ("100 %", 30),
    }
    by_method = scores.set_index("method")
    assert (by_method.loc["masked_only", "pretrain_seconds"] > 0).all()
    assert (by_method.loc[["scratch", "linear"], "pretrain_seconds"] == 0).all()
    assert by_method["validation_loss"].notna().groupby("method").all().to_dict() == {
        "scratch": False,
        "masked_only": False,
        "linear": True,
    }


def test_all_methods_get_the_same_rows_and_seeds(study: Study) -> None:
    units = plan_units(study.data, study.built_in("scratch", "mt_cmtm"), study.protocol)
    seen: dict[tuple[int, float, int], list[Any]] = {}
    for unit in units:
        for cell in unit.cells:
            key = (cell.fold.number, cell.budget.fraction, cell.draw)
            seen.setdefault(key, []).append((cell.labelled.tolist(), cell.seed))
    assert all(first == second for first, second in seen.values())


@pytest.mark.slow
def test_two_processes_give_equal_scores(study: Study) -> None:
    methods = study.built_in("scratch", "mt_cmtm", "shuffled_photos")
    alone, together = study.run(methods), study.run(methods, n_jobs=2)
    pd.testing.assert_frame_equal(
        alone.drop(columns=SECONDS), together.drop(columns=SECONDS), check_exact=True
    )


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_work_is_done_on_one_thread_which_is_put_back(
    study: Study, tmp_path: Path, n_jobs: int
) -> None:
    log, before = tmp_path / "log", torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        study.run(counting(study.data, log), n_jobs=n_jobs)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    # Methods of the user's own see the table, no photo and no group.
    assert set(log.read_text().splitlines()) == {"1 width,pressure,support"}


def test_failed_study_names_the_cell_and_resumes_where_it_stopped(
    study: Study, tmp_path: Path
) -> None:
    log, permit = tmp_path / "log", tmp_path / "permit"
    with pytest.raises(CellError, match=r"'mean'.*'fold': 1.*'budget': '30 %'.*no more") as caught:
        study.run(counting(study.data, log, permit=str(permit)), tmp_path / "results")
    assert isinstance(caught.value.__cause__, FloatingPointError)
    assert count(log) == 4
    permit.touch()
    study.run(counting(study.data, log, permit=str(permit)), tmp_path / "results")
    assert count(log) == 6


def test_nothing_is_computed_twice(study: Study, tmp_path: Path) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    first = study.run(counting(study.data, log), results)
    assert count(log) == 6
    pd.testing.assert_frame_equal(study.run(counting(study.data, log), results), first)
    shutil.rmtree(results / "cells")
    from_scores = study.run(counting(study.data, log), results)
    pd.testing.assert_frame_equal(from_scores, first, check_exact=True)
    assert not (results / "cells").exists()
    (results / "scores.csv").unlink()
    assert count(log) == 6
    study.run(counting(study.data, log), results)
    assert count(log) == 12


def test_changed_data_or_parameters_are_computed_anew_and_not_mixed_in(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    study = Study(frame, amount, small)
    first = study.run(counting(study.data, log), tmp_path)
    other = Study(frame.assign(width=frame["width"] + 1), amount, small)
    second = other.run(counting(other.data, log), tmp_path)
    assert count(log) == 12
    assert not set(first["fingerprint"]) & set(second["fingerprint"])
    # The first study's cells are still there.
    pd.testing.assert_frame_equal(study.run(counting(study.data, log), tmp_path), first)
    assert count(log) == 12


def test_chosen_folds_alone_are_run_and_equal_those_of_the_whole(study: Study) -> None:
    methods = baseline_methods(["linear"], "regression")
    whole = study.run(methods)
    study.protocol = replace(study.protocol, folds=[1])
    part = study.run(methods).drop(columns=SECONDS)
    expected = whole[whole["fold"] == 1].drop(columns=SECONDS).reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected, check_exact=True)
    for folds in ([2], []):
        study.protocol = replace(study.protocol, folds=folds)
        with pytest.raises(ValueError, match="folds 0 to 1"):
            study.run(methods)


def test_extended_study_keeps_what_it_has(study: Study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    study.run(counting(study.data, log), tmp_path)
    study.protocol = Protocol((0.3, 0.6, 1.0), 2, 2, 3, 0)
    study.run([*counting(study.data, log), *study.built_in("scratch")], tmp_path)
    # Folds x budgets with their draws; repeat 0 had 2 draws of 30 % and the full budget.
    assert count(log) == 6 + (4 * (3 + 3 + 1) - 6)


def test_equal_settings_of_two_names_are_computed_once(study: Study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    estimator = CountingMean(str(log))
    methods = own_methods({"a": (None, estimator), "b": (None, estimator)}, study.data, None)
    scores = study.run(methods)
    assert count(log) == 6
    first, second = (
        scores[scores["method"] == name].drop(columns="method").reset_index(drop=True)
        for name in "ab"
    )
    pd.testing.assert_frame_equal(first, second)


def test_encoder_is_pretrained_once_a_fold_and_found_again_without_photos(
    study: Study, pretrained_on: list[pd.DataFrame], photo_folder: Path, tmp_path: Path
) -> None:
    other_head = (study.prototypes.pretrainer, MTCMTMRegressor(finetune="frozen", head="embedding"))
    methods = [
        *study.built_in("mt_cmtm"),
        *own_methods({"other head": other_head}, study.data, None),
    ]
    first = study.run(methods, tmp_path)
    folds = [unit.fold for unit in plan_units(study.data, methods, study.protocol)]
    assert [X.index.tolist() for X in pretrained_on] == [fold.train.tolist() for fold in folds]
    shutil.rmtree(tmp_path / "cells")
    (tmp_path / "scores.csv").unlink()
    moved = photo_folder.with_name("moved")
    photo_folder.rename(moved)
    try:
        again = study.run(methods, tmp_path)
    finally:
        moved.rename(photo_folder)
    assert len(pretrained_on) == 2
    pd.testing.assert_frame_equal(
        first.drop(columns="fit_seconds"), again.drop(columns="fit_seconds"), check_exact=True
    )


def test_shuffled_photos_pretrains_on_other_pairs_of_the_same_rows(
    study: Study, pretrained_on: list[pd.DataFrame]
) -> None:
    study.run(study.built_in("mt_cmtm", "shuffled_photos"))
    true, shuffled = pretrained_on[:2]
    pd.testing.assert_frame_equal(true.drop(columns="photo"), shuffled.drop(columns="photo"))
    assert sorted(true["photo"]) == sorted(shuffled["photo"])
    assert (true["photo"] != shuffled["photo"]).mean() > 0.8


@pytest.mark.filterwarnings(NO_PHOTOS)
def test_scratch_and_masked_only_open_no_photo(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]
) -> None:
    study = Study(frame.assign(photo="missing.png"), amount, small)
    assert len(study.run(study.built_in("scratch", "masked_only"))) == 12
    with pytest.raises(FileNotFoundError, match=r"rows 0, .* of X.*missing\.png"):
        study.run(study.built_in("mt_cmtm"))


@pytest.mark.filterwarnings(NO_PHOTOS)
@pytest.mark.parametrize(
    ("weights", "wants_photos"),
    [
        ({"lambda_itc": 0.0, "lambda_itm": 0.0, "lambda_mtr": 1.0}, False),
        ({"lambda_itc": 1.0, "lambda_itm": 0.0}, True),
        ({"lambda_itc": 0.0, "lambda_itm": 1.0}, True),
    ],
)
def test_pretrainer_itself_tells_whether_photos_must_be_there(
    frame: pd.DataFrame,
    amount: np.ndarray,
    small: dict[str, Any],
    weights: dict[str, float],
    wants_photos: bool,
) -> None:
    study = Study(frame.assign(photo="missing.png"), amount, small)
    study.protocol = Protocol((1.0,), 2, 1, 1, 0, folds=[0])
    pretrainer = CITabPretrainer(
        image_size=32, image_encoder=small_resnet, max_epochs=1, dim=8, n_heads=2, n_layers=1
    ).set_params(**weights)
    pair = (pretrainer, CITabRegressor(finetune="frozen"))
    methods = own_methods({"citab": pair}, study.data, None)
    if wants_photos:
        with pytest.raises(FileNotFoundError, match=r"missing\.png"):
            study.run(methods)
    else:
        assert study.run(methods)["r2"].notna().all()


SLOW_STUDY = """
import sys, time
import numpy as np, pandas as pd
from sklearn.dummy import DummyRegressor
from tabimg.evaluation.data import read_data
from tabimg.evaluation.study.engine import run_study
from tabimg.evaluation.study.methods import own_methods
from tabimg.evaluation.study.plan import Protocol

class Slow(DummyRegressor):
    def fit(self, X, y):
        time.sleep(float(sys.argv[2]))
        print("fitted", flush=True)
        return super().fit(X, y)

frame = pd.DataFrame({"width": np.arange(30.0), "photo": None})
data = read_data(frame, np.arange(30) / 7, "photo", None, "auto")
methods = own_methods({"slow": (None, Slow())}, data, None)
run_study(data, methods, Protocol((0.5, 1.0), 5, 1, 3, 0), sys.argv[1], 1, 0)
"""


def test_killed_study_loses_at_most_the_cell_that_was_running(tmp_path: Path) -> None:
    def start(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SLOW_STUDY, str(tmp_path), str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = start(0.2)
    assert first.stdout is not None
    for _ in range(7):
        first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    n_fitted = 7 + first.stdout.read().count("fitted")
    first.wait(timeout=60)
    n_kept = len(list((tmp_path / "cells").glob("[!.]*.json")))
    assert n_kept >= n_fitted - 1
    assert not (tmp_path / "scores.csv").exists()
    output, _ = start(0.0).communicate(timeout=120)
    assert output.count("fitted") == 5 * 4 - n_kept
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 5 * 4


def test_further_cohorts_take_part_in_every_pretraining(
    study: Study, frame: pd.DataFrame, photo_folder: Path, tmp_path: Path
) -> None:
    other = frame.rename(columns={"pressure": "PressureBar"}).drop(columns=["support", "batch"])
    other["photo"] = [str(photo_folder / name) for name in other["photo"]]
    pretrainer = CITabPretrainer(
        image_size=32, image_encoder=small_resnet, max_epochs=1, dim=8, n_heads=2, n_layers=1
    )
    estimator = CITabRegressor(finetune="frozen")
    methods = own_methods(
        {
            "alone": (pretrainer, estimator),
            "together": (pretrainer, estimator, Unlabeled({"other": other})),
        },
        study.data,
        photo_folder,
    )
    units = plan_units(study.data, methods, study.protocol)
    assert len({unit.encoder_fingerprint for unit in units}) == len(units) == 4
    known = [_prepare(unit, study.data, tmp_path).pretrainer.codec_.names for unit in units[:2]]
    assert known == [("table",), ("table", "other")]
    scores = study.run(methods, tmp_path)
    assert scores["r2"].notna().all() and set(scores["method"]) == {"alone", "together"}
    changed = replace(methods[1], further=Unlabeled({"other": other.iloc[:30]}))
    names = {unit.encoder_fingerprint for unit in plan_units(study.data, [changed], study.protocol)}
    assert names.isdisjoint(unit.encoder_fingerprint for unit in units)


def small_resnet() -> ResNet:
    return ResNet(layers=(1, 1, 1, 1), width=4)
