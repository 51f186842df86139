"""The sets of MulTaBench are read as they lie on Kaggle, and the page says what was found."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

PROGRAMS = Path(__file__).parents[2] / "examples" / "benchmarks"
BASELINES = ("linear",)
METHODS = ("scratch", "mt_cmtm", *BASELINES)
N_ROWS = 60


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module("multabench")


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small sets in the layout of Kaggle's: of numbers, of two classes and of three."""
    monkeypatch.setenv("TABIMG_DATA", str(tmp_path))
    weights = np.random.default_rng(0).normal(size=N_ROWS)
    make_set(tmp_path / "multabench-mango-mass", "mass", weights)
    make_set(tmp_path / "multabench-hateful-meme", "hateful", (weights > 0).astype(int))
    thirds = np.argsort(np.argsort(weights)) * 3 // N_ROWS
    names = np.array(["healthy", "suspect", "ill"])[thirds]
    make_set(tmp_path / "multabench-glaucoma-smdg", "types", names)
    return tmp_path


@pytest.fixture
def run(program: Any, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call the program with small networks, in a repository of its own; gives the page."""

    def prototypes(bench: Any, data: Any) -> dict[str, Any]:
        estimator = make.classifier if data.task == "classification" else make.regressor
        return {
            "pretrainer": make.pretrainer(),
            "estimator": estimator(finetune="full", max_epochs=1),
        }

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["multabench.py", *arguments])
        program.main()
        quick = "--quick" in arguments
        docs = ".benchmarks/quick/docs" if quick else "docs/benchmarks"
        return (tmp_path / docs / "multabench.md").read_text(encoding="utf-8")

    monkeypatch.setattr(importlib.import_module("runs"), "ROOT", tmp_path)
    monkeypatch.setattr(program.Bench, "prototypes", prototypes)
    monkeypatch.setattr(program, "CORE_BASELINES", BASELINES)
    return call


def make_set(folder: Path, target: str, values: np.ndarray) -> None:
    """Write a set; its photos are as bright as the target's rank."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(1)
    ranks = np.unique(values, return_inverse=True)[1]
    names = [f"images/{row:02d}.png" for row in range(N_ROWS)]
    for name, rank in zip(names, ranks, strict=True):
        noise = rng.integers(0, 40, size=(36, 36, 3))
        Image.fromarray((noise + 3 * rank).astype(np.uint8)).save(folder / name)
    table = pd.DataFrame(
        {
            "length": ranks + rng.normal(size=N_ROWS),
            "shape": rng.choice(["long", "round"], N_ROWS),
            "remark": [f"seen on day {row}" for row in range(N_ROWS)],
            "picture": names,
            target: values,
        }
    )
    table.to_csv(folder / "data.csv", index=False)
    facts = {"slug": folder.name, "target": target, "image_col": "picture"}
    (folder / "metadata.json").write_text(json.dumps(facts), encoding="utf-8")


def keep_scores(program: Any, bench: Any, data: Any, gain: float) -> None:
    """Keep scores in which MT-CMTM is better than all others by about ``gain`` in every fold."""
    rows = []
    for fold in range(5):
        for fraction in (0.1, 1.0):
            for method in METHODS:
                better = (gain + 0.001 * fold) * (method == "mt_cmtm")
                base = 0.6 + 0.01 * fold
                value = base + better if data.metric == "auc" else base * (1 - better)
                place = {"repeat": 0, "fold": fold, "draw": 0, "fraction": fraction}
                size = {"n_labels": 80 * fraction, "n_train": 80, "n_test": 20}
                budget = f"{100 * fraction:g} %"
                cell = {"method": method, **place, **size, "budget": budget, data.metric: value}
                name = f"{method}{fold}{fraction}"
                rows.append({**cell, "validation_loss": 1.0, "fingerprint": name})
    settings = {"pretrainer": {"lr": 0.1}, "estimator": {"lr": 0.2}, "set": asdict(data)}
    program.keep_results(bench, data.name, pd.DataFrame(rows), settings)


def test_quick_run_writes_page_and_scores(run: Any, replica: Path) -> None:
    page = run("--quick", "--sets", "mango-mass", "glaucoma-smdg")
    assert "**No results** for celeb-attractiveness, hateful-meme, mammography-cmmd," in page
    assert "| AUC, points (0) | log loss, % (1) | MSE, % (1) | won | tied | lost |" in page
    assert "mass from length, shape. chico89/multabench-mango-mass on Kaggle." in page
    assert "Left out as text: remark. 60 rows; 1 of 5 folds." in page
    results = replica / ".benchmarks" / "quick" / "docs" / "results"
    scores = pd.read_csv(results / "multabench-glaucoma-smdg.csv")
    assert set(scores["method"]) == set(METHODS)
    assert scores["log_loss"].notna().all() and (scores["n_labels"] == scores["n_train"]).all()


def test_run_keeps_to_the_rows_and_labels_asked_for_and_resumes(
    run: Any, replica: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--sets", "hateful-meme", "--rows", "50", "--labels", "0.5")
    page = run(*asked)
    assert "50 rows; 5 of 5 folds." in page
    assert "15 cells, 0 of them finished earlier" in capsys.readouterr().out
    assert run(*asked) == page
    assert "15 cells, 15 of them finished earlier" in capsys.readouterr().out
    assert run("--page") == page
    scores = pd.read_csv(
        replica / "docs" / "benchmarks" / "results" / "multabench-hateful-meme.csv"
    )
    assert set(scores["n_labels"]) == {20}


def test_page_counts_sets_won_tied_and_lost(run: Any, program: Any, replica: Path) -> None:
    bench = program.Bench([], 1, False, False, True, replica, replica / "docs" / "benchmarks")
    for name, gain in (("mango-mass", 0.2), ("hateful-meme", -0.1), ("glaucoma-smdg", -0.002)):
        data = program.declare(name, replica / program.slug(name))
        keep_scores(program, bench, data, gain)
    page = run("--page")
    assert "| 10 % | scratch | -9.8 [" in page
    counted = [line for line in page.splitlines() if line.endswith("| 1 | 1 | 1 |")]
    assert len(counted) == 4  # two fractions, over scratch and over the best baseline
    assert "| mango-mass | MSE, % | 100 % | +20.2 [" in page
    assert "`lr=0.1`" in page.split("## Configuration")[1]


def test_set_is_declared_by_its_own_metadata(program: Any, replica: Path) -> None:
    metrics = {"mango-mass": "relative_mse", "hateful-meme": "auc", "glaucoma-smdg": "log_loss"}
    for name, metric in metrics.items():
        data = program.declare(name, replica / program.slug(name))
        assert (data.metric, data.columns) == (metric, ("length", "shape"))
        rows = program.load(data, replica / program.slug(name))
        assert list(rows.table.columns) == ["length", "shape", "picture"]


def test_text_is_many_or_mostly_distinct_strings(program: Any) -> None:
    many = [f"word {number}" for number in range(100)]
    assert program.is_text(pd.Series(many * 3))
    assert program.is_text(pd.Series([*many[:8], *many[:2]]))
    assert not program.is_text(pd.Series(many[:99] * 3))
    assert not program.is_text(pd.Series(range(300)))


def test_metadata_that_names_an_absent_column_is_error(program: Any, replica: Path) -> None:
    folder = replica / "multabench-mango-mass"
    (folder / "metadata.json").write_text('{"target": "price", "image_col": "picture"}')
    with pytest.raises(ValueError, match=r"target and image_col, got \['price', 'picture'\]"):
        program.declare("mango-mass", folder)


def test_nothing_is_fetched_unasked(
    program: Any, replica: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert program.locate("mango-mass", download=True) == replica / "multabench-mango-mass"
    assert program.locate("petfinder", download=False) is None
    assert "petfinder: not found" in capsys.readouterr().out
    with pytest.raises(ImportError, match="pip install kagglehub"):
        program.locate("petfinder", download=True)


def test_missing_set_is_fetched_by_its_name_on_kaggle(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = SimpleNamespace(dataset_download=lambda name: str(tmp_path / name))
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    monkeypatch.delenv("TABIMG_DATA", raising=False)
    assert program.locate("petfinder", True) == tmp_path / "chico89" / "multabench-petfinder"
