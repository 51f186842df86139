"""The public protocols: what they hand to the engine and what they return."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier

from tabimg import MTCMTMClassifier
from tabimg.evaluation import StudyResult, ablation_study, label_curve, sensitivity

SECONDS = ["pretrain_seconds", "fit_seconds"]


def test_ablation_study_of_classes_with_baselines_and_own_methods(
    frame: pd.DataFrame, kind: np.ndarray, small_of_classes: dict[str, Any], tmp_path: Path
) -> None:
    result = ablation_study(
        frame,
        kind,
        **small_of_classes,
        methods=["scratch", "mt_cmtm"],
        baselines=["linear"],
        extra_methods={"most frequent": (None, DummyClassifier())},
        results_dir=tmp_path,
    )
    assert isinstance(result, StudyResult)
    assert result.metric == "accuracy"
    assert result.baselines == ("linear",)
    assert set(result.scores["method"]) == {"scratch", "mt_cmtm", "linear", "most frequent"}
    guessed = result.scores[result.scores["method"] == "most frequent"]
    assert (guessed["auc"] == 0.5).all()
    assert "mt_cmtm" in result.to_markdown()
    assert len(result.with_best_baseline().scores) == len(result.scores) * 5 // 4
    read = pd.read_csv(tmp_path / "scores.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(read, result.scores, check_exact=True)


def test_ablation_study_resumed_from_committed_scores_alone_is_equal(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any], tmp_path: Path
) -> None:
    names = {"methods": ["mt_cmtm"], "baselines": ["linear"]}
    first = ablation_study(frame, amount, **small, **names, results_dir=tmp_path / "first")
    text = (tmp_path / "first" / "scores.csv").read_text()
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "scores.csv").write_text(text)
    again = ablation_study(frame, amount, **small, **names, results_dir=tmp_path / "clone")
    pd.testing.assert_frame_equal(again.scores, first.scores, check_exact=True)
    assert [path.name for path in (tmp_path / "clone").iterdir()] == ["scores.csv"]
    assert (tmp_path / "clone" / "scores.csv").read_text() == text


def test_two_studies_share_a_folder(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any], tmp_path: Path
) -> None:
    plain = {**small, "baselines": ["linear"], "results_dir": tmp_path}
    first = {**plain, "methods": ["scratch", "mt_cmtm"]}
    second = {**plain, "methods": ["mt_cmtm", "masked_only"], "label_fractions": (0.5,)}
    scores = ablation_study(frame, amount, **first).scores
    others = ablation_study(frame, amount, **{**second, "n_draws": 1}).scores
    # Two folds of mt_cmtm, pre-trained once for both studies, and two of masked_only.
    assert len(list((tmp_path / "encoders").glob("*.json"))) == 4
    n_cells = len(list((tmp_path / "cells").glob("*.json")))
    assert n_cells == len(scores) + len(others)
    again = ablation_study(frame, amount, **first).scores
    pd.testing.assert_frame_equal(again, scores, check_exact=True)
    assert len(list((tmp_path / "cells").glob("*.json"))) == n_cells


def test_ablation_study_same_for_polars(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]
) -> None:
    results = [
        ablation_study(X, amount, **small, methods=["mt_cmtm"], baselines=["linear"]).scores
        for X in (frame, pl.from_pandas(frame))
    ]
    pd.testing.assert_frame_equal(*(scores.drop(columns=SECONDS) for scores in results))


def test_ablation_study_settings_hold_the_exact_configuration(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]
) -> None:
    result = ablation_study(frame, amount, **small, methods=["scratch"], baselines=[])
    assert result.metric == "relative_mse"
    settings = result.settings
    assert (settings["task"], settings["n_rows"], settings["n_columns"]) == ("regression", 60, 3)
    assert (settings["n_folds"], settings["label_fractions"]) == (2, [0.3, 1])
    assert settings["pretrainer"]["image_size"] == 32
    assert settings["estimator"]["finetune"] == "frozen"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["mtcmtm"]}, r"there is no 'mtcmtm' \(did you mean methods=\['mt_cmtm'\]"),
        ({"baselines": ["forest"]}, "forest"),
        ({"metric": "accuracy"}, "metric must be one of"),
        ({"extra_methods": {"scratch": (None, DummyClassifier())}}, r"\['scratch'\] are named"),
        ({"label_fractions": [5, 10]}, r"label_fractions must be numbers in \(0, 1\]"),
        ({"n_folds": 50}, "n_folds=50"),
    ],
)
def test_ablation_study_bad_parameters_are_errors_before_anything_is_computed(
    frame: pd.DataFrame,
    amount: np.ndarray,
    small: dict[str, Any],
    change: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=message):
        ablation_study(frame, amount, **{**small, **change}, results_dir=tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": "scratch"}, r"sequence of names, such as \['scratch'\]"),
        ({"random_state": None}, "random_state must be an int"),
        ({"label_fractions": 0.5}, "must be a sequence of numbers, got 0.5"),
        ({"extra_methods": {"ridge": (None, RidgeClassifier())}}, "no predict_proba"),
    ],
)
def test_ablation_study_values_of_a_wrong_type_are_told(
    frame: pd.DataFrame,
    kind: np.ndarray,
    small_of_classes: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(TypeError, match=message):
        ablation_study(frame, kind, **{**small_of_classes, **change})


def test_photo_that_is_not_there_is_named_by_its_row_before_anything_is_computed(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any], tmp_path: Path
) -> None:
    frame.loc[40, "photo"] = "gone.png"
    for study in (ablation_study, sensitivity):
        with pytest.raises(FileNotFoundError, match=r"row 40 of X: .*gone\.png"):
            study(frame, amount, **small, results_dir=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_photos_that_are_let_pass_stop_no_study(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any], tmp_path: Path
) -> None:
    frame.loc[40, "photo"] = "gone.png"
    (tmp_path / "broken.png").write_bytes(b"no image")
    frame.loc[41, "photo"] = str(tmp_path / "broken.png")
    lenient = clone(small["pretrainer"]).set_params(on_bad_image="skip")
    small = {**small, "pretrainer": lenient}
    found = ablation_study(frame, amount, **small, methods=["mt_cmtm"], baselines=[])
    assert found.scores["r2"].notna().all()


def test_ablation_study_estimator_of_the_other_task_is_error(
    frame: pd.DataFrame, small: dict[str, Any]
) -> None:
    small = {**small, "estimator": MTCMTMClassifier()}
    with pytest.raises(TypeError, match="needs estimator=MTCMTMRegressor"):
        ablation_study(frame, np.arange(60) / 7, **small, task="regression")


def test_verbose_tells_how_far_it_is(
    frame: pd.DataFrame,
    amount: np.ndarray,
    small: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ablation_study(frame, amount, **small, methods=["scratch"], baselines=[], verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 cells, 0 of them finished earlier"
    assert lines[1].startswith("repeat 0, fold 0, scratch: 3 of 6 cells, ")
    assert lines[2].startswith("repeat 0, fold 1, scratch: 6 of 6 cells, ")


def test_label_curve_is_an_ablation_study_over_fractions(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]
) -> None:
    given = {**small, "label_fractions": (0.2, 0.5), "baselines": ["linear"]}
    curve = label_curve(frame, amount, **given)
    study = ablation_study(frame, amount, **given, methods=["scratch", "mt_cmtm"])
    pd.testing.assert_frame_equal(
        curve.scores.drop(columns=SECONDS), study.scores.drop(columns=SECONDS)
    )
    pytest.importorskip("matplotlib").use("Agg")
    assert curve.plot().get_xlabel()


def test_sensitivity_has_a_column_for_each_parameter_and_shares_equal_points(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any], tmp_path: Path
) -> None:
    grid = [{"lambda_c": [0.5, 1.0], "lambda_m": [0.5, 1.0]}, {"mask_rate": [0.1]}]
    small = {**small, "label_fractions": (1.0,)}
    result = sensitivity(frame, amount, grid=grid, **small, results_dir=tmp_path)
    scores = result.scores.set_index("method")
    assert result.parameters == ["lambda_c", "lambda_m", "mask_rate"]
    assert len(scores) == 2 * (1 + 4 + 1)
    assert (scores.loc["lambda_c=0.5, lambda_m=1.0", "lambda_c"] == 0.5).all()
    assert scores.loc["mask_rate=0.1", "lambda_c"].isna().all()
    assert scores.loc["scratch", result.parameters].isna().all(axis=None)
    # The default is a point of both grids, and is computed once.
    equal = [
        scores.loc[name, "fingerprint"].tolist()
        for name in ("lambda_c=1.0, lambda_m=1.0", "mask_rate=0.1")
    ]
    assert equal[0] == equal[1]
    assert len(list((tmp_path / "encoders").glob("*.json"))) == 2 * 4
    pytest.importorskip("matplotlib").use("Agg")
    assert result.heat_map().get_xlabel()


def test_faces_agree_on_their_parameters() -> None:
    wanted = inspect.signature(ablation_study).parameters
    own = {"grid", "methods", "label_fractions", "n_folds", "n_draws"}
    for face in (label_curve, sensitivity):
        for name, parameter in inspect.signature(face).parameters.items():
            if name == "parameters" or (name in own and face is sensitivity):
                continue
            assert parameter == wanted[name], (face.__name__, name)
