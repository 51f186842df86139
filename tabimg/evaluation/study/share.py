"""How much of what photos could add at test a method gains without them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tabimg.evaluation.metrics import METRICS
from tabimg.evaluation.statistics import check_confidence, corrected_interval
from tabimg.evaluation.study.results import StudyResult

# Below these gains of the photo at test, in points or percent of a loss, a share is not defined.
MIN_SCORE, MIN_LOSS = 0.01, 0.02
N_RESAMPLES = 2_000


def photo_share(
    result: StudyResult,
    method: str = "mt_cmtm",
    reference: str = "scratch",
    ceiling: str = "photo_at_test",
    confidence: float = 0.95,
    random_state: int = 0,
) -> pd.DataFrame:
    """Tell how much of the gain of the photo at test a method has from the table alone.

    Parameters
    ----------
    result : StudyResult
        With all three methods.
    method, reference : str
    ceiling : str, default="photo_at_test"
        The reference with the photo as well, at test too.
    confidence : float in (0, 1), default=0.95
        Of the intervals.
    random_state : int, default=0
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row per budget that all three have: budget, n_labels, n_folds, gain (of the method),
        ceiling, ceiling_low and ceiling_high (the gain of the photo at test with its interval),
        share, low and high. A share of 1 is all that the photo adds at test, below 0 is a loss.
        Shares are NaN where the photo at test gains too little to divide by: less than a point, or
        2 % of a loss, or with an interval that is not above zero.

    Raises
    ------
    ValueError
        If a method is not in the scores.

    Notes
    -----
    Gains are those of `StudyResult`, over folds that all three methods have. The share is the ratio
    of their means; its interval is that of a bootstrap over folds, which is narrow if these are
    few.

    Examples
    --------
    >>> import pandas as pd
    >>> from tabimg.evaluation import StudyResult, photo_share
    >>> levels = {"scratch": 0.6, "mt_cmtm": 0.65, "photo_at_test": 0.7}
    >>> place = {"repeat": 0, "budget": "10 %", "draw": 0, "fraction": 0.1, "n_labels": 10}
    >>> sizes = {"n_train": 100, "n_test": 25}
    >>> rows = [
    ...     {"method": name, "fold": fold, "accuracy": level + fold / 100, **place, **sizes}
    ...     for name, level in levels.items()
    ...     for fold in range(3)
    ... ]
    >>> float(photo_share(StudyResult(pd.DataFrame(rows), "accuracy"))["share"].iloc[0].round(6))
    0.5
    """
    check_confidence(confidence)
    rng, ends = np.random.default_rng(random_state), [(1 - confidence) / 2, (1 + confidence) / 2]
    rows = []
    for budget in _shared_budgets(result, (method, reference, ceiling)):
        gains = pd.concat(
            [result.differences(name, reference, budget) for name in (method, ceiling)],
            axis=1,
            join="inner",
        ).to_numpy()
        cells = result.scores[result.scores["budget"] == budget]
        test_share = float((cells["n_test"] / cells["n_train"]).mean())
        possible = corrected_interval(pd.Series(gains[:, 1]), test_share, confidence)
        share = low = high = np.nan
        if possible.mean >= _least(result.metric) and possible.low > 0:
            drawn = gains[rng.integers(len(gains), size=(N_RESAMPLES, len(gains)))].mean(axis=1)
            share = gains[:, 0].mean() / gains[:, 1].mean()
            low, high = np.quantile(drawn[:, 0] / drawn[:, 1], ends)
        rows.append(
            {
                "budget": budget,
                "n_labels": cells["n_labels"].mean(),
                "n_folds": len(gains),
                "gain": gains[:, 0].mean(),
                "ceiling": possible.mean,
                "ceiling_low": possible.low,
                "ceiling_high": possible.high,
                "share": share,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def _least(metric: str) -> float:
    return MIN_SCORE if METRICS[metric].greater_is_better else MIN_LOSS


def _shared_budgets(result: StudyResult, methods: tuple[str, ...]) -> list[str]:
    """List the budgets that all methods have, from few labels to many."""
    for name in methods:
        if name not in result.methods:
            raise ValueError(
                f"the scores lack the method {name!r}: add it to the study's methods=, or name "
                f"others of {result.methods}"
            )
    known = [set(result.scores.loc[result.scores["method"] == n, "budget"]) for n in methods]
    return [budget for budget in result.budgets if all(budget in own for own in known)]
