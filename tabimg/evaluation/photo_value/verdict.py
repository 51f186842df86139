"""The findings about photos, as a report with a verdict in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from tabimg.evaluation.metrics import METRICS
from tabimg.evaluation.statistics import Interval, corrected_interval
from tabimg.evaluation.study import StudyResult

# Rules of thumb, explained in PhotoValue.
MIN_MESSAGE = 0.02
MIN_CARRIED = 0.1
MIN_GAIN = 0.01

EVERYTHING = "100 %"
LABELS = {
    ("says", "constant"): "a constant",
    ("says", "columns"): "columns",
    ("says", "photos"): "photos",
    ("says", "both"): "columns and photos",
    ("carried", "photos"): "of all that they show",
    ("carried", "message"): "of what they say about the target",
    ("taught", "columns"): "labels alone",
    ("taught", "taught"): "and photos",
    ("taught", "shuffled"): "and shuffled photos",
    ("taught", "content"): "photos against shuffled ones",
}
QUESTIONS = {
    "says": "1. What says something about the target?",
    "carried": "2. At prediction there is no photo. How much do columns say about photos?",
    "taught": "3. Predicting from columns, what do photos of unlabelled rows add to few labels?",
}
FIGURES = ["score", "low", "high", "gain", "gain_low", "gain_high"]
VERDICTS = {
    "nothing_to_say": "Photos say nothing about the target that thumbnails show for certain: "
    "there is nothing to pass on to the table.",
    "not_carried": "Photos say something about the target, but the columns cannot carry it: at "
    "prediction, without a photo, it is lost.",
    "nothing_left": "Photos say something about the target and the columns can carry it, but they "
    "teach the table nothing that the labels have not taught it.",
    "may_pay": "Photos may pay: with {best} of the labels they gain on average, but the folds "
    "differ so much that chance can explain it.",
    "likely_to_pay": "Photos are likely to pay with {budgets} of the labels: they teach the table "
    "what so few labels do not.",
}


@dataclass(frozen=True, eq=False)
class PhotoValue:
    """Whether photos are likely to pay; made by `photo_value`. It prints as a report.

    Parameters
    ----------
    scores : DataFrame
        Rows as in `StudyResult`. With all labels of a fold ("100 %") the methods are "constant",
        "columns", "photos" and "both", named by what they predict from. With few labels all predict
        from the columns alone: "columns", "taught" (by photos of the unlabelled rows) and
        "shuffled" (the same with shuffled photos).
    carried : DataFrame
        One row per fold: fold, n_train, n_test, and the R2 of what the columns predict, "photos"
        (their components, weighted by variance) and "message" (the target as predicted by a model
        of photos).
    metric : str
        The metric that is reported, and decides.
    n_rows, n_without_photo : int
        Numbers of rows that were used, and left out.

    Notes
    -----
    ``verdict`` asks, in this order, by rules of thumb:

    - Do photos alone beat a constant, by 2 points of a score, or percent of a loss, with an
      interval above zero? If not: ``"nothing_to_say"``.
    - Do few labels and photos beat few labels alone, by 1 point or percent, is the interval of
      this gain above zero, and so is that of the gain over shuffled photos? At any of the label
      fractions: ``"likely_to_pay"``.
    - Do columns predict 10 % of the variance of what photos say about the target? If not:
      ``"not_carried"``.
    - Are both gains above 1 point or percent on average, whatever the intervals, at any of the
      label fractions? ``"may_pay"``, else ``"nothing_left"``.

    Intervals are 95 % and over folds, as by `corrected_interval`; gains as in `StudyResult`. The
    thresholds are not calibrated: they keep effects too small to matter from deciding. One of
    several fractions is enough, so chance has several tries.
    """

    scores: pd.DataFrame
    carried: pd.DataFrame
    metric: str
    n_rows: int
    n_without_photo: int = 0

    @cached_property
    def verdict(self) -> str:
        """One of the five words in the notes above."""
        message = self._gain("photos", "constant", EVERYTHING)
        if not (message.mean >= MIN_MESSAGE and message.low > 0):
            return "nothing_to_say"
        if self.budgets_that_pay:
            return "likely_to_pay"
        if not self._carried("message").mean >= MIN_CARRIED:
            return "not_carried"
        least = self._least_gains.values()
        return "may_pay" if max(least, default=0.0) >= MIN_GAIN else "nothing_left"

    @property
    def budgets(self) -> list[str]:
        """Names of the label fractions, from few labels to many."""
        return [name for name in self._study.budgets if name != EVERYTHING]

    @cached_property
    def budgets_that_pay(self) -> list[str]:
        """Names of the label fractions at which photos clearly teach the table something."""
        return [
            budget
            for budget in self.budgets
            if self._gains(budget)[0].mean >= MIN_GAIN
            and min(gain.low for gain in self._gains(budget)) > 0
        ]

    @cached_property
    def _least_gains(self) -> dict[str, float]:
        """The smaller of both mean gains, by label fraction."""
        return {b: min(gain.mean for gain in self._gains(b)) for b in self.budgets}

    @property
    def explanation(self) -> str:
        """The verdict as a sentence."""
        return VERDICTS[self.verdict].format(
            budgets=" and ".join(self.budgets_that_pay),
            best=max(self._least_gains, key=self._least_gains.__getitem__, default=""),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return all figures of the report.

        Returns
        -------
        DataFrame
            One row per figure: question ("says", "carried", "taught"), what, budget, n_labels,
            score, low and high, and gain, gain_low and gain_high. Gains are over "constant" in
            "says" and over "columns" in "taught", where "content" is the gain of "taught" over
            "shuffled". Scores in "carried" are R2.
        """
        says = _figures(self._study.summary("constant"), "says")
        taught = _figures(self._study.summary("columns"), "taught")
        parts = [says[says["budget"] == EVERYTHING], self._carried_figures()]
        for budget in self.budgets:
            rows = taught[taught["budget"] == budget]
            content = self._gain("taught", "shuffled", budget)
            last = rows.iloc[[-1]].assign(what="content", score=np.nan, low=np.nan, high=np.nan)
            last[["gain", "gain_low", "gain_high"]] = content.mean, content.low, content.high
            parts += [rows, last]
        return pd.concat(parts, ignore_index=True)

    def __str__(self) -> str:
        metric = METRICS[self.metric]
        left_out = f" ({self.n_without_photo} without are left out)" if self.n_without_photo else ""
        direction = "higher" if metric.greater_is_better else "lower"
        lines = [
            f"{self.n_rows} rows with a photo{left_out}; {len(self.carried)} folds",
            f"{metric.label} ({direction} is better), gain in {metric.gain_unit} [95 % interval]",
        ]
        frame = self.to_frame()
        for question, heading in QUESTIONS.items():
            lines += ["", heading]
            for budget, rows in frame[frame["question"] == question].groupby("budget", sort=False):
                if question != "carried":
                    lines.append(f"   {rows['n_labels'].iloc[0]:.0f} labels ({budget}):")
                lines += [_line(row) for _, row in rows.iterrows()]
        return "\n".join([*lines, "", self.explanation])

    @cached_property
    def _study(self) -> StudyResult:
        return StudyResult(self.scores, self.metric)

    def _gains(self, budget: str) -> tuple[Interval, Interval]:
        """The gains of photos over labels alone and over shuffled photos."""
        return self._gain("taught", "columns", budget), self._gain("taught", "shuffled", budget)

    def _gain(self, method: str, reference: str, budget: str) -> Interval:
        gains = self._study.differences(method, reference, budget)
        return corrected_interval(gains, self._test_share)

    def _carried(self, what: str) -> Interval:
        return corrected_interval(self.carried[what], self._test_share)

    @property
    def _test_share(self) -> float:
        return float((self.carried["n_test"] / self.carried["n_train"]).mean())

    def _carried_figures(self) -> pd.DataFrame:
        found = {what: self._carried(what) for what in ("photos", "message")}
        rows = [
            {"question": "carried", "what": what, "score": r2.mean, "low": r2.low, "high": r2.high}
            for what, r2 in found.items()
        ]
        n_labels = self.carried["n_train"].mean()
        return pd.DataFrame(rows).assign(budget=EVERYTHING, n_labels=n_labels)


def _figures(summary: pd.DataFrame, question: str) -> pd.DataFrame:
    """Rename the columns of a study's summary."""
    frame = summary.rename(columns={"method": "what", "mean": "score"}).assign(question=question)
    return frame[["question", "what", "budget", "n_labels", *FIGURES]]


def _line(row: pd.Series) -> str:
    """Format a line of the report."""
    label = f"   {LABELS[row['question'], row['what']]:<35}"
    if row["question"] == "carried":
        return f"{label}{_with_interval(row, 'score', 'low', 'high', '5.0f', ' %')}"
    score = " " * 6 if np.isnan(row["score"]) else f"{row['score']:6.3f}"
    if np.isnan(row["gain"]):
        return label + score
    return f"{label}{score}   {_with_interval(row, 'gain', 'gain_low', 'gain_high', '+6.1f')}"


def _with_interval(
    row: pd.Series, mean: str, low: str, high: str, form: str, unit: str = ""
) -> str:
    """Format hundredths with their interval, if there is one."""
    text = f"{100 * row[mean]:{form}}{unit}"
    if np.isnan(row[low]):
        return text
    ends = [f"{100 * row[name]:{form}}".strip() for name in (low, high)]
    return f"{text} [{', '.join(ends)}]"
