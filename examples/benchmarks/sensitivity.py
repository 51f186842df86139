"""
How much depends on the weights of the losses and on the mask rate?
====================================================================

Pre-trains with other values of ``lambda_c``, ``lambda_m`` and ``mask_rate`` on generated membranes
and on leaves, and writes ``docs/benchmarks/sensitivity.md`` with heat maps::

    TABIMG_DATA=... python examples/benchmarks/sensitivity.py --jobs 2

Without ``TABIMG_DATA`` it runs the generated set alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pages import computing_time, configuration, minutes, save_figure, table, write_page
from runs import Bench, begin, keep_results, make_parser, read_scores, read_settings
from sets import GROUP, SETS, DataSet, Loaded

from tabimg.datasets import make_membranes
from tabimg.evaluation import StudyResult, sensitivity
from tabimg.evaluation.metrics import METRICS

MEMBRANES = DataSet(
    name="make_membranes",
    title="Generated membranes",
    source="tabimg.datasets.make_membranes, 1,000 rows with micrographs of 64 pixels.",
    role="development",
    target="permeance_lmh_bar",
    task="regression",
    metric="r2",
    columns=(),
    photos=("photo",),
)
STUDIED = {"make_membranes": MEMBRANES, "leaf_species": SETS["leaf_species"]}
WEIGHTS = [0.1, 1.0, 10.0]
GRID = (
    {"lambda_c": WEIGHTS, "lambda_m": WEIGHTS},
    {"mask_rate": [0.1, 0.3, 0.5, 0.7]},
)
# What is fitted on an encoder, and the end of the names of its tables.
FITS = {"default blend": ("auto", ""), "one network alone": ("full", "-network")}
FRACTIONS, DRAWS, N_FOLDS, FOLDS = (0.1, 1.0), {0.1: 2, 1.0: 1}, 5, (0, 1)
IMAGE_SIZE = 32

INTRODUCTION = """\
# Sensitivity

How much depends on the weights of the two losses, and on how many cells are masked? Written by

```console
TABIMG_DATA=... python examples/benchmarks/sensitivity.py
```

- Photos are read at 32 pixels, which is less work than the default; everything else is default. The
  defaults are `lambda_c=1`, `lambda_m=1`, `mask_rate=0.1`; those that this page was measured with
  are at its end. Weights of 0 are on the [ablation page](ablation.md).
- Each encoder is judged by the *default blend* (`finetune="auto"`), in which it is one voice among
  several, and by *one network alone* (`finetune="full"`), which shows more of it.
- The first 2 of 5 folds; 10 % of the labels, drawn twice, and all of them.
- These are test scores. They show how sensitive results are; picking the best entry and reporting
  it would be choosing on test rows.
"""


def membranes() -> Loaded:
    """Generate the membranes; rows with one recipe stay together."""
    data = make_membranes(n_samples=1000, random_state=0)
    columns = {"image_column": "photo", "group_column": GROUP}
    return Loaded(data.data.assign(**{GROUP: data.groups}), data.target.to_numpy(), columns)


def run(bench: Bench, data: DataSet, rows: Loaded) -> None:
    """Run the grid on a set, with both fits; what is pre-trained for one serves the other."""
    some: dict[str, Any] = {"folds": FOLDS, "label_fractions": FRACTIONS, "n_draws": DRAWS}
    grid: Any = GRID
    if bench.quick:
        some = {"folds": FOLDS[:1], "label_fractions": FRACTIONS[:1], "n_draws": 1}
        grid = ({"lambda_c": [0.1, 1.0], "lambda_m": [0.1, 1.0]}, {"mask_rate": [0.3, 0.5]})
    for finetune, ending in FITS.values():
        prototypes = bench.prototypes(data, image_size=IMAGE_SIZE)
        prototypes["estimator"].set_params(finetune=finetune)
        stem = f"sensitivity-{data.name}{ending}"
        result = bench.run(
            stem,
            data.name,
            sensitivity,
            X=rows.table,
            y=rows.target,
            **rows.columns,
            **prototypes,
            task=data.task,
            metric=data.metric,
            grid=grid,
            n_folds=N_FOLDS,
            **some,
        )
        keep_results(bench, stem, result.scores, result.settings)


def write(bench: Bench) -> None:
    """Write the page from the results that there are."""
    parts, notes = [INTRODUCTION], {}
    for name, data in STUDIED.items():
        studies = {}
        for fit, (_, ending) in FITS.items():
            scores = read_scores(bench, f"sensitivity-{name}{ending}")
            if scores is not None:
                studies[fit] = StudyResult(scores, data.metric)
        parts.append(f"## {name}\n")
        if not studies:
            parts.append("**No results yet.**\n")
            continue
        # The two fits differ in one parameter, which the introduction tells.
        notes[name] = read_settings(bench, f"sensitivity-{name}")
        parts += _section(bench, data, studies)
    write_page(bench.docs / "sensitivity.md", [*parts, "## Configuration\n", configuration(notes)])


def _section(bench: Bench, data: DataSet, studies: dict[str, StudyResult]) -> Iterator[str]:
    label = METRICS[data.metric].label
    yield f"{data.title}. {data.source} {label}, mean over folds.\n"
    for fit, study in studies.items():
        figure_name = f"sensitivity-{data.name}{FITS[fit][1]}.svg"
        save_figure(
            bench.docs / "figures" / figure_name,
            partial(_draw, study=study),
            figsize=(4.2 * len(study.budgets), 3.4),
        )
        yield f"### {data.name}, {fit}\n"
        yield f"![Heat maps of the weights](figures/{figure_name})\n"
        summary = study.summary().set_index(["method", "budget"])
        varied = study.scores.drop_duplicates("method").set_index("method")
        named = {f"mask rate {rate:g}": m for m, rate in varied["mask_rate"].dropna().items()}
        rows = [
            [label, *(f"{summary.loc[(method, b), 'mean']:.3f}" for b in study.budgets)]
            for label, method in {**named, "scratch": "scratch"}.items()
        ]
        yield table(["", *study.budgets], rows)
        yield _spread(varied, summary, study.budgets)
        total = sum(sum(pair) for pair in computing_time(study.scores).values())
        yield f"Computing time on one thread: {minutes(total)}.\n"


def _spread(varied: pd.DataFrame, summary: pd.DataFrame, budgets: list[str]) -> str:
    """Say how far the points of the grid lie apart, beside the deviation over folds."""
    weighted = varied.index[varied["lambda_c"].notna()]
    parts = []
    for budget in budgets:
        means = np.array([summary.loc[(method, budget), "mean"] for method in weighted])
        sd = np.mean([summary.loc[(method, budget), "sd"] for method in weighted])
        noise = "" if np.isnan(sd) else f" (standard deviation between folds {sd:.3f})"
        parts.append(f"at {budget} from {means.min():.3f} to {means.max():.3f}{noise}")
    return f"Over all weights of the losses the score ranges {', '.join(parts)}.\n"


def _draw(figure: Any, study: StudyResult) -> None:
    axes = np.atleast_1d(figure.subplots(1, len(study.budgets)))
    for ax, budget in zip(axes, study.budgets, strict=True):
        study.heat_map("lambda_c", "lambda_m", budget, ax)


def main() -> None:
    parser = make_parser("How much depends on the weights and the mask rate?", tuple(STUDIED))
    given = parser.parse_args()
    bench = begin(given, STUDIED)
    for data, rows in bench.at_hand({"make_membranes": membranes}):
        run(bench, data, rows)
    write(bench)


if __name__ == "__main__":
    main()
