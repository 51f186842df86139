"""The page of results: headline, every set, figures, configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from headline import (
    ALL,
    BEST,
    FEW,
    METHOD,
    SCRATCH,
    Outcome,
    averages,
    distances,
    losses,
    shares,
    verdicts,
    worths,
)
from pages import (
    as_gain,
    computing_time,
    configuration,
    minutes,
    save_figure,
    score_table,
    table,
    write_page,
)
from runs import Bench, read_settings
from sets import SETS, DataSet

from tabimg.evaluation import StudyResult
from tabimg.evaluation.baselines import CORE_BASELINES, EXTRA_BASELINES
from tabimg.evaluation.metrics import METRICS

NAMES = {
    "scratch": "scratch",
    "mt_cmtm": "**MT-CMTM**",
    "photo_at_test": "photo at test",
    "linear": "linear",
    "random_forest": "random forest",
    "boosting": "gradient boosting",
    "first scratch": "scratch, first draw",
    "first mt_cmtm": "MT-CMTM, first draw",
    "realmlp": "RealMLP",
    "tabm": "TabM",
    "catboost": "CatBoost",
    "best_baseline": "best baseline",
}
CELL = ["repeat", "fold", "budget", "draw"]

INTRODUCTION = """\
# Accuracy

Do photos at training time make predictions from the table alone better? Real sets, each with a
table and photos; the photos of the test rows are never seen. Written by

```console
TABIMG_DATA=... python examples/benchmarks/accuracy.py
```

from the tables of scores in `docs/benchmarks/results/`, which have one row per method, fold, label
budget and draw. `--extras` adds RealMLP, TabM and CatBoost (`pip install tabimg[benchmarks]`).

- **MT-CMTM** pre-trains on all training rows of a fold with their photos, and is fitted on the
  labelled ones. **scratch** is the same estimator with `pretrainer=None`: the same budget, no
  photo, and those candidates that need none; only MT-CMTM has what learns from photos.
- Baselines are tuned on inner folds of the same labelled rows. In each cell the *best baseline* is
  the one with the lowest inner validation loss, picked without test rows. Each is shown as well.
- 5 folds by group and class; 5 %, 10 %, 25 % and all of a fold's training labels, at least two per
  class. Labels of the first two are drawn twice. Fractions that come to the same rows are merged.
- RealMLP, TabM and CatBoost, and the best baseline if they take part, have the first draw only.
  Compare them with the rows *first draw*, not with the averages over both; gains are over equal
  rows.
- Every set has one metric. Classification: accuracy, or AUC where a constant is right in three of
  four rows. Regression: the MSE divided by the variance of the test rows (relative MSE; it is
  1 − R², and lower is better).
- A gain is positive where MT-CMTM is better, in points (hundredths) of accuracy or AUC, and in
  percent of the reference's MSE. 95 % intervals are in brackets: over the folds of a set the
  corrected resampled t interval (Nadeau and Bengio, 2003), paired; over sets a bootstrap that draws
  sets, then folds.
- Groups count in the weights of a blend, and half of their prior is of what learns from labelled
  columns, since a look at food_ecustfd, a confirmation set, showed what weights did otherwise.
- Four sets are few: an interval over them is rough, and probably too narrow. *Both* averages points
  and percent; the columns before it show each alone.
- A set whose scores were looked at while defaults were chosen is a *development set*. The headline
  is the average over the *confirmation sets*, which took no part in any choice.
"""

DISTANCES = """\
How much was there to gain? Photos cannot put more into the columns than they hold, and unlimited
labels would teach all of it. The gap between 5 % of the labels and all of them is what twenty times
the labels are worth to the same estimator; the *share* is how much of it pre-training with photos
closes, without a further label (below zero: a loss; above 100 %: more than all the labels). The
[ablation](ablation.md) examines how much of that is due to the content of the photos.
"""

WORTHS = """\
### Labels' worth

How many times the labels does scratch need for the score that MT-CMTM reaches? 2.0 means that
photos halve the labels, 1.0 that they save none, less that they cost some. It is read off the
scores of scratch over the budgets, made monotone and joined by lines over the logarithm of the
labels.

95 % intervals are of a bootstrap over the folds of a set, stretched to the width of the corrected t
interval, and for the geometric mean of one over sets, then folds. \\> and \\< mark bounds: better
than scratch with all labels, or worse than with its smallest budget. An interval that is open to ∞,
or begins at 0.0, ends beyond these; [1.0, 1.0] is of scores that are equal in every fold. The
geometric mean takes bounds as they are. With 5 % of the labels nothing below 1 can be measured, so
its mean is at least 1 by construction, and with all labels at most 1; the columns between go both
ways, except for fractions that were merged into the smallest budget (leaf_species).
"""

SHARES = """\
### Share of what the photo adds at test

The *photo at test* is scratch with 32 principal components of the photo's embedding among its
columns, in training and at test. Nobody has that photo, so its gain over scratch, in parentheses in
points or percent of MSE, is what there is to gain at most; the share is how much of it MT-CMTM has
from the table alone, with an interval of a bootstrap over folds. There is no share where the photo
at test gains less than a point or 2 % of MSE, or not for certain: there it is enough to do no harm.
"""


def as_outcome(data: DataSet, scores: pd.DataFrame) -> Outcome:
    """Make a study of a table of scores, with the best baseline."""
    present = [n for n in (*CORE_BASELINES, *EXTRA_BASELINES) if n in set(scores["method"])]
    # Only among cells that every baseline has: the choice is then the same everywhere.
    counts = scores[scores["method"].isin(present)].groupby(CELL)["method"].nunique()
    shared = scores.set_index(CELL).index.isin(counts[counts == len(present)].index)
    choice = StudyResult(scores[shared], data.metric, tuple(present)).with_best_baseline(BEST)
    best = choice.scores[choice.scores["method"] == BEST]
    whole = pd.concat([scores.assign(picked=None), best], ignore_index=True)
    return Outcome(data, StudyResult(whole, data.metric, tuple(present)))


def write(bench: Bench, outcomes: Sequence[Outcome]) -> None:
    """Write the page and its figures from whatever there is."""
    parts = [INTRODUCTION, *_headline(outcomes)]
    if outcomes:
        save_figure(
            bench.docs / "figures" / "accuracy-gains.svg",
            lambda figure: _draw_gains(figure, outcomes),
            figsize=(8, 1.6 + 0.35 * len(outcomes)),
        )
        parts.append("![Gains over all sets](figures/accuracy-gains.svg)\n")
    confirming = [o for o in outcomes if o.data.role == "confirmation"]
    if confirming:
        parts += [WORTHS, worths(confirming), SHARES, shares(confirming)]
    for role, title in (("confirmation", "Confirmation sets"), ("development", "Development sets")):
        parts.append(f"## {title}\n")
        if role == "development" and outcomes:
            developing = [o for o in outcomes if o.data.role == role]
            parts += [averages(developing), distances(developing)]
            parts += ["[Labels' worth](#labels-worth):\n", worths(developing)]
            parts += ["[Share](#share-of-what-the-photo-adds-at-test):\n", shares(developing)]
            parts += ["Labels' worth of all sets:\n", worths(outcomes)]
        for outcome in outcomes:
            if outcome.data.role == role:
                parts += _section(bench, outcome)
    notes = {o.data.name: read_settings(bench, o.data.name) for o in outcomes}
    parts += [
        "## Configuration\n",
        "The same for all sets.\n",
        configuration({name: note for name, note in notes.items() if note}),
    ]
    write_page(bench.docs / "accuracy.md", parts)


def _headline(outcomes: Sequence[Outcome]) -> Iterator[str]:
    confirming = [o for o in outcomes if o.data.role == "confirmation"]
    wanted = [name for name, data in SETS.items() if data.role == "confirmation"]
    absent = [name for name in wanted if name not in {o.data.name for o in confirming}]
    yield "## Headline: the average over the confirmation sets\n"
    if not confirming:
        yield f"**Not there yet**: no results of {', '.join(absent)}.\n"
        return
    if absent:
        yield f"**Preliminary**: no results of {', '.join(absent)}.\n"
    yield averages(confirming)
    yield "Compared with the goals set beforehand:\n"
    yield verdicts(confirming)
    yield DISTANCES
    yield distances(confirming)
    yield "Where MT-CMTM is behind, on a confirmation set, on average over the folds:\n"
    yield losses(confirming, {name: NAMES[name] for name in (SCRATCH, BEST)})


def _section(bench: Bench, outcome: Outcome) -> Iterator[str]:
    data, study = outcome.data, outcome.study
    name = f"accuracy-{data.name}.svg"
    shown = [SCRATCH, METHOD, BEST]
    save_figure(
        bench.docs / "figures" / name,
        lambda figure: study.plot(figure.subplots(), methods=shown),
        figsize=(5, 3.2),
    )
    n_rows = study.scores.groupby(["repeat", "fold"])[["n_train", "n_test"]].first().sum(axis=1)
    yield f"### {data.name}\n"
    yield f"{data.describe()} {n_rows.iloc[0]} rows.\n"
    yield f"{METRICS[data.metric].label}, mean over folds and its interval:\n"
    yield score_table(_with_first_draws(study), NAMES)
    yield f"Gain of MT-CMTM in {METRICS[data.metric].gain_unit}:\n"
    yield _gains(study)
    yield f"![Score against labels](figures/{name})\n"
    yield _times(study.scores)


def _with_first_draws(study: StudyResult) -> StudyResult:
    """Add what the strong nets, which have the first draw alone, are to be compared with."""
    scores = study.scores
    if not scores["method"].isin(EXTRA_BASELINES).any():
        return study
    first = scores[(scores["draw"] == 0) & scores["method"].isin([SCRATCH, METHOD])]
    first = first.assign(method="first " + first["method"])
    whole = pd.concat([scores, first], ignore_index=True)
    return StudyResult(whole, study.metric, study.baselines)


def _gains(study: StudyResult) -> str:
    rows = []
    for reference in (SCRATCH, BEST):
        summary = study.summary(reference)
        own = summary[summary["method"] == METHOD].set_index("budget")
        gains = [as_gain(*own.loc[b, ["gain", "gain_low", "gain_high"]]) for b in study.budgets]
        rows.append([f"over {NAMES[reference]}", *gains])
    picked = study.scores[study.scores["method"] == BEST].groupby("budget")["picked"]
    counts = picked.value_counts()
    rows.append(
        [
            "picked (times)",
            *(
                ", ".join(f"{NAMES[name]} ({n})" for name, n in counts[budget].items())
                for budget in study.budgets
            ),
        ]
    )
    return table(["", *study.budgets], rows)


def _times(scores: pd.DataFrame) -> str:
    times = computing_time(scores[scores["method"] != BEST])
    parts = [
        f"{NAMES[name].strip('*')} {minutes(fitting)}"
        + (f" and {minutes(pretraining)} of pre-training" if pretraining else "")
        for name, (pretraining, fitting) in times.items()
    ]
    total = sum(sum(pair) for pair in times.values())
    return (
        f"Computing time on one thread, all folds: {'; '.join(parts)}; {minutes(total)} in all.\n"
    )


def _draw_gains(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw each set's gain with few and with all labels, over scratch and the best baseline."""
    ordered = sorted(outcomes, key=lambda o: o.data.role == "confirmation")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, reference in zip(axes, (SCRATCH, BEST), strict=True):
        for shift, label, fractions in (
            (0.12, "5 % and 10 % of the labels", FEW),
            (-0.12, "all labels", ALL),
        ):
            found = [o.interval(fractions, reference) for o in ordered]
            places = [n + shift for n in range(len(ordered))]
            means = [100 * each.mean for each in found]
            reach = [
                [100 * (e.mean - e.low) if e.n > 1 else 0 for e in found],
                [100 * (e.high - e.mean) if e.n > 1 else 0 for e in found],
            ]
            ax.errorbar(means, places, xerr=reach, fmt="o", capsize=2, markersize=4, label=label)
        ax.axvline(0.0, color="grey", linewidth=0.8)
        ax.set_xlabel(f"Gain over {NAMES[reference]},\npoints or % of MSE")
    axes[0].set_yticks(range(len(ordered)), [f"{o.data.name} ({o.data.role})" for o in ordered])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
