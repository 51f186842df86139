"""
Does a pre-trained body help on another table that has no photos at all?
========================================================================

Pre-trains on one part of a world with photos, and fine-tunes on a table of another part that shares
the columns, has other classes or another device, and not a single photo. Writes
``docs/benchmarks/transfer.md``::

    TABIMG_DATA=... python examples/benchmarks/transfer.py --jobs 2

Without ``TABIMG_DATA`` it runs the generated cars alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from headline import Outcome
from pages import minutes
from runs import Bench, begin, make_parser, read_settings
from sets import GROUP, SETS, DataSet, Loaded
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from variants import Variants

from tabimg.datasets import make_cars
from tabimg.evaluation import ablation_study
from tabimg.evaluation.data import read_data
from tabimg.evaluation.fingerprints import fingerprint
from tabimg.evaluation.study.encoders import PretrainedEncoder, obtain_encoder
from tabimg.inputs.frames import as_column_list
from tabimg.training.runtime import single_thread

CARS = DataSet(
    name="make_cars",
    title="Generated cars",
    source="tabimg.datasets.make_cars, 3,000 adverts of 60 models.",
    role="development",
    target="Genmodel",
    task="classification",
    metric="accuracy",
    columns=(),
    photos=("photo",),
)
WORLDS = {
    "make_cars": CARS,
    "leaf_species": SETS["leaf_species"],
    "bus_busbra": SETS["bus_busbra"],
}
WHAT_MOVES = {
    "make_cars": "pre-trained on adverts of 30 models with photos, moved to adverts of 30 others",
    "leaf_species": "pre-trained on 50 species with silhouettes, moved to the other 49",
    "bus_busbra": "pre-trained on lesions from one ultrasound device with images, moved to those "
    "from the other devices",
}

TRANSFER = Variants(
    page="transfer",
    labels={
        "scratch": "scratch",
        "masked_body": "body of masked cells only",
        "photo_body": "body taught by photos",
        "linear": "linear",
        "random_forest": "random forest",
    },
    reference="scratch",
    sets=tuple(WORLDS.values()),
)

INTRODUCTION = """\
# Transfer to a table without photos

Does a pre-trained body help on another table, one that has no photos at all? Written by

```console
TABIMG_DATA=... python examples/benchmarks/transfer.py
```

- A data set is cut into two parts that share the columns. On the first part the encoder is
  pre-trained, with photos (**body taught by photos**) or on masked cells alone (**body of masked
  cells only**). It moves to the second part, which has other classes or another device, and no
  photos.
- There it is fine-tuned on labelled rows and tested on others; **scratch** is the same estimator
  without a body. Nothing is distilled: there are no pairs to distil from.
- The first 2 of 5 folds, 10 % and all of the labels, drawn once. Gains are in points of accuracy,
  positive is better than scratch.
"""


def cars() -> Loaded:
    """Generate the cars; repetitions of an advert stay together."""
    data = make_cars(n_samples=3000, n_classes=60, random_state=0)
    columns = {"image_column": "photo", "group_column": GROUP}
    return Loaded(data.data.assign(**{GROUP: data.groups}), data.target.to_numpy(), columns)


def cut(rows: Loaded) -> tuple[Loaded, Loaded]:
    """Cut a world in two, by device where there are several, else by class."""
    if "device" in rows.table:
        first = rows.table["device"] == rows.table["device"].mode()[0]
    else:
        first = pd.Series(rows.target).isin(np.unique(rows.target)[::2])
    # The device tells the parts apart: no column for either.
    table = rows.table.drop(columns="device", errors="ignore")
    return tuple(
        Loaded(table[part].reset_index(drop=True), rows.target[part.to_numpy()], rows.columns)
        for part in (first, ~first)
    )


def without_photos(rows: Loaded) -> Loaded:
    """Empty the photo columns."""
    table = rows.table.copy()
    for name in as_column_list(rows.columns["image_column"]):
        table[name] = None
    return replace(rows, table=table)


def bodies(bench: Bench, data: DataSet, rows: Loaded) -> dict[str, PretrainedEncoder]:
    """Pre-train on pairs, with their photos and without, or find what was pre-trained before."""
    given = rows.columns
    group = given.get("group_column")
    pairs = read_data(rows.table, rows.target, given["image_column"], group, data.task)
    found = {}
    for name, lambda_c in (("masked_body", 0.0), ("photo_body", 1.0)):
        pretrainer = clone(bench.prototypes(data)["pretrainer"])
        pretrainer.set_params(**given, lambda_c=lambda_c, random_state=0)
        place = fingerprint("transfer", pairs.pairs_fingerprint, pretrainer)
        everything = np.arange(len(pairs))
        with single_thread():
            folder = bench.work / f"transfer-{data.name}"
            found[name] = obtain_encoder(pretrainer, pairs.pairs, everything, place, folder)
        print(f"{data.name}, {name}: pre-trained in {found[name].seconds:.0f} s", flush=True)
    return found


def run(bench: Bench, data: DataSet, rows: Loaded) -> None:
    """Pre-train on one part of a world, and fit and test on the other."""
    taught, other = cut(rows)
    encoders = bodies(bench, data, taught)
    prototypes = bench.prototypes(data)

    def moved(encoder: PretrainedEncoder) -> Any:
        frozen = FrozenEstimator(encoder.pretrainer)
        return clone(prototypes["estimator"]).set_params(pretrainer=frozen)

    moved_to = without_photos(other)
    TRANSFER.run(
        bench,
        data,
        ablation_study,
        name=f"transfer-{data.name}",
        X=moved_to.table,
        y=moved_to.target,
        **moved_to.columns,
        **prototypes,
        methods=("scratch",),
        baselines=("linear", "random_forest"),
        extra_methods={name: (None, moved(encoder)) for name, encoder in encoders.items()},
        notes={
            "n_pairs": len(taught.table),
            "n_moved_to": len(moved_to.table),
            "pretrain_seconds": {name: encoder.seconds for name, encoder in encoders.items()},
        },
    )


def findings(bench: Bench, outcomes: list[Outcome]) -> Iterator[str]:
    """Say what moves where, and average the gains."""
    yield "## What moves, and the average gain\n"
    lines = []
    for outcome in outcomes:
        name = outcome.data.name
        noted = (read_settings(bench, f"transfer-{name}") or {})["settings"]
        seconds = noted["pretrain_seconds"]
        lines.append(
            f"- **{name}**: {WHAT_MOVES[name]}. {noted['n_pairs']} pairs, then a table of "
            f"{noted['n_moved_to']} rows. Pre-training took {minutes(seconds['masked_body'])} "
            f"without and {minutes(seconds['photo_body'])} with photos."
        )
    yield "\n".join(lines)
    yield TRANSFER.gains(outcomes, ["masked_body", "photo_body"])


def main() -> None:
    parser = make_parser("Does a body help on a table without photos?", tuple(WORLDS))
    bench = begin(parser.parse_args(), WORLDS)
    for data, rows in bench.at_hand({"make_cars": cars}):
        run(bench, data, rows)
    TRANSFER.write(bench, INTRODUCTION, findings(bench, TRANSFER.outcomes(bench)))


if __name__ == "__main__":
    main()
