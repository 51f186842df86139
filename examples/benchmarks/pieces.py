"""
What does each piece of the blend add?
======================================

Leaves out one kind of member at a time and compares with controls, and writes
``docs/benchmarks/pieces.md``::

    TABIMG_DATA=... python examples/benchmarks/pieces.py --jobs 2

It shares folds, rows and pre-trained encoders with ``accuracy.py``; ``--help`` lists the options.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headline import Outcome, pooled
from pages import as_gain, table
from runs import Bench, begin, make_parser
from sets import DataSet
from variants import FRACTIONS, Variants

from tabimg.evaluation import ablation_study

# What is left out of the blend, by the name of the method.
LEFT_OUT = {
    "no_students": ("linear_student", "forest_student", "boosted_student"),
    "no_imputed": ("imputed",),
    "no_embedding": ("embedding",),
    "no_network": ("network",),
    "columns_only": (
        *("linear_student", "forest_student", "boosted_student"),
        *("imputed", "embedding", "network"),
    ),
}
PIECES = Variants(
    page="pieces",
    labels={
        "mt_cmtm": "MT-CMTM",
        "no_students": "without students",
        "no_imputed": "without the model of imputed photo features",
        "no_embedding": "without the model of the embedding",
        "no_network": "without fine-tuned networks",
        "columns_only": "without all of these",
        "shuffled_photos": "shuffled photos",
        "scratch": "scratch",
        "photo_at_test": "the photo at test",
    },
    reference="mt_cmtm",
)

INTRODUCTION = """\
# The pieces of the blend

What does each kind of member add? Written by

```console
TABIMG_DATA=... python examples/benchmarks/pieces.py
```

- Each row is MT-CMTM with some members left out (`excluded_members`), or a control: the photos
  **shuffled** among the training rows, in pre-training and in all that learns from them;
  **scratch**, without pre-training or photos; **the photo at test**, the same blend as scratch with
  the photo's features among its columns, for training and test rows.
- Losses are given against the whole: below zero, what was left out had helped. Students also see
  the embedding and the imputed photo features; "without the model of ..." leaves out the model that
  sees them beside the columns alone.
- The first 2 of the 5 folds of the [accuracy page](accuracy.md), one draw of labels. Gains are in
  points of accuracy or AUC, and in percent of the MSE in regression. 95 % intervals: over the folds
  of a set the corrected resampled t interval, over sets a bootstrap that draws sets, then folds.
"""


def methods(bench: Bench, data: DataSet) -> dict[str, tuple[Any, Any]]:
    """Give the variants that leave something out: pretrainer and estimator by name."""
    found = {}
    for name, members in LEFT_OUT.items():
        own = bench.prototypes(data)
        estimator = own["estimator"].set_params(excluded_members=members)
        found[name] = (own["pretrainer"], estimator)
    return found


def findings(outcomes: list[Outcome]) -> Iterator[str]:
    """Average over the sets, and over those that took no part in the choice of defaults."""
    confirming = [o for o in outcomes if o.data.role == "confirmation"]
    for title, kept in (("all sets", outcomes), ("the confirmation sets", confirming)):
        if kept:
            yield f"## Average over {title} ({len(kept)})\n"
            yield _against_whole(kept)


def _against_whole(outcomes: list[Outcome]) -> str:
    rows = []
    for name, label in PIECES.labels.items():
        if name != PIECES.reference:
            found = [pooled(outcomes, (f,), PIECES.reference, name) for f in FRACTIONS]
            rows.append([label, *(as_gain(e.mean, e.low, e.high) for e in found)])
    return table(["against MT-CMTM", *(f"{100 * f:g} % of labels" for f in FRACTIONS)], rows)


def main() -> None:
    bench = begin(make_parser("What does each piece of the blend add?").parse_args())
    for data, rows in bench.at_hand():
        PIECES.run(
            bench,
            data,
            ablation_study,
            X=rows.table,
            y=rows.target,
            **rows.columns,
            **bench.prototypes(data),
            methods=("scratch", "mt_cmtm", "shuffled_photos", "photo_at_test"),
            extra_methods=methods(bench, data),
            baselines=(),
        )
        PIECES.write(bench, INTRODUCTION, findings(PIECES.outcomes(bench)))
    PIECES.write(bench, INTRODUCTION, findings(PIECES.outcomes(bench)))


if __name__ == "__main__":
    main()
