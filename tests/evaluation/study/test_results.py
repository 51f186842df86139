"""The summary against hand counts; the best baseline without a look at test rows; drawings."""

from __future__ import annotations

import io
import itertools
import sys

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation.statistics import corrected_interval
from tabimg.evaluation.study import StudyResult

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")

BUDGETS = {"100 %": (1.0, 80, 1), "10 %": (0.1, 8, 2)}
METHODS = ("linear", "scratch", "mt_cmtm")


def make_scores(metric: str = "accuracy", n_folds: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for (budget, (fraction, n_labels, n_draws)), method in itertools.product(
        BUDGETS.items(), METHODS
    ):
        for fold, draw in itertools.product(range(n_folds), range(n_draws)):
            rows.append(
                {
                    "method": method,
                    "repeat": 0,
                    "fold": fold,
                    "fraction": fraction,
                    "budget": budget,
                    "draw": draw,
                    "n_labels": n_labels,
                    "n_train": 80,
                    "n_test": 20,
                    metric: rng.uniform(0.5, 0.9) + 0.1 * (method == "mt_cmtm"),
                    "validation_loss": np.nan,
                    "pretrain_seconds": 1.0,
                    "fit_seconds": 1.0,
                    "fingerprint": f"{method}-{budget}-{fold}-{draw}",
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture
def result() -> StudyResult:
    return StudyResult(make_scores(), "accuracy", ("linear",))


def values_of(scores: pd.DataFrame, method: str, budget: str, metric: str) -> np.ndarray:
    """Scores by fold and draw, read the plain way."""
    rows = scores[(scores["method"] == method) & (scores["budget"] == budget)]
    return rows.sort_values(["fold", "draw"])[metric].to_numpy().reshape(5, -1)


def test_budgets_run_from_few_labels_to_many(result: StudyResult) -> None:
    assert result.budgets == ["10 %", "100 %"]
    assert result.methods == list(METHODS)
    assert result.parameters == []


def test_summary_averages_draws_within_folds_first(result: StudyResult) -> None:
    summary = result.summary().set_index(["budget", "method"])
    row = summary.loc[("10 %", "mt_cmtm")]
    ours, reference = (
        values_of(result.scores, name, "10 %", "accuracy").mean(axis=1)
        for name in ("mt_cmtm", "scratch")
    )
    assert (row["mean"], row["sd"]) == pytest.approx((ours.mean(), ours.std(ddof=1)))
    expected = corrected_interval(ours - reference, test_share=0.25)
    assert row["gain"] == pytest.approx(expected.mean)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((expected.low, expected.high))
    assert row["p_value"] == pytest.approx(expected.p_value)
    assert (row["n_folds"], row["n_labels"]) == (5, 8)


def test_reference_has_no_gain_over_itself(result: StudyResult) -> None:
    summary = result.summary().set_index(["budget", "method"])
    assert summary.loc[("100 %", "scratch"), ["gain", "p_value"]].isna().all()
    other = result.summary(reference="mt_cmtm").set_index(["budget", "method"])
    np.testing.assert_allclose(
        other.loc[("100 %", "scratch"), "gain"], -summary.loc[("100 %", "mt_cmtm"), "gain"]
    )


def test_gain_of_a_loss_is_the_share_saved() -> None:
    result = StudyResult(make_scores("relative_mse"), "relative_mse")
    ours, reference = (
        values_of(result.scores, name, "10 %", "relative_mse").mean(axis=1)
        for name in ("mt_cmtm", "scratch")
    )
    gains = result.differences("mt_cmtm", budget="10 %")
    np.testing.assert_allclose(gains, (reference - ours) / reference)


def test_differences_pair_cells_that_both_have() -> None:
    scores = make_scores()
    gone = (scores["method"] == "scratch") & (scores["fold"] == 2) & (scores["budget"] == "10 %")
    one_draw = gone & (scores["draw"] == 0)
    kept = StudyResult(scores[~one_draw], "accuracy").differences("mt_cmtm", budget="10 %")
    ours, reference = (
        values_of(scores, name, "10 %", "accuracy")[2, 1] for name in ("mt_cmtm", "scratch")
    )
    assert kept.loc[(0, 2)] == pytest.approx(ours - reference)
    whole_fold = StudyResult(scores[~gone], "accuracy").differences("mt_cmtm", budget="10 %")
    assert [fold for _, fold in whole_fold.index] == [0, 1, 3, 4]


def test_score_that_is_nan_is_left_out_and_counted() -> None:
    scores = make_scores("auc")
    scores.loc[(scores["fold"] == 0) & (scores["method"] == "mt_cmtm"), "auc"] = np.nan
    summary = StudyResult(scores, "auc").summary().set_index(["budget", "method"])
    assert summary.loc[("10 %", "mt_cmtm"), "n_folds"] == 4
    assert summary.loc[("10 %", "scratch"), "n_folds"] == 5
    assert np.isfinite(summary.loc[("10 %", "mt_cmtm"), "gain"])


def test_best_baseline_goes_by_validation_loss_and_not_by_score() -> None:
    scores = make_scores()
    forest = scores[scores["method"] == "linear"].assign(method="random_forest", accuracy=0.99)
    scores = pd.concat([scores, forest], ignore_index=True)
    fold = scores["fold"]
    scores.loc[scores["method"] == "linear", "validation_loss"] = 1.0
    scores.loc[scores["method"] == "random_forest", "validation_loss"] = fold - 1.5
    # A method that is no baseline is never picked, and a missing loss is no low one.
    scores.loc[scores["method"] == "scratch", "validation_loss"] = -9.0
    scores.loc[(scores["method"] == "random_forest") & (fold == 0), "validation_loss"] = np.nan
    result = StudyResult(scores, "accuracy", ("random_forest", "linear")).with_best_baseline()
    best = result.scores[result.scores["method"] == "best_baseline"].set_index(["budget", "fold"])
    picked = best["picked"].groupby("fold").unique().map(list).to_dict()
    assert picked == {
        0: ["linear"],
        1: ["random_forest"],
        2: ["random_forest"],
        3: ["linear"],
        4: ["linear"],
    }
    assert (best.loc[("10 %", 1), "accuracy"] == 0.99).all()
    assert len(best) == 15
    assert "best_baseline" in set(result.summary(reference="best_baseline")["method"])


def test_best_baseline_without_any_loss_is_the_first_named() -> None:
    scores = make_scores()
    result = StudyResult(scores, "accuracy", ("scratch", "linear")).with_best_baseline("rival")
    assert set(result.scores.loc[result.scores["method"] == "rival", "picked"]) == {"scratch"}
    with pytest.raises(ValueError, match="already a method 'rival'"):
        result.with_best_baseline("rival")
    with pytest.raises(ValueError, match="no baseline to choose from"):
        StudyResult(scores, "accuracy").with_best_baseline()


def test_markdown_has_a_row_a_method_and_a_column_a_budget(result: StudyResult) -> None:
    lines = result.to_markdown().splitlines()
    assert lines[0] == "| method | 10 % (8 labels) | 100 % (80 labels) |"
    assert [line.split("|")[1].strip() for line in lines[2:5]] == list(METHODS)
    row = result.summary().set_index(["budget", "method"]).loc[("10 %", "mt_cmtm")]
    cell = lines[4].split("|")[2].strip()
    assert cell == (
        f"{row['mean']:.3f} ± {row['sd']:.3f} ({100 * row['gain']:+.1f} "
        f"[{100 * row['gain_low']:+.1f}, {100 * row['gain_high']:+.1f}])"
    )
    assert "gain over scratch in points and its 95% interval" in lines[6]


def test_single_fold_is_summarised_without_intervals() -> None:
    result = StudyResult(make_scores(n_folds=1), "accuracy")
    assert result.summary()[["low", "high", "p_value"]].isna().all(axis=None)
    assert "nan" not in result.to_markdown()
    result.plot()
    pyplot.close("all")


def test_scores_survive_the_way_through_a_file(result: StudyResult) -> None:
    text = result.scores.to_csv(index=False)
    back = StudyResult(pd.read_csv(io.StringIO(text)), "accuracy", ("linear",))
    pd.testing.assert_frame_equal(back.summary(), result.summary())


def test_plot_shows_means_and_intervals(result: StudyResult) -> None:
    ax = result.plot(methods=["mt_cmtm", "scratch"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mt_cmtm", "scratch"]
    summary = result.summary().set_index("method").loc["mt_cmtm"]
    line = ax.containers[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), summary["mean"])
    segments = ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 1] for segment in segments], summary[["low", "high"]])
    assert ax.get_xscale() == "log" and ax.get_ylabel() == "Accuracy"
    pyplot.close("all")


def grid_result() -> StudyResult:
    base = make_scores()
    base = base[base["method"] == "mt_cmtm"]
    points = [
        base.assign(method=f"c={c}, m={m}", lambda_c=c, lambda_m=m, accuracy=10 * c + m)
        for c, m in itertools.product([0.1, 0.3, 1.0], [1.0, 2.0])
    ]
    points += [base.assign(method=f"mask={r}", mask_rate=r, accuracy=r) for r in (0.1, 0.5)]
    return StudyResult(pd.concat(points, ignore_index=True), "accuracy")


def test_heat_map_of_two_parameters_shows_their_mean_scores() -> None:
    result = grid_result()
    assert result.parameters == ["lambda_c", "lambda_m", "mask_rate"]
    ax = result.heat_map()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lambda_c", "lambda_m")
    np.testing.assert_allclose(ax.images[0].get_array(), [[2.0, 4.0, 11.0], [3.0, 5.0, 12.0]])
    assert {text.get_text() for text in ax.texts} >= {"2.000", "12.000"}
    pyplot.close("all")


def test_heat_map_of_one_parameter_shows_the_budgets() -> None:
    figure, ax = pyplot.subplots()
    assert grid_result().heat_map("mask_rate", "budget", ax=ax) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["10 %", "100 %"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.1, 0.5], [0.1, 0.5]])
    pyplot.close(figure)


@pytest.mark.parametrize(
    ("x", "y"), [("budget", "lambda_c"), ("speed", None), ("lambda_c", "lambda_c")]
)
def test_heat_map_refuses_what_was_not_varied(x: str, y: str | None) -> None:
    with pytest.raises(ValueError, match="a heat map needs two of"):
        grid_result().heat_map(x, y)


def test_study_without_parameters_has_no_heat_map(result: StudyResult) -> None:
    for y in (None, "budget"):
        with pytest.raises(ValueError, match="a heat map needs two of"):
            result.heat_map(y=y)


def test_missing_matplotlib_is_named_with_what_to_install(
    result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'tabimg\[plot\]'"):
        result.plot()


def test_bad_input_is_refused_by_name(result: StudyResult) -> None:
    scores = result.scores
    with pytest.raises(ValueError, match="metric must be one of"):
        StudyResult(scores, "beauty")
    with pytest.raises(ValueError, match=r"lack the columns \['draw', 'auc'\]"):
        StudyResult(scores.drop(columns="draw"), "auc")
    with pytest.raises(ValueError, match="no row"):
        StudyResult(scores[:0], "accuracy")
    with pytest.raises(ValueError, match="a cell twice"):
        StudyResult(pd.concat([scores, scores[:1]]), "accuracy")
    with pytest.raises(ValueError, match="there is no method 'magic'"):
        result.summary(reference="magic")
    with pytest.raises(ValueError, match="there is no budget '7 %'"):
        result.differences("mt_cmtm", budget="7 %")
