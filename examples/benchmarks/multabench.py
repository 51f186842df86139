"""
Photos at training time on the image sets of MulTaBench
=======================================================

MulTaBench (Arazi et al., arXiv 2605.10616) is a benchmark of tables with photos or text. This
program runs its twenty sets with photos, sees the photos of training rows alone, and writes
``docs/benchmarks/multabench.md``::

    pip install kagglehub
    python examples/benchmarks/multabench.py --download --sets mango-mass khaadi-clothes

Without ``--download`` nothing is fetched: ``TABIMG_DATA`` names a folder that holds the sets, each
unpacked in a folder with its name on Kaggle, such as ``multabench-mango-mass``. Interrupted, the
program goes on where it stopped. Twenty sets of five folds with up to 10,000 photos each take long:
begin with some ``--sets``, or with fewer ``--rows``.

Taken from MulTaBench's code (github.com/alanarazi7/MulTaBench, 2026): the names and tasks of the
sets; their layout, ``data.csv`` beside ``metadata.json``, which names target and photo column, and
the photos in ``images``; five folds, by class in classification and without groups; at most 10,000
rows to train on and 2,500 to test on; AUC for two classes, log loss for more, squared error for
numbers; which columns are text.

Decided here: the photos of test rows are never seen; columns of text, and of dates that are stored
like text, are left out; of a large set as many rows are drawn, once, as five folds of that size
need; the folds are those of ``tabimg.evaluation``, not the row numbers that MulTaBench publishes;
the error of numbers is the MSE divided by the variance of the test rows, where MulTaBench has the
root of the MSE.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from accuracy_page import NAMES, as_outcome
from headline import BEST, SCRATCH, Outcome, budget_of, pooled
from pages import as_gain, configuration, score_table, table, write_page
from runs import Bench, begin, keep_results, make_parser, read_scores, read_settings
from sets import DataSet, Loaded, find_folder, load

from tabimg.evaluation import ablation_study
from tabimg.evaluation.baselines import CORE_BASELINES
from tabimg.evaluation.metrics import METRICS
from tabimg.evaluation.statistics import Interval

METHODS = ("scratch", "mt_cmtm")
OWNER = "chico89"  # of the sets on Kaggle
CLASSIFICATION = (
    *("celeb-attractiveness", "hateful-meme", "mammography-cmmd", "cbis-ddsm", "chexpert"),
    *("csgo-skin", "flower-bouquets", "glaucoma-smdg", "hubmap-hpa", "justin-instagram"),
    *("petfinder", "zooscan-zooplankton"),
)
REGRESSION = (
    *("amazon-bestseller", "amazon-packages", "hnm-fashion", "khaadi-clothes"),
    *("letterboxd-movies", "mango-mass", "mkphoto-bots", "painting-price"),
)
TASKS = {
    **dict.fromkeys(CLASSIFICATION, "classification"),
    **dict.fromkeys(REGRESSION, "regression"),
}
N_FOLDS, N_ROWS = 5, 12_500
# Strings with as many distinct values, or as large a share of them, are text and not categories.
TEXT_VALUES, TEXT_SHARE = 100, 0.8
REFERENCES = (SCRATCH, BEST)
UNITS = {"auc": "AUC, points", "log_loss": "log loss, %", "relative_mse": "MSE, %"}

INTRODUCTION = """\
# MulTaBench

Do photos at training time make predictions from the table alone better, on the twenty image sets of
MulTaBench (Arazi et al., [arXiv 2605.10616](https://arxiv.org/abs/2605.10616))? Written by

```console
python examples/benchmarks/multabench.py --download
```

- **From [MulTaBench's code](https://github.com/alanarazi7/MulTaBench)**: the sets, their targets
  and photos; five folds, by class in classification; at most 10,000 rows to train on and 2,500 to
  test on; AUC for two classes, log loss for more, squared error for numbers; strings with 100 or
  more distinct values, or with 80 % of them distinct, are text.
- **Decided here**: MulTaBench gives its models the photos of the test rows, and here nothing sees
  them. Columns of text, and of dates that are stored like text, are left out for every method. Of a
  large set 12,500 rows are drawn, once, or as many as `--rows` says. Folds are drawn anew, so that
  figures cannot be set beside those of MulTaBench one by one. The error of numbers is the MSE
  divided by the variance of the test rows; MulTaBench has the root of the MSE.
- MulTaBench declares no groups. Rows that show one thing, or one person, may be on both sides of a
  split, for every method alike.
- **MT-CMTM** pre-trains on all training rows of a fold with their photos; **scratch** is the same
  estimator without. Of the baselines, which are tuned on inner folds, the *best baseline* has the
  lowest inner validation loss. All have their default settings.
- A gain is positive where MT-CMTM is better: in points (hundredths) of AUC, in percent of the
  reference's log loss or MSE. 95 % intervals are in brackets: over the folds of a set the corrected
  resampled t interval (Nadeau and Bengio, 2003), over sets a bootstrap that draws sets, then folds.
- A set is *won* or *lost* where its interval lies above or below zero, and *tied* where it holds
  zero.
"""


def slug(name: str) -> str:
    """Give the name that a set has on Kaggle."""
    return f"multabench-{name}"


def locate(name: str, download: bool) -> Path | None:
    """Give the folder of a set, fetched if that is asked for; None where it is not at hand."""
    folder = find_folder(slug(name), "data.csv")
    if folder is None and download:
        folder = fetch(name)
    if folder is None:
        print(f"{name}: not found, TABIMG_DATA names no folder that holds it; see --download")
    return folder


def fetch(name: str) -> Path:
    """Download a set into the cache of kagglehub, or find it there."""
    try:
        import kagglehub
    except ImportError:
        raise ImportError("--download needs kagglehub: pip install kagglehub") from None
    return Path(kagglehub.dataset_download(f"{OWNER}/{slug(name)}"))


def declare(name: str, folder: Path) -> DataSet:
    """Read what a set says of itself.

    Raises
    ------
    ValueError
        If ``metadata.json`` names no target or no photo column, or one that the table lacks.
    """
    facts = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    rows = pd.read_csv(folder / "data.csv", low_memory=False)
    roles = [facts.get(key) for key in ("target", "image_col")]
    if not set(roles) <= set(rows.columns):
        raise ValueError(
            f"{folder / 'metadata.json'} must name columns of data.csv as target and image_col, "
            f"got {roles}"
        )
    target, photo = roles
    features = rows.drop(columns=roles)
    texts = [column for column in features if is_text(features[column])]
    left_out = f" Left out as text: {', '.join(texts)}." if texts else ""
    return DataSet(
        name=slug(name),
        title=name,
        source=f"{OWNER}/{slug(name)} on Kaggle.{left_out}",
        role="confirmation",
        target=target,
        task=TASKS[name],
        metric=metric_of(TASKS[name], rows[target]),
        columns=tuple(features.columns.drop(texts)),
        photos=(photo,),
        file="data.csv",
    )


def is_text(column: pd.Series) -> bool:
    """Tell text from categories, as MulTaBench does."""
    distinct = column.nunique()
    strings = not pd.api.types.is_numeric_dtype(column)
    return strings and (distinct >= TEXT_VALUES or distinct >= TEXT_SHARE * column.count())


def metric_of(task: str, target: pd.Series) -> str:
    """Choose the metric by the kind of target."""
    if task == "regression":
        return "relative_mse"
    return "auc" if target.nunique() == 2 else "log_loss"


def run(bench: Bench, data: DataSet, rows: Loaded, fractions: Sequence[float]) -> None:
    """Run the study of a set, and keep its scores."""
    result = bench.run(
        data.name,
        data.name,
        ablation_study,
        X=rows.table,
        y=rows.target,
        **rows.columns,
        **bench.prototypes(data),
        task=data.task,
        metric=data.metric,
        methods=METHODS,
        baselines=CORE_BASELINES,
        label_fractions=fractions,
        n_folds=N_FOLDS,
        folds=[0] if bench.quick else None,
        n_draws=1,
    )
    keep_results(bench, data.name, result.scores, {**result.settings, "set": asdict(data)})


def read(bench: Bench, name: str) -> Outcome | None:
    """Read the results of a set; None where there are none."""
    scores, note = read_scores(bench, slug(name)), read_settings(bench, slug(name))
    if scores is None or note is None:
        return None
    return as_outcome(DataSet(**note["settings"]["set"]), scores)


def write(bench: Bench) -> None:
    """Write the page from all results that there are."""
    found = {name: read(bench, name) for name in TASKS}
    outcomes = [outcome for outcome in found.values() if outcome is not None]
    absent = [name for name, outcome in found.items() if outcome is None]
    parts = [INTRODUCTION]
    if absent:
        parts.append(f"**No results** for {', '.join(absent)}.\n")
    if outcomes:
        parts += ["## Over all sets\n", averages(outcomes), "## Each set\n", gains(outcomes)]
        parts += [part for outcome in outcomes for part in section(outcome)]
    notes = {outcome.data.title: read_settings(bench, outcome.data.name) for outcome in outcomes}
    parts += ["## Configuration\n", configuration(notes)]
    write_page(bench.docs / "multabench.md", parts)


def averages(outcomes: Sequence[Outcome]) -> str:
    """Write average gains by metric, and how many sets are won, tied and lost."""
    by_metric = {unit: [o for o in outcomes if o.data.metric == m] for m, unit in UNITS.items()}
    rows = []
    for fraction in sorted({f for outcome in outcomes for f in fractions_of(outcome)}):
        for reference in REFERENCES:
            means = [gain(pooled(kept, (fraction,), reference)) for kept in by_metric.values()]
            counts = map(str, count_sets(outcomes, fraction, reference))
            rows.append([f"{100 * fraction:g} %", NAMES[reference], *means, *counts])
    units = [f"{unit} ({len(kept)})" for unit, kept in by_metric.items()]
    return table(["labels", "gain over", *units, "won", "tied", "lost"], rows)


def count_sets(
    outcomes: Sequence[Outcome], fraction: float, reference: str
) -> tuple[int, int, int]:
    """Count the sets that MT-CMTM wins, ties and loses; those with one fold are none of these."""
    kept = [outcome for outcome in outcomes if budget_of(outcome.study, fraction)]
    found = [outcome.interval((fraction,), reference) for outcome in kept]
    won = sum(each.low > 0 for each in found)
    tied = sum(each.low <= 0 <= each.high for each in found)
    return won, tied, sum(each.high < 0 for each in found)


def gains(outcomes: Sequence[Outcome]) -> str:
    """Write a row a set and label fraction: the gains over scratch and over the best baseline."""
    rows = [
        [
            outcome.data.title,
            UNITS[outcome.data.metric],
            f"{100 * fraction:g} %",
            *(gain(outcome.interval((fraction,), reference)) for reference in REFERENCES),
        ]
        for outcome in outcomes
        for fraction in fractions_of(outcome)
    ]
    return table(["set", "in", "labels", *(f"over {NAMES[name]}" for name in REFERENCES)], rows)


def fractions_of(outcome: Outcome) -> list[float]:
    """List the label fractions of a study."""
    return sorted(set(outcome.study.scores["fraction"]))


def gain(found: Interval) -> str:
    """Write a gain with its interval."""
    return as_gain(found.mean, found.low, found.high)


def section(outcome: Outcome) -> Iterator[str]:
    """Say what a set is, and write its scores."""
    data, study = outcome.data, outcome.study
    n_rows = study.scores[["n_train", "n_test"]].iloc[0].sum()
    n_folds = study.scores["fold"].nunique()
    yield f"### {data.title}\n"
    yield f"{data.describe()} {n_rows} rows; {n_folds} of {N_FOLDS} folds.\n"
    yield f"{METRICS[data.metric].label}, mean over folds and its interval:\n"
    yield score_table(study, NAMES)


def options() -> Any:
    """Read the command line."""
    parser = make_parser("Photos at training time on the image sets of MulTaBench", tuple(TASKS))
    parser.add_argument("--download", action="store_true", help="fetch missing sets from Kaggle")
    parser.add_argument("--rows", type=int, default=N_ROWS, help="at most, of each set")
    parser.add_argument(
        "--labels", type=float, nargs="+", default=[1.0], help="shares of the training labels"
    )
    return parser.parse_args()


def main() -> None:
    given = options()
    names = [] if given.page else given.sets
    folders = {name: locate(name, given.download) for name in names}
    declared = {n: declare(n, folder) for n, folder in folders.items() if folder is not None}
    given.sets = list(declared)
    bench = begin(given, declared)
    readers = {data.name: partial(load, data, folders[name]) for name, data in declared.items()}
    for data, rows in bench.at_hand(readers):
        run(bench, data, rows.sample(given.rows), given.labels)
        write(bench)
    write(bench)


if __name__ == "__main__":
    main()
