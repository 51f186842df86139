"""Benchmark programs resume from the work folder, or from the committed table alone."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation import ablation_study

PROGRAMS = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module("runs")


@pytest.fixture
def linear() -> dict[str, Any]:
    """A study of a moment."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"width": rng.normal(size=40), "photo": None})
    target = 2 * table["width"].to_numpy() + rng.normal(size=40)
    return {
        **{"X": table, "y": target, "image_column": "photo", "task": "regression"},
        **{"methods": (), "baselines": ["linear"], "n_folds": 2, "n_draws": 1},
        "label_fractions": (0.5, 1.0),
    }


def test_run_resumes_from_committed_scores_alone_unless_it_is_to_be_fresh(
    runs: Any, linear: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def bench(fresh: bool = False) -> Any:
        return runs.Bench([], 1, False, fresh, False, tmp_path / "work", tmp_path / "docs")

    def run(fresh: bool = False) -> pd.DataFrame:
        return bench(fresh).run("ablation-small", "small", ablation_study, **linear).scores

    scores = run()
    assert "4 cells, 0 of them finished earlier" in capsys.readouterr().out
    runs.keep_results(bench(), "ablation-small", scores, {})
    shutil.rmtree(tmp_path / "work")
    pd.testing.assert_frame_equal(run(), scores, check_exact=True)
    assert "4 cells, 4 of them finished earlier" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "work")
    run(fresh=True)
    assert "4 cells, 0 of them finished earlier" in capsys.readouterr().out


def test_results_of_another_state_of_the_code_are_reported(
    runs: Any, linear: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = runs.Bench([], 1, False, False, False, tmp_path / "work", tmp_path / "docs")
    scores = bench.run("small", "small", ablation_study, **linear).scores
    runs.keep_results(bench, "small", scores, {})
    note = bench.file("small", ".json")
    note.write_text(note.read_text().replace(runs.code_digest(), "000000000000"))
    capsys.readouterr()
    bench.run("small", "small", ablation_study, **linear)
    assert "another state of the code" in capsys.readouterr().out


def test_quick_run_stays_in_the_work_folder_and_starts_from_nothing(
    runs: Any, tmp_path: Path
) -> None:
    (tmp_path / "quick" / "old").mkdir(parents=True)
    parser = runs.make_parser("a program")
    bench = runs.begin(parser.parse_args(["--quick", "--work", str(tmp_path)]))
    assert not (tmp_path / "quick").exists()
    assert bench.file("any").is_relative_to(tmp_path / "quick")
    assert len(bench.sets) == len(runs.SETS)
