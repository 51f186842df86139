"""Labels' worth over several sets, from the study of each."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tabimg.evaluation.labels_worth import ABOVE, BELOW, N_RESAMPLES, pooled_worth
from tabimg.evaluation.study.results import REFERENCE, StudyResult
from tabimg.evaluation.study.worth import fold_scores, has_curve, shared_budgets
from tabimg.messages import shorten


def pooled_labels_worth(
    studies: Mapping[str, StudyResult],
    method: str,
    fraction: float,
    reference: str = REFERENCE,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int = 0,
) -> pd.Series:
    """Pool the labels' worth of a method over several sets, as their geometric mean.

    Parameters
    ----------
    studies : mapping of str to StudyResult
        A study of each set; each has its own metric.
    method : str
    fraction : float in (0, 1]
        The label fraction; budgets that it was merged into count.
    reference : str, default="scratch"
    confidence : float in (0, 1), default=0.95
    n_resamples : int, default=2000
    random_state : int, default=0

    Returns
    -------
    Series
        worth, low, high, n_sets, and how many of these are censored: n_above and n_below. Sets are
        left out whose study lacks the fraction, or has a single budget.

    Raises
    ------
    ValueError
        If no set is left.

    Notes
    -----
    Every set counts alike, a censored value at its bound: those above pull the mean down, and those
    below pull it up. With the fewest labels the mean is thus never below 1, and with all of them
    never above. The interval is of a bootstrap that draws sets, then folds, as in
    `pooled_difference`; with a handful of sets it is a rough one.

    Examples
    --------
    >>> import pandas as pd
    >>> from tabimg.evaluation import StudyResult, pooled_labels_worth
    >>> columns = ["method", "fraction", "budget", "n_labels", "accuracy"]
    >>> def study(accuracy):
    ...     rows = [
    ...         ("scratch", 0.1, "10 %", 10, 0.5),
    ...         ("scratch", 0.4, "40 %", 40, 0.7),
    ...         ("photos", 0.1, "10 %", 10, accuracy),
    ...     ]
    ...     scores = pd.DataFrame(rows, columns=columns)
    ...     scores = scores.assign(repeat=0, fold=0, draw=0, n_train=100, n_test=25)
    ...     return StudyResult(scores, "accuracy")
    >>> pooled = pooled_labels_worth({"leaves": study(0.6), "cars": study(0.9)}, "photos", 0.1)
    >>> print(f"{pooled['worth']:.2f} of {pooled['n_sets']} sets, {pooled['n_above']} of them more")
    2.83 of 2 sets, 1 of them more
    """
    name = f"{100 * fraction:g} %"
    sets = []
    for study in studies.values():
        shared = shared_budgets(study.scores, method, reference)
        budget = next((each for each in shared if name in each.split(" = ")), None)
        if budget is not None and has_curve(study.scores, study.metric, reference):
            folds = fold_scores(study.scores, study.metric, method, reference, budget)
            sets += [folds] if len(folds.score) else []
    if not sets:
        raise ValueError(
            f"no set has {shorten(method)} and {shorten(reference)} at {name} of the labels, and "
            f"{shorten(reference)} at another budget too"
        )
    found = pooled_worth(sets, confidence, n_resamples, random_state)
    sides = [folds.worth()[1] for folds in sets]
    return pd.Series(
        {
            "worth": found.worth,
            "low": found.low,
            "high": found.high,
            "n_sets": len(sets),
            "n_above": sides.count(ABOVE),
            "n_below": sides.count(BELOW),
        },
        dtype=object,
    )
