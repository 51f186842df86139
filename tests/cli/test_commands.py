"""The commands as a user types them, on sixty rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tabimg

Run = Callable[..., Any]
FIT = ("fit", "cars.csv", "--target", "price", "-o", "model", "--categorical", "zip")


@pytest.fixture
def model(folder: Path, small: None, run: Run) -> Path:
    """The folder of a fitted regressor, taught by photos."""
    run(*FIT, "--images", "photos")
    return folder / "model"


def test_check_says_what_it_understood_and_prints_json(folder: Path, run: Run) -> None:
    (folder / "photos" / "007.png").write_bytes(b"no image")
    (folder / "photos" / "008.png").unlink()
    (folder / "photos" / "009.png").write_bytes((folder / "photos" / "010.png").read_bytes())
    arguments = ("check", "cars.csv", "-t", "price", "-i", "photos")
    told = run(*arguments)
    assert "59 of 60 rows have one, from 'photo'" in told.stderr
    assert "regression" in told.stdout and "row 7: " in told.stdout
    assert "--categorical zip" in told.stdout
    found = json.loads(run(*arguments, "--json").stdout)
    assert (found["n_with_photo"], found["n_missing"], found["n_doubled"]) == (58, 1, 2)
    assert [each["row"] for each in found["unreadable"]] == [7]
    assert (found["task"], found["n_without_target"]) == ("regression", 2)


def test_fit_saves_a_model_that_python_loads_and_predicts_alike(model: Path, run: Run) -> None:
    table = pd.read_csv("cars.csv")
    table.drop(columns=["photo", "price"]).to_csv("new.csv", index=False)
    run("predict", "model", "new.csv", "-o", "out.csv", "--keep", "width")
    written = pd.read_csv("out.csv")
    assert list(written.columns) == ["width", "prediction"]
    columns = table[["width", "zip", "colour", "dealer"]].astype({"zip": str})
    expected = tabimg.load(model / "model").predict(columns)
    np.testing.assert_allclose(written["prediction"], expected, rtol=1e-12)


@pytest.mark.parametrize("suffix", ["csv.gz", "tsv", "parquet", "arrow"])
def test_predict_reads_and_writes_each_kind_of_file(model: Path, run: Run, suffix: str) -> None:
    if suffix in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    run("predict", "model", "cars.csv", "-o", f"out.{suffix}")
    run("predict", "model", "cars.csv", "-o", "out.csv")
    read = {"parquet": pd.read_parquet, "arrow": pd.read_feather}.get(suffix, pd.read_csv)
    options = {"sep": "\t"} if suffix == "tsv" else {}
    found = read(f"out.{suffix}", **options)
    pd.testing.assert_frame_equal(found, pd.read_csv("out.csv"))


def test_predict_in_parts_is_predict_as_a_whole(
    model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("predict", "model", "cars.csv").stdout
    monkeypatch.setattr("tabimg.cli.streams.read_parts.__defaults__", ((), (), 7))
    assert run("predict", "model", "cars.csv").stdout == whole
    assert whole.count("\n") == 61


def test_standard_input_and_output_are_tables(model: Path, run: Run) -> None:
    table = Path("cars.csv").read_bytes()
    found = run("predict", "model", "-", stdin=table)
    assert found.stdout == run("predict", "model", "cars.csv").stdout
    packed = gzip.compress(table)
    error = run("predict", "model", "-", "--format", "zip", stdin=packed, code=1)
    assert error.stderr.startswith("error: --format must be one of")


def test_failed_prediction_leaves_the_earlier_file_alone(model: Path, run: Run) -> None:
    Path("out.csv").write_text("earlier")
    table = pd.read_csv("cars.csv").astype({"width": object})
    table.loc[50, "width"] = "wide"
    table.to_csv("new.csv", index=False)
    error = run("predict", "model", "new.csv", "-o", "out.csv", code=1)
    assert "'width'" in error.stderr and "Traceback" not in error.output
    assert Path("out.csv").read_text() == "earlier"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".out")] == []


def test_evaluate_scores_on_the_scale_of_the_table(folder: Path, small: None, run: Run) -> None:
    run(*FIT, "--log-target")
    found = json.loads(run("evaluate", "model", "cars.csv", "--json").stdout)
    run("predict", "model", "cars.csv", "-o", "out.csv")
    price = pd.read_csv("cars.csv")["price"][2:]
    errors = (pd.read_csv("out.csv")["prediction"][2:] - price).abs()
    assert found["rows"] == 58
    assert found["mae"] == pytest.approx(errors.mean())


def test_classes_come_with_their_probabilities(folder: Path, small: None, run: Run) -> None:
    run("fit", "cars.csv", "-t", "colour", "-o", "model", "--drop", "price", "--drop", "photo")
    run("predict", "model", "cars.csv", "-o", "out.csv", "--probabilities")
    found = pd.read_csv("out.csv")
    assert list(found.columns) == ["prediction", "probability_blue", "probability_red"]
    assert (found["probability_blue"] + found["probability_red"]).to_numpy() == pytest.approx(1)
    assert set(json.loads(run("evaluate", "model", "cars.csv", "--json").stdout)) > {"accuracy"}


def test_pretrained_encoder_is_used_by_a_later_fit(folder: Path, small: None, run: Run) -> None:
    run("pretrain", "cars.csv", "-i", "photos", "-o", "photos-seen", "--drop", "price",
        "--categorical", "zip")  # fmt: skip
    pd.read_csv("cars.csv").dropna().to_csv("cars.csv", index=False)
    run(*FIT, "--image-column", "photo", "--images", "photos", "--pretrained", "photos-seen")
    before, after = (tabimg.load(f"{name}/model") for name in ("photos-seen", "model"))
    arrays = after.pretrainer_.network_.arrays
    assert all((array == arrays[name]).all() for name, array in before.network_.arrays.items())


def test_run_file_repeats_the_run_and_options_go_first(model: Path, run: Run) -> None:
    first = run("predict", "model", "cars.csv").stdout
    run("fit", "--config", "model/run.toml", "-o", "again")
    assert run("predict", "again", "cars.csv").stdout == first
    assert 'categorical = ["zip"]' in Path("again/run.toml").read_text()


def test_info_describes_a_model_and_the_installation(model: Path, run: Run) -> None:
    found = json.loads(run("info", "model", "--json").stdout)
    assert (found["kind"], found["target"]) == ("MTCMTMRegressor", "price")
    assert found["columns"] == ["width", "zip", "colour", "dealer"]
    assert f"tabimg: {tabimg.__version__}" in run("info").stdout


@pytest.mark.slow
def test_study_reports_and_a_second_call_computes_nothing_again(
    folder: Path, small: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ("study", "cars.csv", "-t", "price", "-i", "photos", "-o", "run", "--time-limit", "10")
    found = json.loads(run(*study, "--categorical", "zip", "--json").stdout)
    assert {each["method"] for each in found["scores"]} >= {"mt_cmtm", "scratch", "random_forest"}
    assert any("photos change R²" in sentence for sentence in found["sentences"])
    report = Path("run/report.md").read_text("utf-8")
    assert all(sentence in report for sentence in found["sentences"])
    assert "2 rows have none" in report
    for name in ("photo_value", "_worth", "plan"):
        monkeypatch.delattr(f"tabimg.cli.study.{name}")
    again = json.loads(run("study", "--config", "run/run.toml", "--json").stdout)
    assert again["scores"] == found["scores"]


def test_report_is_one_file_of_the_saved_model(model: Path, run: Run) -> None:
    told = run("report", "model", "cars.csv", "--images", "photos", "-o", "out.html", "--json")
    assert json.loads(told.stdout) == {"rows": 58, "output": "out.html"}
    assert "2 rows without a target are left out" in told.stderr
    page = Path("out.html").read_text("utf-8")
    assert "58 of 58 rows have a photo" in page and "median_rank" in page
    assert "price: what the model learned" in page
