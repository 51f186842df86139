"""
Do photos at training time make table-only predictions better?
==============================================================

Runs the comparison on the sets at hand and writes ``docs/benchmarks/accuracy.md`` from all results
that there are, those of earlier runs included::

    TABIMG_DATA=... python examples/benchmarks/accuracy.py --jobs 2

Interrupted, it goes on where it stopped. ``--sets NAME ...`` runs some of the sets, ``--extras``
adds RealMLP, TabM and CatBoost (``pip install tabimg[benchmarks]``), and ``--page`` only writes the
page. ``--quick`` shows in minutes that everything runs, with one fold and one epoch; its page means
nothing and goes to the work folder.

Every method has its default settings. Sets whose scores were looked at while these defaults were
chosen are called development sets; the headline is the average over the others.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from accuracy_page import as_outcome, write
from runs import Bench, begin, keep_results, make_parser, read_scores
from sets import SETS, DataSet, Loaded

from tabimg.evaluation import ablation_study
from tabimg.evaluation.baselines import CORE_BASELINES, EXTRA_BASELINES

METHODS = ("scratch", "mt_cmtm", "photo_at_test")
DRAWS = {0.05: 2, 0.1: 2, 0.25: 1, 1.0: 1}


def protocol(bench: Bench) -> dict[str, Any]:
    """Give the folds, label fractions and draws."""
    if bench.quick:
        return {"n_folds": 5, "folds": [0], "label_fractions": (0.1,), "n_draws": 1}
    return {"n_folds": 5, "label_fractions": tuple(DRAWS), "n_draws": DRAWS}


def run(bench: Bench, data: DataSet, rows: Loaded, extras: bool) -> None:
    """Run the studies of a set and keep their scores in one table."""
    given = {
        **rows.columns,
        "task": data.task,
        "metric": data.metric,
        **bench.prototypes(data),
        **protocol(bench),
    }

    def study(**changes: Any) -> Any:
        return bench.run(
            data.name, data.name, ablation_study, X=rows.table, y=rows.target, **given | changes
        )

    result = study(methods=METHODS, baselines=CORE_BASELINES)
    keep(bench, data, result)
    if extras:
        # Networks and boosting of that kind take long: one draw of labels.
        strong = study(methods=(), baselines=EXTRA_BASELINES, n_draws=1)
        keep(bench, data, result, strong)


def keep(bench: Bench, data: DataSet, *results: Any) -> None:
    """Write the scores of a set; those of methods that were not run now stay as they are."""
    scores = pd.concat([result.scores for result in results], ignore_index=True)
    earlier = read_scores(bench, data.name)
    if earlier is not None:
        kept = earlier[~earlier["method"].isin(scores["method"])]
        scores = pd.concat([scores, kept], ignore_index=True)
    keep_results(bench, data.name, scores, results[0].settings)


def main() -> None:
    parser = make_parser("Do photos at training time make table-only predictions better?")
    parser.add_argument("--extras", action="store_true", help="RealMLP, TabM and CatBoost too")
    given = parser.parse_args()
    bench = begin(given)
    for data, rows in bench.at_hand():
        run(bench, data, rows, given.extras)
        write(bench, read_all(bench))
    write(bench, read_all(bench))


def read_all(bench: Bench) -> list[Any]:
    """Read the scores of all sets that have any."""
    tables = {name: read_scores(bench, name) for name in SETS}
    return [as_outcome(SETS[name], scores) for name, scores in tables.items() if scores is not None]


if __name__ == "__main__":
    main()
