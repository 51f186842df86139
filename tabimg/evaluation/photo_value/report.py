"""The figures about photos as one table, and as a report in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from tabimg.evaluation.labels_worth import ABOVE, BELOW
from tabimg.evaluation.metrics import METRICS

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
    ("taught", "both"): "the photo itself, at test too",
    ("knows", "carried"): "the table shares with the teacher",
    ("knows", "known"): "the table knows of the target",
    ("knows", "difference"): "more than it knows",
}
QUESTIONS = {
    "says": "1. What says something about the target?",
    "carried": "2. At prediction there is no photo. How much do columns say about photos?",
    "taught": "3. Predicting from columns, what do photos of unlabelled rows add to few labels?",
    "knows": "4. Does the photo tell the teacher more than the student, the table, already knows?",
}
PERCENTAGES = ("carried", "knows")
FIGURES = ["score", "low", "high", "gain", "gain_low", "gain_high"]


class Findings(Protocol):
    """What a report is written of; see `PhotoValue`."""

    @property
    def carried(self) -> pd.DataFrame:
        """A row a fold."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def n_rows(self) -> int:
        """Rows with a photo."""

    @property
    def n_without_photo(self) -> int:
        """Rows that were left out."""

    @property
    def labels_worth(self) -> pd.DataFrame:
        """See `PhotoValue.labels_worth`."""

    @property
    def share(self) -> pd.DataFrame:
        """See `PhotoValue.share`."""

    @property
    def complementarity(self) -> pd.DataFrame:
        """See `PhotoValue.complementarity`."""

    def to_frame(self) -> pd.DataFrame:
        """See `PhotoValue.to_frame`."""


def figures_of(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack tables of figures, whose columns are named as in a study's summary."""
    renamed = [part.rename(columns={"method": "what", "mean": "score"}) for part in parts]
    columns = ["question", "what", "budget", "n_labels", *FIGURES]
    return pd.concat([part.reindex(columns=columns) for part in renamed], ignore_index=True)


def write_report(found: Findings, verdict: str) -> str:
    """Write all questions with their figures, what photos are worth, and the verdict."""
    metric = METRICS[found.metric]
    left_out = f" ({found.n_without_photo} without are left out)" if found.n_without_photo else ""
    direction = "higher" if metric.greater_is_better else "lower"
    lines = [
        f"{found.n_rows} rows with a photo{left_out}; {len(found.carried)} folds",
        f"{metric.label} ({direction} is better), gain in {metric.gain_unit} [95 % interval]",
    ]
    frame = found.to_frame()
    for question, heading in QUESTIONS.items():
        asked = frame[frame["question"] == question]
        lines += ["", heading] if len(asked) else []
        for budget, rows in asked.groupby("budget", sort=False):
            if question != "carried":
                lines.append(f"   {rows['n_labels'].iloc[0]:.0f} labels ({budget}):")
            lines += [_line(row) for _, row in rows.iterrows()]
    return "\n".join([*lines, "", *_answers(found, frame), "", verdict])


def _answers(found: Findings, frame: pd.DataFrame) -> list[str]:
    """Say, for each label fraction, what photos are worth, how certain that is, and why."""
    taught = frame[frame["question"] == "taught"]
    gains, contents = (_by_budget(taught[taught["what"] == w]) for w in ("taught", "content"))
    worths = _by_budget(found.labels_worth[found.labels_worth["method"] == "taught"])
    shares, lines = _by_budget(found.share), []
    for budget, why in _by_budget(found.complementarity).items():
        lines.append(f"With {budget} of the labels ({why['n_labels']:.0f}):")
        parts = []
        if budget in worths:
            parts.append(_worth_in_words(worths[budget], gains[budget], contents[budget]))
        parts += [_share_in_words(shares[budget])] if budget in shares else []
        parts += [] if np.isnan(why["difference"]) else [_reason_in_words(why)]
        lines += [f"   {part}" for part in parts]
    return lines


def _by_budget(rows: pd.DataFrame) -> dict[str, pd.Series]:
    return {str(row["budget"]): row for _, row in rows.iterrows()}


def _worth_in_words(row: pd.Series, gain: pd.Series, content: pd.Series) -> str:
    bound = {ABOVE: "at least ", BELOW: "at most "}.get(row["censored"], "")
    text = f"Your photos are worth {bound}{row['worth']:.1f} times the labels"
    if np.isnan(row["low"]):
        return f"{text}; of one fold nothing is certain."
    interval = f"[{row['low']:.1f}, {_end(row['high'])}]"
    # Of few folds either interval is rough: what is certain must be so by both.
    if row["low"] > 1 and gain["gain_low"] > 0:
        if content["gain_low"] > 0:
            return f"{text} {interval}, certainly more than 1."
        return f"{text} {interval}; that shuffled ones are worth less is not certain."
    if row["high"] < 1 and gain["gain_high"] < 0:
        return f"{text} {interval}, certainly less than 1: they do harm."
    return f"{text} {interval}; chance can explain that."


def _end(high: float) -> str:
    return "more than was measured" if np.isinf(high) else f"{high:.1f}"


def _share_in_words(row: pd.Series) -> str:
    if np.isnan(row["share"]):
        return "At test the photo itself adds nothing that is certain, so there is no share of it."
    interval = f"[{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
    sure = "some of it for certain" if row["low"] > 0 else "which chance can explain"
    return (
        f"They give the table {100 * row['share']:.0f} % {interval} of what the photo itself adds "
        f"at test, {sure}."
    )


def _reason_in_words(row: pd.Series) -> str:
    if row["low"] > 0:
        return "The photo tells the teacher more than the table knows, for certain."
    if row["high"] < 0:
        return "The table knows more than it shares with the teacher, for certain."
    direction = "more" if row["difference"] > 0 else "no more"
    return f"The photo tells the teacher {direction} than the table knows; chance can explain that."


def _line(row: pd.Series) -> str:
    """Format a line of the report."""
    label = f"   {LABELS[row['question'], row['what']]:<35}"
    if row["question"] in PERCENTAGES:
        form = "+5.0f" if row["what"] == "difference" else "5.0f"
        return f"{label}{_with_interval(row, 'score', 'low', 'high', form, ' %')}"
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
