"""How much of a study fits into a time limit; said before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from joblib import effective_n_jobs

from tabimg.cli.data import Data
from tabimg.evaluation import StudyCost, estimate_study_cost
from tabimg.evaluation.cost.words import seconds_in_words

MOST_FOLDS = 5
# Seconds of one core that the photos' worth takes for a row, and rows that are enough for it.
VALUE_SECONDS, VALUE_ROWS = 0.12, 1_000
VALUE_SHARE = 0.2
FEWEST_VALUE_ROWS = 200
# With fewer labelled rows a tenth of them is too few to learn from.
MANY_LABELS = 300


@dataclass(frozen=True)
class Schedule:
    """What a study will do, in plain values.

    Parameters
    ----------
    budgets : list of float
        Shares of the labels.
    n_folds : int
        How many of five folds are run.
    value_rows : int
        Rows on which the photos' worth is measured; 0 without photos.
    fit_limit : float or None
        Seconds for each training, if even one fold would take too long.
    final_limit : float or None
        Seconds for the training of the model that is saved.
    seconds : float
        Of everything, estimated.
    limit : float
        Seconds that were given.
    """

    budgets: list[float]
    n_folds: int
    value_rows: int
    fit_limit: float | None
    final_limit: float | None
    seconds: float
    limit: float

    def __str__(self) -> str:
        parts = []
        if self.value_rows:
            parts.append(f"the photos' worth on {self.value_rows} rows")
        labels = " and ".join(f"{100 * budget:g} %" for budget in self.budgets)
        parts.append(f"a comparison on {self.n_folds} of 5 folds with {labels} of the labels")
        parts.append("the model itself")
        told = (
            f"plan: {', '.join(parts)}; about {seconds_in_words(self.seconds)} in all "
            f"(--time-limit {self.limit:g})"
        )
        if self.n_folds < MOST_FOLDS:
            told += "; more time gives more folds, and with them narrower intervals"
        if self.fit_limit is not None:
            told += "; trainings are cut short: a longer limit gives better models"
        return told


def plan(
    data: Data, study: dict[str, Any], budgets: list[float] | None, limit: float, n_jobs: int
) -> Schedule:
    """Measure small fits, and choose what fits into the limit.

    Parameters
    ----------
    data : Data
    study : dict
        Arguments of `ablation_study`, without folds and label fractions.
    budgets : list of float, or None
        None takes a part of the labels, and all.
    limit : float
        Seconds.
    n_jobs : int
    """
    n_labelled = int(data.known.sum())
    if budgets is None:
        budgets = [0.1, 1.0] if n_labelled >= MANY_LABELS else [0.3, 1.0]
    chosen = {"label_fractions": budgets, "n_folds": MOST_FOLDS, "folds": [0], "n_draws": 1}
    cost = estimate_study_cost(data.X, data.y, n_jobs=n_jobs, **study, **chosen)
    n_jobs = effective_n_jobs(n_jobs)
    value_rows = 0
    if data.image_column:
        affordable = round(VALUE_SHARE * limit * n_jobs / VALUE_SECONDS)
        value_rows = min(n_labelled, VALUE_ROWS, max(affordable, FEWEST_VALUE_ROWS))
    value = value_rows * VALUE_SECONDS / n_jobs
    final, fold = _final_seconds(cost), cost.seconds
    spare = limit - value - cost.measured_seconds
    n_folds = int(min(max((spare - final) // max(fold, 0.1), 1), MOST_FOLDS))
    is_tight = n_folds * fold + final > spare
    share = max(spare, 0.3 * limit) / (fold + final) if is_tight else 1.0
    return Schedule(
        budgets=budgets,
        n_folds=n_folds,
        value_rows=value_rows,
        fit_limit=max(share * final / 2, 1.0) if is_tight else None,
        final_limit=max(share * final, 2.0) if is_tight else None,
        seconds=cost.measured_seconds + value + share * (n_folds * fold + final),
        limit=limit,
    )


def _final_seconds(cost: StudyCost) -> float:
    """Seconds of the training on all rows: a little more than the longest in a fold."""
    rows = cost.parts.set_index("method")
    longest = rows["pretraining_seconds"] + rows["fit_seconds"]
    ours = [name for name in rows.index if name in ("mt_cmtm", "scratch")]
    return float(longest[ours].max() * MOST_FOLDS / (MOST_FOLDS - 1))
