"""The average over several sets, compared with the goals set beforehand.

A gain is counted in hundredths: points of accuracy, AUC or R², percent of the mean squared error.
Within a set and fold it is the mean over the budgets in question; then sets and folds are drawn by
the hierarchical bootstrap of `tabimg.evaluation.pooled_difference`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from pages import as_gain, table
from sets import DataSet

from tabimg.evaluation import StudyResult, photo_share, pooled_difference, pooled_labels_worth
from tabimg.evaluation.metrics import METRICS
from tabimg.evaluation.statistics import Interval, corrected_interval
from tabimg.evaluation.study.markdown import worth_text
from tabimg.evaluation.study.worth import has_curve

METHOD, SCRATCH, BEST = "mt_cmtm", "scratch", "best_baseline"
CEILING = "photo_at_test"
FEW, ALL = (0.05, 0.1), (1.0,)
FRACTIONS = (0.05, 0.1, 0.25, 1.0)
WORTH = ("worth", "low", "high", "censored")
SMALLEST = 0.0005  # what is shown as 0.0 is no loss


@dataclass(frozen=True, eq=False)
class Outcome:
    """A set and the study that was made of it."""

    data: DataSet
    study: StudyResult

    def gain(self, fractions: Sequence[float], reference: str, method: str = METHOD) -> pd.Series:
        """Give the gain of a method in each fold, averaged over label fractions.

        Empty where the study has none of the fractions.
        """
        budgets = dict.fromkeys(filter(None, (budget_of(self.study, f) for f in fractions)))
        by_budget = [self.study.differences(method, reference, budget) for budget in budgets]
        return pd.concat(by_budget, axis=1).mean(axis=1) if by_budget else pd.Series(dtype=float)

    def interval(
        self, fractions: Sequence[float], reference: str, method: str = METHOD
    ) -> Interval:
        """Give that gain with the corrected resampled t interval over folds."""
        rows = self.study.scores
        test_share = float((rows["n_test"] / rows["n_train"]).mean())
        return corrected_interval(self.gain(fractions, reference, method), test_share)


def budget_of(study: StudyResult, fraction: float) -> str | None:
    """Find the budget that a fraction came to; merged ones are named "5 % = 10 %"."""
    name = f"{100 * fraction:g} %"
    return next((budget for budget in study.budgets if name in budget.split(" = ")), None)


def pooled(
    outcomes: Sequence[Outcome],
    fractions: Sequence[float],
    reference: str,
    method: str = METHOD,
) -> Interval:
    """Average a gain over sets; of a single set the interval is the one over its folds."""
    gains = {each: each.gain(fractions, reference, method) for each in outcomes}
    kept = [each for each in outcomes if len(gains[each])]
    if not kept:
        return Interval(math.nan, math.nan, math.nan, math.nan, 0)
    if len(kept) == 1:
        return kept[0].interval(fractions, reference, method)
    return pooled_difference({each.data.name: gains[each].to_numpy() for each in kept})


def losses(outcomes: Sequence[Outcome], references: Mapping[str, str], method: str = METHOD) -> str:
    """List every set, budget and reference, a method's name and label, that a method is behind."""
    lines = []
    for outcome in outcomes:
        for reference, label in references.items():
            if reference not in outcome.study.methods:
                continue
            summary = outcome.study.summary(reference)
            behind = summary[(summary["method"] == method) & (summary["gain"] < -SMALLEST)]
            for row in behind.itertuples():
                gain = as_gain(row.gain, row.gain_low, row.gain_high)
                lines.append(f"- {outcome.data.name}, {row.budget}, {label}: {gain}")
    return "\n".join(lines) + "\n" if lines else "nowhere.\n"


def averages(outcomes: Sequence[Outcome]) -> str:
    """Write the table of average gains."""
    # Points and percent are averaged last: a percent of MSE is not as much as a point.
    kinds = {
        "classification, points": [o for o in outcomes if o.data.task == "classification"],
        "regression, % of MSE": [o for o in outcomes if o.data.task == "regression"],
        "both": list(outcomes),
    }
    heads = ["gain of MT-CMTM", *(f"{kind} ({len(kept)})" for kind, kept in kinds.items())]
    asked: Mapping[str, tuple[Sequence[float], str]] = {
        "5 % and 10 % of the labels, over scratch": (FEW, SCRATCH),
        "all labels, over scratch": (ALL, SCRATCH),
        "5 % of the labels, over the best baseline": ((0.05,), BEST),
        "10 % of the labels, over the best baseline": ((0.1,), BEST),
        "25 % of the labels, over the best baseline": ((0.25,), BEST),
        "all labels, over the best baseline": (ALL, BEST),
    }
    rows = []
    for label, (fractions, reference) in asked.items():
        intervals = [pooled(kept, fractions, reference) for kept in kinds.values()]
        rows.append([label, *(as_gain(each.mean, each.low, each.high) for each in intervals)])
    return table(heads, rows)


def distances(outcomes: Sequence[Outcome]) -> str:
    """Write how far it is from few labels to all of them, and what of that is gained without."""
    rows = []
    for outcome in outcomes:
        few, full = (budget_of(outcome.study, fraction) for fraction in (FEW[0], ALL[0]))
        means = outcome.study.summary().set_index(["method", "budget"])["mean"]
        wanted = [(SCRATCH, few), (METHOD, few), (SCRATCH, full)]
        if not all(cell in means.index for cell in wanted):
            continue
        start, reached, end = (means[cell] for cell in wanted)
        rows.append(
            [
                f"{outcome.data.name}, {METRICS[outcome.data.metric].label}",
                *(f"{value:.3f}" for value in (start, reached, end)),
                f"{100 * (reached - start) / (end - start):.0f} %" if end != start else "-",
            ]
        )
    heads = ["set", "scratch, 5 %", "MT-CMTM, 5 %", "scratch, all labels", "share of the gap"]
    return table(heads, rows)


def worths(outcomes: Sequence[Outcome]) -> str:
    """Write how many times the labels scratch needs for the score of MT-CMTM."""
    kept = [o for o in outcomes if has_curve(o.study.scores, o.data.metric, SCRATCH)]
    rows = [[outcome.data.name, *_worths(outcome)] for outcome in kept]
    if len(kept) > 1:
        rows.append([f"**geometric mean** ({len(kept)})", *_pooled_worths(kept)])
    return table(["set", *(f"{100 * fraction:g} %" for fraction in FRACTIONS)], rows)


def _worths(outcome: Outcome) -> Iterator[str]:
    found = outcome.study.labels_worth(method=METHOD, reference=SCRATCH).set_index("budget")
    for fraction in FRACTIONS:
        budget = budget_of(outcome.study, fraction)
        known = budget in found.index
        yield worth_text(*found.loc[budget, list(WORTH)]) if known else "-"


def _pooled_worths(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for fraction in FRACTIONS:
        known = {o.data.name: o.study for o in outcomes if budget_of(o.study, fraction)}
        pooled = pooled_labels_worth(known, METHOD, fraction) if known else None
        yield "-" if pooled is None else worth_text(*pooled[list(WORTH[:3])], digits=2)


def shares(outcomes: Sequence[Outcome]) -> str:
    """Write how much of what the photo adds at test MT-CMTM gains from the table alone."""
    kept = [o for o in outcomes if CEILING in o.study.methods]
    if not kept:
        return "No results of the photo at test yet.\n"
    tables = {o.data.name: photo_share(o.study).set_index("budget") for o in kept}
    rows = [[o.data.name, *_shares(o, tables[o.data.name])] for o in kept]
    means = []
    for fraction in FRACTIONS:
        budgets = {o.data.name: budget_of(o.study, fraction) for o in kept}
        known = [t.loc[budgets[n], "share"] for n, t in tables.items() if budgets[n] in t.index]
        defined = pd.Series(known, dtype=float).dropna()
        means.append(f"{100 * defined.mean():.0f} % ({len(defined)})" if len(defined) else "-")
    rows.append(["**mean** (sets)", *means])
    return table(["set", *(f"{100 * fraction:g} %" for fraction in FRACTIONS)], rows)


def _shares(outcome: Outcome, found: pd.DataFrame) -> Iterator[str]:
    for fraction in FRACTIONS:
        budget = budget_of(outcome.study, fraction)
        if budget not in found.index:
            yield "-"
            continue
        row = found.loc[budget]
        ceiling = f"{100 * row['ceiling']:+.1f}"
        if math.isnan(row["share"]):
            yield f"- ({ceiling})"
        else:
            low, high = (f"{100 * row[end]:.0f}" for end in ("low", "high"))
            yield f"{100 * row['share']:.0f} % [{low}, {high}] ({ceiling})"


def verdicts(outcomes: Sequence[Outcome]) -> str:
    """Compare the averages with the goals, one by one."""
    classes = [o for o in outcomes if o.data.task == "classification"]
    numbers = [o for o in outcomes if o.data.task == "regression"]
    few, full = pooled(outcomes, FEW, SCRATCH), pooled(outcomes, ALL, SCRATCH)
    rows = [
        _row("few labels: gain over scratch, interval above zero", few, few.low > 0),
        _aim("few labels: +5 points over scratch in classification", classes, FEW, SCRATCH, 0.05),
        _aim("few labels: MSE 10 % below scratch in regression", numbers, FEW, SCRATCH, 0.10),
        _row("all labels: gain over scratch, interval above zero", full, full.low > 0),
        _aim("all labels: +2.38 points over scratch, the paper's", classes, ALL, SCRATCH, 0.0238),
        _aim("all labels: MSE 1.48 % below scratch, the paper's", numbers, ALL, SCRATCH, 0.0148),
        _worst(outcomes),
        _aim("5 % of the labels: ahead of the best baseline", outcomes, (0.05,), BEST, 0.0),
        _aim("10 % of the labels: ahead of the best baseline", outcomes, (0.1,), BEST, 0.0),
        _aim("all labels: within 1 of the best baseline", outcomes, ALL, BEST, -0.01),
    ]
    return table(["goal", "found", "reached"], rows)


def _aim(
    label: str, outcomes: Sequence[Outcome], fractions: Sequence[float], reference: str, bar: float
) -> list[str]:
    found = pooled(outcomes, fractions, reference)
    return _row(label, found, found.mean >= bar, found.low >= bar)


def _row(label: str, found: Interval, reached: bool, surely: bool = True) -> list[str]:
    met = "yes" if surely else "on average, not for certain"
    verdict = "-" if math.isnan(found.mean) else met if reached else "**no**"
    return [label, as_gain(found.mean, found.low, found.high), verdict]


def _worst(outcomes: Sequence[Outcome]) -> list[str]:
    """No set may lose more than half a point, or one percent of MSE, with all labels."""
    label = "all labels: no set more than 0.5 points or 1 % of MSE below scratch"
    floor = {"classification": -0.005, "regression": -0.01}
    losses = {
        each.data.name: mean
        for each in outcomes
        if (mean := float(each.gain(ALL, SCRATCH).mean())) < floor[each.data.task]
    }
    if math.isnan(pooled(outcomes, ALL, SCRATCH).mean):
        return [label, "-", "-"]
    if not losses:
        return [label, "none", "yes"]
    return [label, ", ".join(f"{k} {100 * v:+.1f}" for k, v in losses.items()), "**no**"]
