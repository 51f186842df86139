"""The table of scores of a study, with summaries and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from tabimg.evaluation.labels_worth import N_RESAMPLES
from tabimg.evaluation.metrics import METRICS, Metric
from tabimg.evaluation.statistics import Interval, check_confidence, corrected_interval
from tabimg.evaluation.study.figures import draw_curve, draw_heat_map, draw_worths
from tabimg.evaluation.study.markdown import write_summary, write_worths
from tabimg.evaluation.study.worth import FOLD, has_curve, worth_table
from tabimg.messages import shorten

CELL = [*FOLD, "budget", "draw"]
COLUMNS = ("method", *CELL, "fraction", "n_labels", "n_train", "n_test")
MEASURED = ("validation_loss", "pretrain_seconds", "fit_seconds", "fingerprint", "picked")
REFERENCE = "scratch"


@dataclass(frozen=True, eq=False)
class StudyResult:
    """The scores of a study.

    Parameters
    ----------
    scores : DataFrame
        One row per cell: method, repeat, fold, fraction, budget, draw, n_labels, n_train, n_test,
        all metrics of the task, and other measurements. A study's ``scores.csv``, read by
        `pandas.read_csv`, is one.
    metric : str
        The metric in summaries; a name in `tabimg.evaluation.metrics.METRICS`.
    baselines : tuple of str, default=()
        Methods among which `with_best_baseline` chooses.
    settings : dict, default={}
        The configuration of the study, in plain values.

    Raises
    ------
    ValueError
        If there are no scores, columns are missing, or a cell occurs twice.

    Notes
    -----
    A gain is positive if the method is better than its reference. For scores such as accuracy or R²
    it is the difference, given in points (hundredths); for losses such as the relative MSE it is
    (reference - loss) / reference, given in percent.

    Draws of labels are averaged within a fold; means, deviations and intervals are over folds.
    Intervals and p-values are those of `corrected_interval`. A score that is NaN, such as the AUC
    of a fold with one class, is left out, and ``n_folds`` counts the others.
    """

    scores: pd.DataFrame
    metric: str
    baselines: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {list(METRICS)}, got {shorten(self.metric)}")
        absent = [name for name in (*COLUMNS, self.metric) if name not in self.scores.columns]
        if absent:
            raise ValueError(f"the scores lack the columns {absent}")
        if self.scores.empty:
            raise ValueError("there are no scores: the table has no row")
        twice = self.scores[self.scores.duplicated(["method", *CELL])]
        if len(twice):
            place = twice.iloc[0][["method", *CELL]].to_dict()
            raise ValueError(
                f"the scores hold a cell twice, such as {place}: are two studies mixed?"
            )

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the scores."""
        return list(dict.fromkeys(self.scores["method"]))

    @property
    def budgets(self) -> list[str]:
        """Names of the label budgets, from few labels to many."""
        return list(self.scores.groupby("budget")["n_labels"].mean().sort_values().index)

    @property
    def parameters(self) -> list[str]:
        """Columns of varied parameters, if the study is from `sensitivity`."""
        known = {*COLUMNS, *MEASURED, *METRICS}
        return [name for name in self.scores.columns if name not in known]

    def summary(self, reference: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
        """Summarise each method at each budget, and compare it to a reference.

        Parameters
        ----------
        reference : str, default=None
            The method to compare to; None is "scratch", or the first method if there is none.
        confidence : float in (0, 1), default=0.95
            Of the intervals.

        Returns
        -------
        DataFrame
            One row per budget and method, with n_labels (mean), n_folds, mean, sd, low and high (of
            the score), and gain, gain_low, gain_high and p_value (against the reference; NaN for
            the reference itself).
        """
        check_confidence(confidence)
        reference = self._reference(reference)
        rows = [
            self._summary_row(budget, method, reference, confidence)
            for budget in self.budgets
            for method in self.methods
            if ((self.scores["budget"] == budget) & (self.scores["method"] == method)).any()
        ]
        return pd.DataFrame(rows)

    def differences(
        self, method: str, reference: str | None = None, budget: str | None = None
    ) -> pd.Series:
        """Return the gain of a method over a reference in each fold.

        Parameters
        ----------
        method : str
        reference : str, default=None
            As in `summary`.
        budget : str, default=None
            One of `budgets`; None is the one with the most labels.

        Returns
        -------
        Series of float
            By repeat and fold. Draws that either method lacks are left out.
        """
        pairs = self._pairs(method, self._reference(reference), self._budget(budget))
        both = pairs.groupby(FOLD)[["score", "reference"]].mean()
        return self._metric.gain(both["score"], both["reference"]).rename("gain")

    def with_best_baseline(self, name: str = "best_baseline") -> StudyResult:
        """Add a method that is, in each cell, the baseline with the lowest validation loss.

        This is the baseline that one would choose without test rows. The column "picked" says which
        one it was.

        Parameters
        ----------
        name : str, default="best_baseline"

        Returns
        -------
        StudyResult
            A new result.

        Raises
        ------
        ValueError
            If no baseline is in the scores, or the name is taken.
        """
        if name in self.methods:
            raise ValueError(f"there is already a method {shorten(name)}: give another name")
        rows = self.scores[self.scores["method"].isin(self.baselines)]
        if rows.empty:
            raise ValueError("the scores hold no baseline to choose from")
        # Without validation losses the first baseline is chosen.
        order = rows["method"].map({each: n for n, each in enumerate(self.baselines)})
        losses = rows["validation_loss"].fillna(np.inf)
        ranked = rows.assign(_loss=losses, _order=order).sort_values(["_loss", "_order"])
        best = ranked.drop_duplicates(CELL).sort_index().drop(columns=["_loss", "_order"])
        best = best.assign(picked=best["method"], method=name)
        return replace(self, scores=pd.concat([self.scores, best], ignore_index=True))

    def labels_worth(
        self,
        metric: str | None = None,
        method: str | None = None,
        reference: str = REFERENCE,
        confidence: float = 0.95,
        n_resamples: int = N_RESAMPLES,
        random_state: int = 0,
    ) -> pd.DataFrame:
        """Tell how many times the labels the reference needs for the scores of the others.

        A worth of 2 means that the reference needs twice the labels for the score that the method
        reaches.

        Parameters
        ----------
        metric : str, default=None
            One that the scores have; None is the study's own.
        method : str, default=None
            None takes all but the reference.
        reference : str, default="scratch"
            Has scores at two budgets or more.
        confidence : float in (0, 1), default=0.95
            Of the intervals.
        n_resamples : int, default=2000
            How often folds are drawn for them.
        random_state : int, default=0

        Returns
        -------
        DataFrame
            One row per method and budget that the reference has too, with fraction, budget,
            n_labels (mean), n_folds, worth, low, high and censored: ">" where ``worth`` is a lower
            bound, as the method beats the reference's best score, "<" where it is an upper bound,
            as it is behind the worst. An end of the interval that lies beyond the reference's
            scores is 0 or infinity.

        Raises
        ------
        ValueError
            For an unknown metric or method, no method beside the reference, or a reference that
            is missing or has scores at one budget only.

        Notes
        -----
        The reference's learning curve is made monotone by isotonic regression, each budget weighted
        by its number of scores, and is linear in the logarithm of the number of labels between
        budgets. Where this moves the reference's score at a budget, the method's score there moves
        by as much, since both come from the same rows: equal scores are worth 1.

        Curve and score come from the same folds and draws of labels. The intervals are those of a
        bootstrap over folds, stretched so that for a score they are as wide as those of `summary`.

        With the fewest labels no worth below 1 can be measured, with all of them none above 1; the
        budgets in between tell most.
        """
        study = self if metric is None else replace(self, metric=metric)
        resampling = (confidence, n_resamples, random_state)
        return worth_table(study.scores, study.metric, method, reference, *resampling)

    def to_markdown(self, reference: str | None = None, confidence: float = 0.95) -> str:
        """Write the summary as a Markdown table, with one row per method and one column per budget.

        Parameters
        ----------
        reference, confidence
            As in `summary`.

        Returns
        -------
        str
            Mean ± deviation over folds, then the gain with its interval; below, `labels_worth` if
            the reference has scores at two budgets or more.
        """
        reference = self._reference(reference)
        summary = self.summary(reference, confidence)
        table = write_summary(summary, self.methods, self.budgets)
        caption = (
            f"{self._metric.label}, mean ± standard deviation over folds; in brackets the gain "
            f"over {reference} in {self._metric.gain_unit} and its {confidence:.0%} interval."
        )
        parts = [table, caption + "\n"]
        if len(self.methods) > 1 and has_curve(self.scores, self.metric, reference):
            worths = self.labels_worth(reference=reference, confidence=confidence)
            parts += [write_worths(worths, reference, confidence)] if len(worths) else []
        return "\n".join(parts)

    def plot(
        self, ax: Any = None, methods: Sequence[str] | None = None, confidence: float = 0.95
    ) -> Any:
        """Draw the score against the number of labels, with intervals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        methods : sequence of str, default=None
            None draws all.
        confidence : float in (0, 1), default=0.95

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        drawn = self.methods if methods is None else [self._known(name) for name in methods]
        return draw_curve(self.summary(confidence=confidence), drawn, self._metric.label, ax)

    def plot_labels_worth(
        self, ax: Any = None, methods: Sequence[str] | None = None, **parameters: Any
    ) -> Any:
        """Draw labels' worth against the number of labels, with intervals.

        Triangles are bounds, as are ends of intervals that reach the edge.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        methods : sequence of str, default=None
            None draws all.
        **parameters
            Further parameters of `labels_worth`.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        worths = self.labels_worth(**parameters)
        known = list(dict.fromkeys(worths["method"]))
        return draw_worths(worths, known if methods is None else methods, ax)

    def heat_map(
        self, x: str | None = None, y: str | None = None, budget: str | None = None, ax: Any = None
    ) -> Any:
        """Draw the mean score over two varied parameters, or over one and the budgets.

        Parameters
        ----------
        x, y : str, default=None
            Two of `parameters`; ``y`` may be "budget". None takes the first two, or the only one
            and "budget". Points that do not change both are not drawn, and the mean is taken over
            any further parameter.
        budget : str, default=None
            One of `budgets`; None is the one with the most labels.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the study varies no parameter, or not this one.
        """
        x, y = self._varied(x, y)
        rows = self.scores.dropna(subset=[x, y])
        label = self._metric.label
        if y == "budget":
            grid = rows.pivot_table(index=y, columns=x, values=self.metric).loc[self.budgets]
        else:
            budget = self._budget(budget)
            rows = rows[rows["budget"] == budget]
            grid = rows.pivot_table(index=y, columns=x, values=self.metric)
            label = f"{label}, {budget}"
        return draw_heat_map(grid, label, ax)

    @property
    def _metric(self) -> Metric:
        return METRICS[self.metric]

    def _summary_row(
        self, budget: str, method: str, reference: str, confidence: float
    ) -> dict[str, Any]:
        rows = self.scores[(self.scores["budget"] == budget) & (self.scores["method"] == method)]
        by_fold = rows.groupby(FOLD)[self.metric].mean().dropna()
        score = corrected_interval(by_fold, _test_share(rows), confidence)
        row = {
            "budget": budget,
            "n_labels": rows["n_labels"].mean(),
            "method": method,
            "n_folds": score.n,
            "mean": score.mean,
            "sd": by_fold.std(),
            "low": score.low,
            "high": score.high,
        }
        gain = Interval(np.nan, np.nan, np.nan, np.nan, 0)
        if method != reference:
            gains = self.differences(method, reference, budget)
            gain = corrected_interval(gains, _test_share(rows), confidence)
        return {
            **row,
            "gain": gain.mean,
            "gain_low": gain.low,
            "gain_high": gain.high,
            "p_value": gain.p_value,
        }

    def _pairs(self, method: str, reference: str, budget: str) -> pd.DataFrame:
        """Scores of two methods in those cells of a budget that both have."""
        columns = {self._known(method): "score", self._known(reference): "reference"}
        rows = self.scores[self.scores["budget"] == budget]
        parts = [
            rows.loc[rows["method"] == name].set_index([*FOLD, "draw"])[self.metric].rename(column)
            for name, column in columns.items()
        ]
        return pd.concat(parts, axis=1, join="inner").dropna()

    def _reference(self, reference: str | None) -> str:
        if reference is None:
            return REFERENCE if REFERENCE in self.methods else self.methods[0]
        return self._known(reference)

    def _known(self, method: str) -> str:
        if method not in self.methods:
            raise ValueError(
                f"there is no method {shorten(method)}; the methods are {self.methods}"
            )
        return method

    def _budget(self, budget: str | None) -> str:
        if budget is None:
            return self.budgets[-1]
        if budget not in self.budgets:
            raise ValueError(
                f"there is no budget {shorten(budget)}; the budgets are {self.budgets}"
            )
        return budget

    def _varied(self, x: str | None, y: str | None) -> tuple[str, str]:
        names = [*self.parameters, "budget"]
        free = [name for name in names if name not in (x, y)]
        x = free.pop(0) if x is None and free else x
        y = free.pop(0) if y is None and free else y
        if x is None or y is None or x == y or x not in self.parameters or y not in names:
            raise ValueError(
                f"a heat map needs two of {names}, the first of them a varied parameter; got "
                f"x={shorten(x)}, y={shorten(y)}"
            )
        return x, y


def _test_share(rows: pd.DataFrame) -> float:
    return float((rows["n_test"] / rows["n_train"]).mean())
