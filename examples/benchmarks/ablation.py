"""
Which part of the pre-training does the work?
=============================================

Compares MT-CMTM with its parts and with a control whose photos are dealt out at random, and writes
``docs/benchmarks/ablation.md``::

    TABIMG_DATA=... python examples/benchmarks/ablation.py --jobs 2

It shares folds, rows and pre-trained encoders with ``accuracy.py``; ``--help`` lists the options.
"""

from __future__ import annotations

from collections.abc import Iterator

from headline import Outcome, pooled
from pages import as_gain, table
from runs import begin, make_parser
from variants import FRACTIONS, Variants

from tabimg.evaluation import ablation_study

ABLATION = Variants(
    page="ablation",
    labels={
        "scratch": "scratch",
        "masked_only": "masked cells only",
        "contrastive_only": "contrastive only",
        "mt_cmtm": "MT-CMTM",
        "shuffled_photos": "shuffled photos",
    },
    reference="scratch",
)
# Of a point, or of a percent of MSE: a loss that nobody would choose a method by.
MARGIN = 0.01

INTRODUCTION = """\
# Ablation

Which part of the pre-training does the work, and is it what the photos show? Written by

```console
TABIMG_DATA=... python examples/benchmarks/ablation.py
```

- **masked cells only** never sees a photo (`lambda_c=0`); **contrastive only** restores no cells
  (`lambda_m=0`); **MT-CMTM** does both; **scratch** has no pre-training.
- **shuffled photos** is the control: MT-CMTM with the photos reassigned at random among the
  training rows, in pre-training and in what fitting sees of them. If it gained as much, the gain
  would not come from what the photos show.
- Only the first 2 of the 5 folds of the [accuracy page](accuracy.md) are run, with 10 % and all of
  the labels, drawn once. With two folds per set, the intervals are wide.
- Gains are in points of accuracy or AUC, and in percent of the MSE in regression; positive is
  better. 95 % intervals: over the folds of a set the corrected resampled t interval, over sets a
  bootstrap that draws sets, then folds.
"""


def findings(outcomes: list[Outcome]) -> Iterator[str]:
    """Average over the sets, and hold MT-CMTM against its parts and the control."""
    confirming = [o for o in outcomes if o.data.role == "confirmation"]
    for title, kept in (("all sets", outcomes), ("the confirmation sets", confirming)):
        if kept:
            yield f"## Average over {title} ({len(kept)})\n"
            yield ABLATION.gains(kept, [m for m in ABLATION.labels if m != "scratch"])
            yield "MT-CMTM against each of the others:\n"
            yield _against_parts(kept)


def _against_parts(outcomes: list[Outcome]) -> str:
    rows = []
    for other in ("masked_only", "contrastive_only", "shuffled_photos"):
        found = [pooled(outcomes, (fraction,), other) for fraction in FRACTIONS]
        wanted = -MARGIN if other != "shuffled_photos" else 0.0
        verdicts = ["-" if e.low != e.low else "yes" if e.low > wanted else "**no**" for e in found]
        name = ABLATION.labels[other]
        label = f"no worse than {name}" if wanted else f"ahead of {name}"
        cells = [
            f"{as_gain(e.mean, e.low, e.high)}: {verdict}"
            for e, verdict in zip(found, verdicts, strict=True)
        ]
        rows.append([label, *cells])
    heads = ["MT-CMTM is ...", *(f"{100 * fraction:g} % of labels" for fraction in FRACTIONS)]
    caption = (
        "\n*No worse* means that the interval lies above -1 (point, or percent of MSE); *ahead*, "
        "that it lies above zero.\n"
    )
    return table(heads, rows) + caption


def main() -> None:
    bench = begin(make_parser("Which part of the pre-training does the work?").parse_args())
    for data, rows in bench.at_hand():
        ABLATION.run(
            bench,
            data,
            ablation_study,
            X=rows.table,
            y=rows.target,
            **rows.columns,
            **bench.prototypes(data),
            methods=tuple(ABLATION.labels),
            baselines=(),
        )
    ABLATION.write(bench, INTRODUCTION, findings(ABLATION.outcomes(bench)))


if __name__ == "__main__":
    main()
