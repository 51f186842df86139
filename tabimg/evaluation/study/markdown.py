"""A study's results as Markdown: a row a method, a column a budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def write_summary(summary: pd.DataFrame, methods: Sequence[str], budgets: Sequence[str]) -> str:
    """Write what `StudyResult.summary` gives."""
    return _write(summary, summary.apply(_score_cell, axis=1), methods, budgets)


def write_worths(worths: pd.DataFrame, reference: str, confidence: float) -> str:
    """Write what `StudyResult.labels_worth` gives, with a sentence that explains it."""
    cells = worths.apply(lambda row: worth_text(*row[["worth", "low", "high", "censored"]]), axis=1)
    methods, budgets = (list(dict.fromkeys(worths[name])) for name in ("method", "budget"))
    caption = (
        f"Labels' worth: how many times the labels {reference} needs for the same score, with its "
        f"{confidence:.0%} interval; > and < where its budgets allow a bound only."
    )
    return f"{_write(worths, cells, methods, budgets)}\n{caption}\n"


def worth_text(worth: float, low: float, high: float, censored: str = "", digits: int = 1) -> str:
    """Write a labels' worth with its interval; ends that are not known are left out."""
    if np.isnan(worth):
        return "-"
    text = f"{censored}{worth:.{digits}f}"
    if np.isnan(low):
        return text
    return f"{text} [{low:.{digits}f}, " + ("∞)" if np.isinf(high) else f"{high:.{digits}f}]")


def _write(
    rows: pd.DataFrame, cells: pd.Series, methods: Sequence[str], budgets: Sequence[str]
) -> str:
    table = pd.DataFrame({"m": rows["method"], "b": rows["budget"], "cell": cells})
    wide = table.pivot(index="m", columns="b", values="cell").fillna("")
    wide = wide.reindex(index=list(methods), columns=list(budgets), fill_value="")
    labels = rows.groupby("budget")["n_labels"].mean().round().astype(int)
    heads = ["method", *(f"{budget} ({labels[budget]} labels)" for budget in budgets)]
    lines = [heads, ["---"] * len(heads), *([name, *row] for name, *row in wide.itertuples())]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _score_cell(row: pd.Series) -> str:
    text = f"{row['mean']:.3f}"
    if row["n_folds"] > 1:
        text += f" ± {row['sd']:.3f}"
    if np.isnan(row["gain"]):
        return text
    text += f" ({100 * row['gain']:+.1f}"
    if not np.isnan(row["gain_low"]):
        text += f" [{100 * row['gain_low']:+.1f}, {100 * row['gain_high']:+.1f}]"
    return text + ")"
