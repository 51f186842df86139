"""Labels' worth of a study: which scores are compared, what is refused, what is shown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation import StudyResult, pooled_labels_worth

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")

BUDGETS = {"10 %": 10, "40 %": 40, "100 %": 100}
CURVES = {"scratch": (0.5, 0.7, 0.8), "mt_cmtm": (0.6, 0.75, 0.85), "linear": (0.4, 0.65, 0.8)}
# What folds differ by, for all methods alike.
EASE = (-0.2, 0.0, 0.1, 0.1)


@pytest.fixture
def make_scores() -> Callable[..., pd.DataFrame]:
    """Make the scores of two draws in each of four folds from the mean curve of each method."""

    def make(metric: str = "accuracy", **curves: tuple[float, ...]) -> pd.DataFrame:
        sizes = {"n_train": 100, "n_test": 25}
        rows = [
            {
                "method": method,
                **{"repeat": 0, "fold": fold, "draw": draw, "budget": budget},
                **{"fraction": n / 100, "n_labels": n, **sizes},
                metric: score + ease + 0.01 * draw,
            }
            for method, curve in (curves or CURVES).items()
            for (budget, n), score in zip(BUDGETS.items(), curve, strict=True)
            for fold, ease in enumerate(EASE)
            for draw in range(2)
        ]
        return pd.DataFrame(rows)

    return make


@pytest.fixture
def scores(make_scores: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make_scores()


def worths_of(scores: pd.DataFrame) -> list[float]:
    """Worth of MT-CMTM at the budgets, few labels first."""
    return StudyResult(scores, "accuracy").labels_worth(method="mt_cmtm")["worth"].tolist()


def test_worth_of_every_method_at_every_budget_is_a_row(scores: pd.DataFrame) -> None:
    found = StudyResult(scores, "accuracy").labels_worth()
    assert list(found.columns) == [
        *("method", "fraction", "budget", "n_labels", "n_folds"),
        *("worth", "low", "high", "censored"),
    ]
    assert found["method"].tolist() == ["mt_cmtm"] * 3 + ["linear"] * 3
    assert found["fraction"].tolist() == [0.1, 0.4, 1.0] * 2
    assert found["n_labels"].tolist() == [10, 40, 100] * 2
    # Half way, in logarithms: 10 to 40, 40 to 100; more than all; less than any; 3/4 of 10 to 40.
    expected = [2.0, np.sqrt(2.5), 1.0, 1.0, 10**0.25 * 40**0.75 / 40, 1.0]
    np.testing.assert_allclose(found["worth"], expected)
    assert found["censored"].tolist() == ["", "", ">", "<", "", ""]
    assert (found["n_folds"] == 4).all()
    np.testing.assert_allclose(found["low"], [2.0, np.sqrt(2.5), 1.0, 0.0, *expected[4:]])
    np.testing.assert_allclose(found["high"], [2.0, np.sqrt(2.5), np.inf, 1.0, *expected[4:]])


def test_another_metric_and_reference_may_be_asked_for(scores: pd.DataFrame) -> None:
    both = StudyResult(scores.assign(log_loss=1 - scores["accuracy"]), "accuracy")
    first = both.labels_worth()
    pd.testing.assert_frame_equal(both.labels_worth("log_loss"), first)
    found = both.labels_worth(reference="linear", method="scratch")
    assert found["worth"].iloc[0] == pytest.approx(4.0 ** (0.1 / 0.25))
    with pytest.raises(ValueError, match=r"the scores lack the columns \['auc'\]"):
        both.labels_worth("auc")


def test_fold_without_a_score_leaves_the_curve_too(scores: pd.DataFrame) -> None:
    # The easy folds alone would make the method look better by 0.2 / 3.
    hard = (scores["method"] == "mt_cmtm") & (scores["fold"] == 0)
    np.testing.assert_allclose(worths_of(scores[~hard]), worths_of(scores))
    scores.loc[hard & (scores["budget"] == "10 %"), "accuracy"] = np.nan
    found = StudyResult(scores, "accuracy").labels_worth(method="mt_cmtm")
    np.testing.assert_allclose(found["worth"], [2.0, np.sqrt(2.5), 1.0])
    assert found["n_folds"].tolist() == [3, 4, 4]


def test_draw_that_one_lacks_leaves_the_other_too(scores: pd.DataFrame) -> None:
    second = (scores["method"] == "mt_cmtm") & (scores["draw"] == 1)
    np.testing.assert_allclose(worths_of(scores[~second]), worths_of(scores))
    scores.loc[second & (scores["fold"] == 1), "accuracy"] = np.nan
    # The easy second draw of this fold is now missing at one budget of the curve.
    np.testing.assert_allclose(worths_of(scores), [2.0, np.sqrt(2.5), 1.0], rtol=0.01)


def test_failed_cells_of_the_reference_leave_the_others(scores: pd.DataFrame) -> None:
    failed = scores["method"] == "scratch"
    scores.loc[failed & (scores["budget"] == "40 %"), "accuracy"] = np.nan
    found = StudyResult(scores, "accuracy").labels_worth(method="mt_cmtm")
    assert found["worth"].iloc[0] == pytest.approx(10 ** (1 / 3))  # a third of the way to 100
    assert np.isnan(found[["worth", "low", "high"]].iloc[1]).all()
    assert found["n_folds"].tolist() == [4, 0, 4]
    assert "-" in StudyResult(scores, "accuracy").to_markdown()


def test_budgets_of_the_reference_alone_are_on_its_curve(scores: pd.DataFrame) -> None:
    few = (scores["method"] == "scratch") | (scores["budget"] == "10 %")
    found = StudyResult(scores[few], "accuracy").labels_worth(method="mt_cmtm")
    assert found["budget"].tolist() == ["10 %"]
    assert found["worth"].tolist() == pytest.approx([2.0])
    apart = scores[(scores["method"] == "mt_cmtm") == (scores["budget"] == "40 %")]
    study = StudyResult(apart[apart["method"] != "linear"], "accuracy")
    assert study.labels_worth().empty and "Labels' worth" not in study.to_markdown()


def test_what_has_no_worth_is_refused_by_name(scores: pd.DataFrame) -> None:
    study = StudyResult(scores, "accuracy")
    with pytest.raises(ValueError, match="no method 'magic' to compare; there are"):
        study.labels_worth(method="magic")
    with pytest.raises(ValueError, match="no method 'scratch' to compare"):
        study.labels_worth(method="scratch")
    other = StudyResult(scores[scores["method"] != "scratch"], "accuracy")
    with pytest.raises(ValueError, match=r"lack the reference 'scratch': add it to .* methods="):
        other.labels_worth()
    alone = StudyResult(scores[scores["method"] == "scratch"], "accuracy")
    with pytest.raises(ValueError, match="no method beside the reference 'scratch'"):
        alone.labels_worth()
    once = scores[(scores["budget"] == "10 %")]
    with pytest.raises(ValueError, match=r"two label budgets, .* at \['10 %'\] only: add to"):
        StudyResult(once, "accuracy").labels_worth()
    failed = scores.assign(accuracy=scores["accuracy"].where(scores["budget"] == "10 %"))
    with pytest.raises(ValueError, match=r"at \['10 %'\] only"):
        StudyResult(failed, "accuracy").labels_worth()


def test_markdown_ends_with_labels_worth_where_there_is_a_curve(scores: pd.DataFrame) -> None:
    lines = StudyResult(scores, "accuracy").to_markdown().splitlines()
    assert lines[-5:-2] == [
        "| --- | --- | --- | --- |",
        "| mt_cmtm | 2.0 [2.0, 2.0] | 1.6 [1.6, 1.6] | >1.0 [1.0, ∞) |",
        "| linear | <1.0 [0.0, 1.0] | 0.7 [0.7, 0.7] | 1.0 [1.0, 1.0] |",
    ]
    assert "how many times the labels scratch needs" in lines[-1]
    one_fold = StudyResult(scores[scores["fold"] == 0], "accuracy").to_markdown()
    assert "| mt_cmtm | 2.0 | 1.6 | >1.0 |" in one_fold
    once = StudyResult(scores[scores["budget"] == "10 %"], "accuracy").to_markdown()
    assert "Labels' worth" not in once


def test_plot_shows_worth_bounds_and_the_line_of_no_gain(scores: pd.DataFrame) -> None:
    ax = StudyResult(scores, "accuracy").plot_labels_worth()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mt_cmtm", "linear"]
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), [2.0, np.sqrt(2.5), 1.0])
    above, below, line = [each for each in ax.lines if each not in ax.containers[0].lines][-3:]
    assert (above.get_marker(), list(above.get_xdata())) == ("^", [100])
    assert (below.get_marker(), list(below.get_xdata())) == ("v", [10])
    assert list(line.get_ydata()) == [1.0, 1.0]
    assert ax.get_ylabel() == "Times the labels"
    only = StudyResult(scores, "accuracy").plot_labels_worth(methods=["linear"], n_resamples=10)
    assert [text.get_text() for text in only.get_legend().get_texts()] == ["linear"]
    pyplot.close("all")


def test_sets_are_pooled_by_their_geometric_mean(make_scores: Callable[..., pd.DataFrame]) -> None:
    better = {**CURVES, "mt_cmtm": (0.9, 0.9, 0.9)}
    studies = {
        "leaves": StudyResult(make_scores(), "accuracy"),
        "prices": StudyResult(make_scores("r2", **better), "r2"),
    }
    pooled = pooled_labels_worth(studies, "mt_cmtm", 0.1)
    assert pooled["worth"] == pytest.approx(np.sqrt(2.0 * 10.0))
    assert (pooled["low"], pooled["high"]) == pytest.approx((2.0, 10.0))
    assert pooled[["n_sets", "n_above", "n_below"]].tolist() == [2, 1, 0]
    assert pooled_labels_worth(studies, "linear", 0.1)["n_below"] == 2


def test_sets_without_the_fraction_or_a_curve_are_left_out(scores: pd.DataFrame) -> None:
    merged = scores.replace({"budget": {"10 %": "5 % = 10 %"}})
    once = scores[scores["budget"] == "10 %"]
    studies = {name: StudyResult(s, "accuracy") for name, s in (("a", merged), ("b", once))}
    for fraction in (0.05, 0.1):
        pooled = pooled_labels_worth(studies, "mt_cmtm", fraction)
        assert (pooled["n_sets"], pooled["worth"]) == (1, pytest.approx(2.0))
    with pytest.raises(ValueError, match="no set has 'mt_cmtm' and 'scratch' at 25 %"):
        pooled_labels_worth(studies, "mt_cmtm", 0.25)
    with pytest.raises(ValueError, match="no set has 'magic'"):
        pooled_labels_worth(studies, "magic", 0.1)
