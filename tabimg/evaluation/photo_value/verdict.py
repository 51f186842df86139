"""What was found about photos, with a verdict in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from tabimg.evaluation.photo_value.report import EVERYTHING, figures_of, write_report
from tabimg.evaluation.statistics import Interval, corrected_interval
from tabimg.evaluation.study import StudyResult, photo_share

# Rules of thumb, explained in PhotoValue.
MIN_MESSAGE = 0.02
MIN_CARRIED = 0.1
MIN_GAIN = 0.01

# By what they are worth in labels: photos that teach, those of other rows, the photo at test.
WORTH_OF = ("taught", "shuffled", "both")
WORTH_COLUMNS = ("method", "budget", "n_labels", "worth", "low", "high", "censored")
VERDICTS = {
    "nothing_to_say": "Photos say nothing about the target that is certain: there is nothing to "
    "pass on to the table.",
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
        Rows as in `StudyResult`, with the column "explained": the share of the target's variance
        that the test rows' predictions explain, over all classes together. With all labels of a
        fold ("100 %") the methods are "constant", "columns", "photos" and "both", named by what
        they predict from. With few labels there are "columns" and "both" again, and "taught" (by
        photos of the unlabelled rows) and "shuffled" (the same with shuffled photos), which predict
        from the columns alone. Further budgets with "columns" only are points of its learning
        curve.
    carried : DataFrame
        One row per fold: fold, n_train, n_test, and the share of the variance that the columns
        explain, of "photos" (their components) and of "message" (the target as predicted by a model
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

    ``labels_worth`` and ``share`` say how much it is, and ``complementarity`` why. The last follows
    Xie, Xu and Sanguinetti (arXiv 2510.13182): a student profits from a teacher of another modality
    if it has more in common with that teacher than it knows about the labels already. They compare
    mutual information, between both representations and between the student's and the labels. Here
    the student is the table and the teacher's representation is its prediction, and shares of
    explained variance stand for the information: for Gaussian variables one rises with the other.
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
        few = self.scores.loc[self.scores["method"] == "taught", "budget"]
        return [name for name in self._study.budgets if name in set(few)]

    @cached_property
    def labels_worth(self) -> pd.DataFrame:
        """What photos are worth in labels: how many times as many the columns alone would need.

        Rows as `StudyResult.labels_worth`, at each label fraction, of "taught", of its control
        "shuffled", and of "both", which has the photo at test. Without rows if the metric cannot be
        computed at two budgets.
        """
        curve = self.scores[self.scores["method"] == "columns"].dropna(subset=[self.metric])
        if curve["budget"].nunique() < 2:  # as with an AUC of folds that have one class
            return pd.DataFrame(columns=list(WORTH_COLUMNS))
        worths = self._study.labels_worth(reference="columns")
        asked = worths["method"].isin(WORTH_OF) & worths["budget"].isin(self.budgets)
        worths = worths[asked].sort_values("method", key=lambda each: each.map(WORTH_OF.index))
        return worths.reset_index(drop=True)

    @cached_property
    def share(self) -> pd.DataFrame:
        """How much of what the photo adds at test photos of other rows give the table.

        Rows as `photo_share`, at each label fraction; NaN where nothing is certain to be added.
        """
        return photo_share(self._study, "taught", reference="columns", ceiling="both")

    @cached_property
    def complementarity(self) -> pd.DataFrame:
        """Whether the photo tells the teacher more than the student already knows.

        A row a label fraction, with budget, n_labels, carried (the share of the variance of what
        photos say about the target that the columns explain), known (the share of the target's
        that a model of the labelled columns explains), difference, low and high (its interval). A
        difference above zero says that there is something to teach.
        """
        rows = []
        for budget in self.budgets:
            known = self._known(budget)
            carried = self.carried.set_index("fold")["message"].reindex(known.index)
            found = corrected_interval(carried - known, self._test_share)
            rows.append(
                {
                    "budget": budget,
                    "n_labels": self._labels(budget),
                    "carried": carried.mean(),
                    "known": known.mean(),
                    "difference": found.mean,
                    "low": found.low,
                    "high": found.high,
                }
            )
        return pd.DataFrame(rows)

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
            One row per figure: question ("says", "carried", "taught", "worth", "share", "knows"),
            what, budget, n_labels, score, low and high, and gain, gain_low and gain_high. Gains are
            over "constant" in "says" and over "columns" in "taught", where "content" is the gain of
            "taught" over "shuffled". Scores in "carried" and "knows" are shares of variance; those
            in "worth" and "share" are of `labels_worth` and `share`.
        """
        says = self._study.summary("constant").assign(question="says")
        taught = self._study.summary("columns").assign(question="taught")
        parts = [says[says["budget"] == EVERYTHING], self._carried_figures()]
        for budget in self.budgets:
            rows = taught[taught["budget"] == budget]
            content = self._gain("taught", "shuffled", budget)
            last = rows.iloc[[-1]].assign(method="content", mean=np.nan, low=np.nan, high=np.nan)
            last[["gain", "gain_low", "gain_high"]] = content.mean, content.low, content.high
            at_test = rows["method"] == "both"
            parts += [rows[~at_test], last, rows[at_test]]
        worths, shares = self.labels_worth, self.share
        if len(worths):
            parts.append(worths.assign(question="worth", mean=worths["worth"]))
        if len(shares):
            # Its gain has no interval, and is among those of "taught".
            shares = shares.assign(question="share", method="taught", mean=shares["share"])
            parts.append(shares.drop(columns="gain"))
        parts += self._known_figures()
        return figures_of(parts)

    def __str__(self) -> str:
        return write_report(self, self.explanation)

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

    def _known(self, budget: str) -> pd.Series:
        """The share of the target's variance that few labels explain, by fold."""
        if "explained" not in self.scores:  # scores of an earlier version
            return pd.Series(np.nan, index=self.carried["fold"])
        rows = self.scores[(self.scores["budget"] == budget) & (self.scores["method"] == "columns")]
        return rows.groupby("fold")["explained"].mean()

    def _labels(self, budget: str) -> float:
        return float(self.scores.loc[self.scores["budget"] == budget, "n_labels"].mean())

    def _carried_figures(self) -> pd.DataFrame:
        found = {what: self._carried(what) for what in ("photos", "message")}
        rows = [
            {"method": what, "mean": part.mean, "low": part.low, "high": part.high}
            for what, part in found.items()
        ]
        n_labels = self.carried["n_train"].mean()
        return pd.DataFrame(rows).assign(question="carried", budget=EVERYTHING, n_labels=n_labels)

    def _known_figures(self) -> list[pd.DataFrame]:
        table = self.complementarity.assign(question="knows").dropna(subset=["known"])
        if table.empty:
            return []
        ends = {"low": np.nan, "high": np.nan}
        return [
            table.assign(method="carried", mean=table["carried"], **ends),
            table.assign(method="known", mean=table["known"], **ends),
            table.assign(method="difference", mean=table["difference"]),
        ]
