"""
What is the blend made of, and are its members judged fairly?
=============================================================

Fits the default estimator with a pre-trained encoder, and writes ``docs/benchmarks/blend.md``: the
share of each member, its loss on the inner held-out rows that decide the shares, and its loss on
test rows::

    TABIMG_DATA=... python examples/benchmarks/blend.py

It shares folds, rows and pre-trained encoders with ``accuracy.py``; ``--help`` lists the options.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from pages import table, write_page
from runs import Bench, begin, keep_results, make_parser, read_scores, read_settings
from sets import SETS, DataSet, Loaded
from variants import FOLDS, FRACTIONS, N_FOLDS

from tabimg.evaluation.data import read_data
from tabimg.evaluation.study.encoders import obtain_encoder
from tabimg.evaluation.study.methods import Prototypes
from tabimg.evaluation.study.plan import Protocol, WorkUnit, plan_units
from tabimg.training.runtime import resolve_device, single_thread

MEMBERS = {
    "columns": "linear model of the columns",
    "random_forest": "random forest",
    "extra_trees": "extremely randomised trees",
    "boosting": "gradient boosting",
    "network": "fine-tuned networks",
    "embedding": "linear model of embedding and columns",
    "imputed": "linear model of imputed photo features and columns",
    "linear_student": "linear student of the photos",
    "forest_student": "forest taught by the photos",
    "boosted_student": "boosting taught by the photos",
    "distilled": "students of the photos, of earlier versions",
}
KNOW_PHOTOS = (
    *("network", "embedding", "imputed"),
    *("linear_student", "forest_student", "boosted_student", "distilled"),
)

INTRODUCTION = """\
# Inside the blend

What is the default (`finetune="auto"`) made of, and are its members judged fairly? Written by

```console
TABIMG_DATA=... python examples/benchmarks/blend.py
```

- The *share* of a member follows from its loss on inner held-out rows: log loss, or squared error
  of the standardised target. *Optimism* is how much larger the loss on test rows is than on these,
  in percent; a fair judge is equally optimistic about all. A set's table has means
  over folds and their ratio; the averages over sets are means of the ratios of single folds, which
  differ widely: two folds are no more than a hint.
- The encoder is pre-trained on all training rows of the outer fold, held-out ones included, without
  their labels. Members that use it have seen the held-out rows, but no test row: if that makes
  them look better, their optimism is larger than that of forests and linear models.
- The first 2 of the 5 folds of the [accuracy page](accuracy.md), one draw of labels.
"""


def run(bench: Bench, data: DataSet, rows: Loaded) -> None:
    """Fit on some folds, and note each member's share and losses; skip what is known."""
    stem = f"blend-{data.name}"
    if read_scores(bench, stem) is not None and not bench.fresh:
        return
    print(f"{stem} ...", flush=True)
    given = rows.columns
    group = given.get("group_column")
    study = read_data(rows.table, rows.target, given["image_column"], group, data.task)
    prototypes = Prototypes.of(**bench.prototypes(data), data=study, image_root=given["image_root"])
    folds = FOLDS[:1] if bench.quick else FOLDS
    fractions = FRACTIONS[:1] if bench.quick else FRACTIONS
    protocol = Protocol(fractions, N_FOLDS, 1, 1, 0, folds)
    units = plan_units(study, prototypes.built_in(["mt_cmtm"]), protocol)
    with single_thread():
        noted = [row for unit in units for row in measure(bench, data, unit, study)]
    keep_results(bench, stem, pd.DataFrame(noted), {})


def measure(bench: Bench, data: DataSet, unit: WorkUnit, study: Any) -> Iterator[dict[str, Any]]:
    """Fit a fold's cells, and compare each member's loss on held-out and on test rows."""
    fold = unit.fold
    folder = bench.work / data.name
    encoder = obtain_encoder(
        unit.pretrainer, study.pairs, fold.train, unit.encoder_fingerprint, folder
    )
    for cell in unit.cells:
        model = cell.method.fit(encoder, fold.train, cell.labelled, study, cell.seed)
        for name, loss in model.validation_losses_.items():
            yield {
                **cell.place(),
                "member": name,
                "share": model.weights_[name],
                "held_out_loss": loss,
                "test_loss": test_loss(model, name, study, fold.test),
                "fingerprint": cell.fingerprint,
            }


def test_loss(model: Any, name: str, study: Any, test: np.ndarray) -> float:
    """Average the loss that shares are decided by over test rows."""
    blocks = model._blocks(model._encode(study.table.iloc[test]))
    task, device = model._target.task, resolve_device(model.device)
    models = [member.model for member in model.members_ if member.name == name]
    prediction = np.mean([each.predict(blocks, task, device) for each in models], axis=0)
    return float(np.mean(task.losses(prediction, model._target.encode(study.target[test]))))


def section(name: str, noted: pd.DataFrame) -> Iterator[str]:
    """Write a set's table: a row a member, for each label fraction."""
    yield f"## {name}\n"
    heads = ["member"]
    columns: list[pd.DataFrame] = []
    for budget in noted["budget"].unique():
        heads += [f"{budget}: share", "held-out loss", "test loss", "optimism"]
        part = noted[noted["budget"] == budget]
        columns.append(part.groupby("member")[["share", "held_out_loss", "test_loss"]].mean())
    rows = []
    for member, label in MEMBERS.items():
        cells = [cell for means in columns for cell in _cells(means, member)]
        if set(cells) != {"-"}:
            rows.append([label, *cells])
    yield table(heads, rows)


def _cells(means: pd.DataFrame, member: str) -> list[str]:
    if member not in means.index:
        return ["-"] * 4
    share, held_out, test = means.loc[member]
    optimism = f"{100 * (test / held_out - 1):+.0f} %"
    return [f"{100 * share:.0f} %", f"{held_out:.3f}", f"{test:.3f}", optimism]


def summary(noted: dict[str, pd.DataFrame]) -> str:
    """Average the optimism over sets and folds: members that know photos, and the others."""
    rows = []
    whole = pd.concat(noted.values(), keys=noted.keys(), names=["set", "row"]).reset_index("set")
    whole["optimism"] = whole["test_loss"] / whole["held_out_loss"] - 1
    whole["fraction"] = whole["fraction"].round(6)
    for label, kept in (
        ("use the pre-trained encoder, or are taught by photos", True),
        ("know nothing of photos", False),
    ):
        part = whole[whole["member"].isin(KNOW_PHOTOS) == kept]
        cells = []
        for fraction in FRACTIONS:
            found = part[part["fraction"] == fraction].groupby("set")
            share = (found["share"].sum() / found["fold"].nunique()).mean()
            optimism = found["optimism"].mean().mean()
            cells.append(f"{100 * share:.0f} % / {100 * optimism:+.0f} %")
        rows.append([label, *cells])
    heads = ["members that ...", *(f"{100 * f:g} % of labels: share / optimism" for f in FRACTIONS)]
    return table(heads, rows)


def write(bench: Bench) -> None:
    """Write the page from the results that there are."""
    noted = {name: read_scores(bench, f"blend-{name}") for name in SETS}
    noted = {name: scores for name, scores in noted.items() if scores is not None}
    parts = [INTRODUCTION]
    if not noted:
        parts.append("**No results yet.**\n")
    else:
        parts += [f"## Average over the sets ({len(noted)})\n", summary(noted)]
    for name, scores in noted.items():
        parts += section(name, scores)
    notes = {name: read_settings(bench, f"blend-{name}") for name in noted}
    parts += ["## Configuration\n", "That of the [accuracy page](accuracy.md).\n"]
    states = sorted({code for note in notes.values() if note for code in note["code"]})
    parts.append(f"State of the code {', '.join(states)}.\n" if states else "")
    write_page(bench.docs / "blend.md", parts)


def main() -> None:
    bench = begin(make_parser("What is the blend made of?").parse_args())
    for data, rows in bench.at_hand():
        run(bench, data, rows)
        write(bench)
    write(bench)


if __name__ == "__main__":
    main()
