"""The page of results says what the scores say, whichever sets are there."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation import StudyResult, pooled_difference

PROGRAMS = Path(__file__).parents[2] / "examples" / "benchmarks"
METHODS = ("scratch", "mt_cmtm", "linear", "random_forest", "boosting")
FRACTIONS = {0.05: "5 %", 0.1: "10 %", 0.25: "25 %", 1.0: "100 %"}
N_FOLDS, N_DRAWS = 5, 2


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a benchmark's module by its name, as its programs do."""
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module


@pytest.fixture
def bench(programs: Any, tmp_path: Path) -> Any:
    return programs("runs").Bench([], 1, False, False, True, tmp_path, tmp_path / "docs")


def make_scores(metric: str, gain: float = 0.04, extra: str | None = None) -> pd.DataFrame:
    """Scores in which MT-CMTM is ahead of scratch by ``gain``, the same in every cell."""
    rng = np.random.default_rng(0)
    rows = []
    for fold in range(N_FOLDS):
        for fraction, budget in FRACTIONS.items():
            for draw in range(N_DRAWS if fraction < 0.25 else 1):
                base = 0.6 + 0.05 * rng.random()
                for number, method in enumerate(METHODS if extra is None else (*METHODS, extra)):
                    if method == extra and draw:
                        continue
                    better = {"scratch": 0.0, "mt_cmtm": gain}.get(method, -0.01 * number)
                    value = base * (1 - better) if metric == "relative_mse" else base + better
                    rows.append(
                        {
                            **{"method": method, "repeat": 0, "fold": fold, "fraction": fraction},
                            **{"budget": budget, "draw": draw, "n_labels": 100 * fraction},
                            **{"n_train": 80, "n_test": 20, metric: value},
                            "validation_loss": 1.0 + number if number > 1 else np.nan,
                            **{"pretrain_seconds": 60.0 * (number == 1), "fit_seconds": 6.0},
                            "fingerprint": f"{method}{fold}{budget}{draw}",
                        }
                    )
    return pd.DataFrame(rows)


def keep(bench: Any, programs: Any, name: str, **params: Any) -> None:
    data = programs("sets").SETS[name]
    settings = {"pretrainer": {"lr": 0.1}, "estimator": {"lr": 0.2}}
    programs("runs").keep_results(bench, name, make_scores(data.metric, **params), settings)


def page_of(bench: Any, programs: Any) -> str:
    accuracy = programs("accuracy")
    programs("accuracy_page").write(bench, accuracy.read_all(bench))
    return (bench.docs / "accuracy.md").read_text(encoding="utf-8")


def test_page_without_results_names_what_is_missing(bench: Any, programs: Any) -> None:
    page = page_of(bench, programs)
    assert "Not there yet" in page
    assert "food_ecustfd, derm_ham10000, derm_isic2017, derm_ph2" in page


@pytest.mark.slow
def test_page_of_some_sets_is_preliminary_and_keeps_the_roles_apart(
    bench: Any, programs: Any
) -> None:
    for name, gain in (("food_ecustfd", 0.1), ("derm_ph2", 0.04), ("leaf_species", 0.5)):
        keep(bench, programs, name, gain=gain)
    page = page_of(bench, programs)
    headline, rest = page.split("## Confirmation sets")
    assert "**Preliminary**: no results of derm_ham10000, derm_isic2017." in headline
    # 4 points and 10 % of the MSE; the 50 points of the development set do not count.
    few = "| 5 % and 10 % of the labels, over scratch | +4.0 [+4.0, +4.0] | +10.0 [+10.0, +10.0] |"
    assert f"{few} +7.0 [+4.0, +10.0] |" in headline
    assert "| few labels: +5 points over scratch in classification | +4.0" in headline
    assert rest.index("### food_ecustfd") < rest.index("## Development sets")
    assert rest.index("### leaf_species") > rest.index("## Development sets")
    for figure in ("accuracy-gains", "accuracy-derm_ph2"):
        assert (bench.docs / "figures" / f"{figure}.svg").exists()
    assert "5.0 min of pre-training" in rest  # a minute in each of five folds


def test_page_says_what_of_the_way_to_all_labels_is_gained(bench: Any, programs: Any) -> None:
    scores = make_scores("accuracy").query("method in ['scratch', 'mt_cmtm']")
    scores["accuracy"] = np.where(scores["method"] == "mt_cmtm", 0.65, 0.6)
    scores.loc[scores["budget"] == "100 %", "accuracy"] = 0.8
    outcome = programs("headline").Outcome(
        programs("sets").SETS["derm_ph2"], StudyResult(scores, "accuracy")
    )
    line = programs("headline").distances([outcome]).splitlines()[-1]
    assert line == "| derm_ph2, Accuracy | 0.600 | 0.650 | 0.800 | 25 % |"


def test_page_says_what_photos_are_worth_in_labels(bench: Any, programs: Any) -> None:
    headline, data = programs("headline"), programs("sets").SETS["derm_ph2"]
    scores = make_scores("accuracy").query("method in ['scratch', 'mt_cmtm']")
    curve = dict(zip(FRACTIONS.values(), np.linspace(0.5, 0.7, len(FRACTIONS)), strict=True))
    scores["accuracy"] = scores["budget"].map(curve) + 0.3 * (scores["method"] == "mt_cmtm")
    first = scores[scores["budget"] == next(iter(curve))]
    outcomes = [headline.Outcome(data, StudyResult(each, "accuracy")) for each in (scores, first)]
    lines = headline.worths([outcomes[0], outcomes[0], outcomes[1]]).splitlines()
    most = max(FRACTIONS) / min(FRACTIONS)
    assert len(lines) == 5  # one budget alone is worth nothing
    assert f">{most:.1f} [{most:.1f}, ∞)" in lines[2]
    assert lines[4].startswith("| **geometric mean** (2) |")
    assert f"{most:.2f} [{most:.2f}, {most:.2f}]" in lines[4]
    assert len(headline.worths(outcomes[1:]).splitlines()) == 2


@pytest.mark.slow
def test_losses_are_named_and_fail_what_was_asked_for(bench: Any, programs: Any) -> None:
    keep(bench, programs, "derm_ph2", gain=-0.02)
    keep(bench, programs, "derm_isic2017", gain=0.03)
    page = page_of(bench, programs)
    worst = "all labels: no set more than 0.5 points or 1 % of MSE below scratch"
    assert f"| {worst} | derm_ph2 -2.0 | **no** |" in page
    assert "- derm_ph2, 100 %, scratch: -2.0 [-2.0, -2.0]" in page
    assert "- derm_isic2017, 100 %, scratch" not in page


def test_averages_are_those_of_the_hierarchical_bootstrap(bench: Any, programs: Any) -> None:
    headline, accuracy = programs("headline"), programs("accuracy")
    gains = {"derm_ham10000": 0.01, "derm_isic2017": 0.06, "derm_ph2": 0.02}
    for name, gain in gains.items():
        keep(bench, programs, name, gain=gain)
    found = headline.pooled(accuracy.read_all(bench), headline.FEW, "scratch")
    expected = pooled_difference({name: [gain] * N_FOLDS for name, gain in gains.items()})
    assert (found.mean, found.n) == (pytest.approx(0.03), 3)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_best_baseline_is_chosen_where_all_baselines_are(bench: Any, programs: Any) -> None:
    page = programs("accuracy_page")
    scores = make_scores("accuracy", extra="catboost")
    scores.loc[scores["method"] == "catboost", "validation_loss"] = 0.5
    outcome = page.as_outcome(programs("sets").SETS["derm_ph2"], scores)
    best = outcome.study.scores.query("method == 'best_baseline'")
    assert set(best["picked"]) == {"catboost"}
    assert set(best["draw"]) == {0}


def test_results_keep_how_they_came_about(bench: Any, programs: Any) -> None:
    runs = programs("runs")
    keep(bench, programs, "derm_ph2")
    note = runs.read_settings(bench, "derm_ph2")
    assert note["code"] == [runs.code_digest()]
    assert note["settings"]["pretrainer"] == {"lr": 0.1}
    path = bench.file("derm_ph2", ".json")
    path.write_text(path.read_text().replace(runs.code_digest(), "older"))
    keep(bench, programs, "derm_ph2")  # nothing new: the note stays
    assert runs.read_settings(bench, "derm_ph2")["code"] == ["older"]
    scores = make_scores("accuracy").iloc[:-1]
    runs.keep_results(bench, "derm_ph2", scores, note["settings"])
    assert set(runs.read_settings(bench, "derm_ph2")["code"]) == {"older", runs.code_digest()}
    assert "more than one" in page_of(bench, programs)
