"""
Are photos likely to pay? Asked before any pre-training
=======================================================

Prints the diagnostic of ``tabimg.evaluation.photo_value`` for the sets at hand, and writes
``docs/benchmarks/photo_value.md``, beside what pre-training gained in the end where
``accuracy.py`` has run::

    TABIMG_DATA=... python examples/benchmarks/photo_value.py --jobs 2

A set whose result is there, of the same rows and the same state of the code, is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from headline import METHOD, SCRATCH, Outcome
from pages import as_gain, table, write_page
from runs import Bench, begin, code_digest, keep_results, make_parser, read_scores, read_settings
from sets import SETS, DataSet, Loaded

from tabimg.evaluation import PhotoValue, StudyResult, photo_value
from tabimg.evaluation.data import read_data
from tabimg.evaluation.fingerprints import fingerprint
from tabimg.evaluation.study.markdown import worth_text

FRACTIONS = (0.1, 0.25)

INTRODUCTION = """\
# Are photos likely to pay?

What `tabimg.evaluation.photo_value` says about each set before any pre-training, from features of a
pre-trained image encoder, linear models, trees and boosting. Written by

```console
TABIMG_DATA=... python examples/benchmarks/photo_value.py
```

- *Photos alone* is the gain of a model of photos over a constant, with all labels; *carried* is
  the share of its predictions' variance that the columns predict; *taught* is what photos of
  unlabelled rows add to few labels, and *shuffled* what wrong photos add.
- *Labels' worth* is how many times the labels the columns alone would need for the score of
  *taught*; *share* is how much *taught* has of what the photo itself would add at test, where that
  is certain to be something.
- *Found later* is the gain of MT-CMTM over the same estimator from scratch on the same folds, from
  the [accuracy page](accuracy.md). The diagnostic measures distillation from fixed features alone:
  a network can do better, but nothing gains what the columns cannot predict.
- Gains are in points of accuracy or AUC, and in percent of the MSE in regression, with 95 %
  intervals over 5 folds.
"""


@dataclass(frozen=True, eq=False)
class Found:
    """A set and what the diagnostic says of it."""

    data: DataSet
    value: PhotoValue


def run(bench: Bench, data: DataSet, rows: Loaded) -> None:
    """Ask about a set, unless that is known already."""
    stem = f"photo_value-{data.name}"
    protocol: dict[str, Any] = {"label_fractions": FRACTIONS[:1] if bench.quick else FRACTIONS}
    protocol |= {"metric": data.metric, "n_folds": 2 if bench.quick else 5}
    given = rows.columns
    pairs = read_data(
        rows.table, rows.target, given["image_column"], given.get("group_column"), data.task
    )
    name = fingerprint(pairs.fingerprint, code_digest(), protocol)
    known = read_scores(bench, stem)
    if not bench.fresh and known is not None and (known["fingerprint"] == name).all():
        return
    print(f"{stem} ...", flush=True)
    value = photo_value(
        rows.table, rows.target, **given, task=data.task, n_jobs=bench.jobs, **protocol
    )
    settings = {
        "metric": value.metric,
        "n_rows": value.n_rows,
        "n_without_photo": value.n_without_photo,
        "carried": value.carried.to_dict("records"),
    }
    keep_results(bench, stem, value.scores.assign(fingerprint=name), settings)


def read(bench: Bench, data: DataSet) -> Found | None:
    """Read what was found about a set; None where nothing is kept."""
    stem = f"photo_value-{data.name}"
    scores, note = read_scores(bench, stem), read_settings(bench, stem)
    if scores is None or note is None:
        return None
    kept = dict(note["settings"])
    return Found(data, PhotoValue(scores, pd.DataFrame(kept.pop("carried")), **kept))


def overview(bench: Bench, found: list[Found]) -> str:
    """Write a row a set and label fraction."""
    rows = []
    for each in found:
        figures = each.value.to_frame().set_index(["question", "budget", "what"])
        carried = figures.loc[("carried", "100 %", "message"), "score"]
        for budget in each.value.budgets:
            places = [("says", "100 %", "photos")]
            places += [("taught", budget, what) for what in ("taught", "shuffled")]
            photos, taught, shuffled = (_gain(figures.loc[place]) for place in places)
            row = [each.data.name, budget, photos, f"{100 * carried:.0f} %", taught, shuffled]
            row += [*_worth_and_share(each.value, budget), each.value.verdict]
            rows.append([*row, found_later(bench, each.data, budget)])
    heads = ["set", "labels", "photos alone", "carried", "taught", "shuffled", "labels' worth"]
    return table([*heads, "share", "verdict", "found later"], rows)


def _worth_and_share(value: PhotoValue, budget: str) -> Iterator[str]:
    worths = value.labels_worth[value.labels_worth["method"] == "taught"].set_index("budget")
    yield worth_text(*worths.loc[budget, ["worth", "low", "high", "censored"]])
    shares = value.share.set_index("budget")["share"] if len(value.share) else {}
    share = shares.get(budget, float("nan"))
    yield "-" if pd.isna(share) else f"{share:.2f}"


def found_later(bench: Bench, data: DataSet, budget: str) -> str:
    """Give what pre-training gained with these labels, where that was measured."""
    scores = read_scores(bench, data.name)
    if scores is None or not {METHOD, SCRATCH} <= set(scores["method"]):
        return "-"
    outcome = Outcome(data, StudyResult(scores, data.metric))
    fraction = float(budget.split(" ")[0]) / 100
    gain = outcome.interval((fraction,), SCRATCH)
    return as_gain(gain.mean, gain.low, gain.high)


def sections(found: list[Found]) -> Iterator[str]:
    """Write each set's report as it prints."""
    for each in found:
        yield f"\n## {each.data.name}\n"
        yield f"{each.data.describe()} ({each.data.role} set.)\n"
        yield f"```text\n{each.value}\n```\n"


def _gain(row: pd.Series) -> str:
    return as_gain(row["gain"], row["gain_low"], row["gain_high"])


def main() -> None:
    bench = begin(make_parser("Are photos likely to pay?").parse_args())
    for data, rows in bench.at_hand():
        run(bench, data, rows)
        print(f"\n{data.name}: {read(bench, data).value}\n", flush=True)
    found = [each for data in SETS.values() if (each := read(bench, data)) is not None]
    absent = [name for name in SETS if name not in {each.data.name for each in found}]
    parts = [INTRODUCTION]
    if absent:
        parts.append(f"**No results yet** for {', '.join(absent)}.\n")
    if found:
        parts += [overview(bench, found), *sections(found)]
    write_page(bench.docs / "photo_value.md", parts)


if __name__ == "__main__":
    main()
