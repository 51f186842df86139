"""What a study's scores say about labels' worth: from the tidy table to folds and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tabimg.evaluation.labels_worth import FoldScores, worth_with_interval
from tabimg.evaluation.metrics import METRICS
from tabimg.messages import shorten

FOLD = ["repeat", "fold"]
COLUMNS = [
    *("method", "fraction", "budget", "n_labels", "n_folds"),
    *("worth", "low", "high", "censored"),
]


def worth_table(
    scores: pd.DataFrame, metric: str, method: str | None, reference: str, *resampling: Any
) -> pd.DataFrame:
    """Give the labels' worth of methods, a row a method and budget; see `StudyResult`.

    Parameters
    ----------
    scores : DataFrame
        As in `StudyResult`.
    metric : str
    method : str or None
        None takes all but the reference.
    reference : str
    *resampling
        Confidence, number of resamples and random state.
    """
    test_share = float((scores["n_test"] / scores["n_train"]).mean())
    rows = []
    for name in _compared(scores, metric, method, reference):
        for budget in shared_budgets(scores, name, reference):
            folds = fold_scores(scores, metric, name, reference, budget)
            found = worth_with_interval(folds, test_share, *resampling)
            rows.append(
                {
                    "method": name,
                    "fraction": scores.loc[scores["budget"] == budget, "fraction"].iloc[0],
                    "budget": budget,
                    "n_labels": folds.n,
                    "n_folds": found.n,
                    "worth": found.worth,
                    "low": found.low,
                    "high": found.high,
                    "censored": found.censored,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def has_curve(scores: pd.DataFrame, metric: str, method: str) -> bool:
    """Tell whether a method has scores at two budgets or more."""
    return len(_scored_at(scores, metric, method)) > 1


def budgets_of(scores: pd.DataFrame, method: str) -> list[str]:
    """Give the names of the budgets that a method was run at, from few labels to many."""
    rows = scores[scores["method"] == method]
    return list(rows.groupby("budget")["n_labels"].mean().sort_values().index)


def shared_budgets(scores: pd.DataFrame, method: str, reference: str) -> list[str]:
    """Give the names of the budgets that both methods have."""
    own = set(budgets_of(scores, method))
    return [budget for budget in budgets_of(scores, reference) if budget in own]


def fold_scores(
    scores: pd.DataFrame, metric: str, method: str, reference: str, budget: str
) -> FoldScores:
    """Line up a method at a budget with the whole curve of its reference.

    Folds count in which both have a score at this budget. Draws of labels that one of the two
    lacks are left out at every budget that both have.
    """
    ours, theirs = (_by_cell(scores, metric, name) for name in (method, reference))
    of_budget = theirs.columns.get_level_values("budget")
    only_theirs = ~of_budget.isin(ours.columns.get_level_values("budget"))
    theirs = theirs.loc[:, only_theirs | theirs.columns.isin(ours.columns)]
    own, same = _at(ours, budget).align(_at(theirs, budget), join="inner")
    both = own.notna() & same.notna()
    score = own.where(both).mean(axis=1).dropna()
    theirs = theirs.reindex(score.index)
    budgets = [b for b in budgets_of(scores, reference) if b in theirs.columns]
    curve = {b: _at(theirs, b) for b in budgets} | {budget: same.where(both).reindex(score.index)}
    n_labels = scores[scores["method"] == reference].groupby("budget")["n_labels"].mean()
    return FoldScores(
        n_labels=n_labels[budgets].to_numpy(dtype=np.float64),
        reference=np.column_stack([curve[b].mean(axis=1) for b in budgets]),
        n_scores=np.column_stack([curve[b].count(axis=1) for b in budgets]),
        score=score.to_numpy(dtype=np.float64),
        n=float(n_labels[budget]),
        greater_is_better=METRICS[metric].greater_is_better,
    )


def _compared(scores: pd.DataFrame, metric: str, method: str | None, reference: str) -> list[str]:
    """Give the methods to be compared with a reference."""
    methods = list(dict.fromkeys(scores["method"]))
    if reference not in methods:
        raise ValueError(
            f"the scores lack the reference {shorten(reference)}: add it to the study's methods=, "
            f"or give reference= one of {methods}"
        )
    others = [name for name in methods if name != reference]
    if not others:
        raise ValueError(f"there is no method beside the reference {shorten(reference)}")
    if method is not None and method not in others:
        raise ValueError(f"there is no method {shorten(method)} to compare; there are {others}")
    if not has_curve(scores, metric, reference):
        raise ValueError(
            f"a learning curve takes two label budgets, and {shorten(reference)} has scores at "
            f"{_scored_at(scores, metric, reference)} only: add to the study's label_fractions="
        )
    return others if method is None else [method]


def _scored_at(scores: pd.DataFrame, metric: str, method: str) -> list[str]:
    return budgets_of(scores.dropna(subset=[metric]), method)


def _at(cells: pd.DataFrame, budget: str) -> pd.DataFrame:
    """Scores at a budget: a row a fold, a column a draw."""
    return cells.loc[:, cells.columns.get_level_values("budget") == budget].droplevel(
        "budget", axis=1
    )


def _by_cell(scores: pd.DataFrame, metric: str, method: str) -> pd.DataFrame:
    """Scores of a method: a row a fold, a column a budget and draw."""
    rows = scores[scores["method"] == method]
    return rows.pivot(index=FOLD, columns=["budget", "draw"], values=metric)
