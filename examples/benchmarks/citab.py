"""
Does pre-training over cohorts with different columns help?
===========================================================

Holds CITab against its controls on generated clinics and on three real collections of dermatology,
and writes ``docs/benchmarks/citab.md``::

    TABIMG_DATA=... python examples/benchmarks/citab.py --jobs 2

Without ``TABIMG_DATA`` it runs the generated clinics alone. ``--sets`` names the target cohorts.
``--header-encoder minilm`` reads the headers by MiniLM, on a page and with results of their own
(``citab-minilm.md``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from cohort_sets import KNOWN, N_FOLDS, PHOTOS, TARGETS, Cohort, at_hand
from header_controls import SHUFFLED, NamesAlone
from headline import Outcome, losses, pooled
from pages import as_gain, table
from runs import Bench, begin, make_parser
from sets import GROUP
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from variants import Variants

import tabimg
from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
    Unlabeled,
)
from tabimg.evaluation import ablation_study
from tabimg.evaluation.data import describe_pairs
from tabimg.evaluation.fingerprints import describe, fingerprint
from tabimg.inputs.frames import as_column_list
from tabimg.training.runtime import single_thread

# One expert as wide as five: the same layer without a mixture, with as many parameters.
PLAIN = {"n_experts": 1, "expansion": 8.75}
# What is fitted on an encoder: the default blend, or one fine-tuned network alone.
FITS = {"blend": "auto", "network": "full"}
ENCODERS = {
    "scratch": "scratch",
    "target_alone": "target cohort alone",
    "all_cohorts": "all cohorts",
    "names_alone": "all, column indices",
    "shuffled_headers": "all, shuffled headers",
    "plain": "all, plain feed-forward",
    "left_out": "the other cohorts alone",
    "mt_cmtm": "MT-CMTM, target alone",
}
BASELINES = {
    "linear": "linear",
    "random_forest": "random forest",
    "boosting": "gradient boosting",
}
CLAIMS = (
    ("(1) all cohorts over the target cohort alone", "all_cohorts", "target_alone"),
    ("(1) the target cohort alone over scratch", "target_alone", "scratch"),
    ("(2) headers over column indices", "all_cohorts", "names_alone"),
    ("(2) headers over shuffled headers", "all_cohorts", "shuffled_headers"),
    ("(3) P-MoLin over a plain feed-forward of its size", "all_cohorts", "plain"),
    ("(4) transfer from the other cohorts over scratch", "left_out", "scratch"),
    ("all cohorts over MT-CMTM on the target cohort", "all_cohorts", "mt_cmtm"),
    ("all cohorts over a random forest", "all_cohorts", "random_forest"),
    ("all cohorts over gradient boosting", "all_cohorts", "boosting"),
)

INTRODUCTION = """\
# CITab

Does pre-training over cohorts with different columns help? Written by

```console
TABIMG_DATA=... python examples/benchmarks/citab.py
```

- Every method predicts the target cohort's test rows from its table alone, and differs in its
  pre-training: none (**scratch**); the training rows of the **target cohort alone**; these and all
  other cohorts (**all cohorts**); **the other cohorts alone**, so that the columns of the target
  cohort are new to the encoder.
- Controls, all with all cohorts: **column indices** gives each header its own vector, equal for
  equal names and otherwise unrelated; **shuffled headers** lets each header read as another one;
  **plain feed-forward** has one expert with as many parameters as the five of P-MoLin.
- **MT-CMTM** is pre-trained on the target cohort alone, which is all that it can use. Linear
  models, forests and boosting are tuned on inner folds of the same labelled rows.
- Clinics are generated (`make_cohorts`), the dermatology sets are real and have hardly a column in
  common. Photos are read at 32 pixels by a small residual network (one block per stage, 16 channels
  in the first), for all methods alike. The first of five folds are run, as many as stated for each
  set, with 10 % and all of the labels, drawn once.
- Each encoder is judged by the default *blend* (`finetune="auto"`), in which it is one voice among
  several, and by one *network alone* (`finetune="full"`), which shows more of it.
- Gains are in points (hundredths) of accuracy, AUC or R2; positive is better. Intervals are 95 %:
  over the folds of a set the corrected resampled t interval, over sets a bootstrap that draws sets,
  then folds.
"""


def method(encoder: str, fit: str) -> str:
    """Name a method; baselines have no encoder, and so one fit."""
    return encoder if encoder in BASELINES else f"{encoder}, {fit}"


def _labels(fit: str) -> dict[str, str]:
    return {method(encoder, fit): label for encoder, label in ENCODERS.items()}


BOTH = Variants(
    "citab",
    {
        **{
            name: f"{label}, {fit}" if fit == "blend" else f"{label}, network alone"
            for fit in FITS
            for name, label in _labels(fit).items()
        },
        **BASELINES,
    },
    method("scratch", "blend"),
    tuple(KNOWN.values()),
    N_FOLDS,
    drawn=[*(method(name, "blend") for name in ENCODERS), "random_forest"],
)


def introduction(encoder: str) -> str:
    """Give the page's head, with the command that writes the page."""
    if encoder == "ngrams":
        return INTRODUCTION
    command = "examples/benchmarks/citab.py"
    headed = INTRODUCTION.replace(command, f"{command} --header-encoder {encoder}")
    return headed.replace("# CITab", f"# CITab, headers read by {encoder}", 1)


def comparison(encoder: str) -> Variants:
    """Give each header encoder a page and results of its own."""
    return BOTH if encoder == "ngrams" else replace(BOTH, page=f"{BOTH.page}-{encoder}")


def run(bench: Bench, target: str, cohorts: dict[str, Cohort], encoder: str = "ngrams") -> None:
    """Study one cohort in the company of the others of its domain."""
    cohort = cohorts[target]
    others = {name: c.pairs() for name, c in cohorts.items() if name != target}
    given = cohort.rows.columns
    methods = make_methods(bench, cohort, cohorts, others, encoder)
    pretrainer, estimator, _ = methods[method("all_cohorts", "blend")]
    comparison(encoder).run(
        bench,
        cohort.data,
        ablation_study,
        name=f"citab-{target}",
        X=cohort.rows.table,
        y=cohort.rows.target,
        **given,
        methods=(),
        baselines=tuple(BASELINES),
        extra_methods=methods,
        notes={
            "n_rows": {name: len(c.rows.table) for name, c in cohorts.items()},
            "pretrainer": describe(pretrainer),
            "estimator": describe(estimator),
        },
    )


def make_methods(
    bench: Bench,
    cohort: Cohort,
    cohorts: dict[str, Cohort],
    others: dict[str, Any],
    encoder: str = "ngrams",
) -> dict[str, Any]:
    """Make all methods, each with both fits; those of one encoder share their pre-training."""
    is_classes = cohort.data.task == "classification"
    citab, rival = (
        (CITabClassifier, MTCMTMClassifier) if is_classes else (CITabRegressor, MTCMTMRegressor)
    )
    own = partial(citab, header_encoder=encoder)
    epochs = {"max_epochs": 1} if bench.quick else {}
    photos = {**PHOTOS, "augmentation": cohort.data.augmentation}
    pretrainer = CITabPretrainer(header_encoder=encoder, **photos, **epochs)
    headers = sorted({name for c in cohorts.values() for name in _features(c)})

    def changed(**parameters: Any) -> CITabPretrainer:
        return clone(pretrainer).set_params(**parameters)

    further = Unlabeled(others)
    frozen = FrozenEstimator(_pretrained_on(bench, cohort, others, pretrainer))
    made = {
        "scratch": (None, own(**epochs)),
        "target_alone": (pretrainer, own(**epochs)),
        "all_cohorts": (pretrainer, own(**epochs), further),
        "names_alone": (changed(header_encoder=NamesAlone()), own(**epochs), further),
        "shuffled_headers": (
            changed(header_encoder=SHUFFLED[encoder](tuple(headers))),
            own(**epochs),
            further,
        ),
        "plain": (changed(**PLAIN), own(**epochs), further),
        "left_out": (None, own(pretrainer=frozen, **epochs)),
        "mt_cmtm": (MultiModalPretrainer(**photos, **epochs), rival(**epochs)),
    }
    return {
        method(name, fit): (pre, clone(estimator).set_params(finetune=finetune), *rest)
        for name, (pre, estimator, *rest) in made.items()
        for fit, finetune in FITS.items()
    }


def _features(cohort: Cohort) -> list[str]:
    special = {*as_column_list(cohort.rows.columns["image_column"]), GROUP}
    return [name for name in cohort.rows.table.columns if name not in special]


def _pretrained_on(
    bench: Bench, cohort: Cohort, others: dict[str, Any], pretrainer: CITabPretrainer
) -> CITabPretrainer:
    """Pre-train on the other cohorts, once for all folds, or find what was pre-trained before."""
    has_groups = any(GROUP in frame for frame in others.values())
    prototype = clone(pretrainer).set_params(
        image_column=as_column_list(cohort.rows.columns["image_column"]),
        group_column=GROUP if has_groups else None,
        random_state=0,
    )
    place = fingerprint("left out", describe_pairs(others), prototype)
    where = bench.work / f"citab-{cohort.data.name}" / "left_out" / place
    if not where.exists():
        with single_thread():
            tabimg.save(prototype.fit(others), where)
    return tabimg.load(where)


def findings(outcomes: list[Outcome]) -> Iterator[str]:
    """Say what holds of the claims, for each domain and way to fit."""
    for domain in dict.fromkeys(TARGETS.values()):
        kept = [o for o in outcomes if TARGETS[o.data.name] == domain]
        if not kept:
            continue
        yield f"## The claims on {domain} ({', '.join(o.data.name for o in kept)})\n"
        rows = []
        for label, better, than in CLAIMS:
            for fit in FITS:
                cells = []
                for fraction in (0.1, 1.0):
                    found = pooled(kept, (fraction,), method(than, fit), method(better, fit))
                    cells.append(as_gain(found.mean, found.low, found.high))
                rows.append([label, "blend" if fit == "blend" else "network alone", *cells])
        yield table(["gain of ...", "fitted as", "10 % of labels", "100 % of labels"], rows)
        yield "Where the blend after all cohorts is behind, on average over the folds:\n"
        others = [name for name in BOTH.labels if name.endswith(", blend") or name in BASELINES]
        own = method("all_cohorts", "blend")
        yield losses(kept, {n: BOTH.labels[n] for n in others if n != own}, own)


def main() -> None:
    parser = make_parser("Does pre-training over cohorts help?", tuple(TARGETS))
    parser.add_argument("--header-encoder", choices=tuple(SHUFFLED), default="ngrams")
    given = parser.parse_args()
    bench = begin(given, KNOWN)
    for target, cohorts in at_hand(bench):
        run(bench, target, cohorts, given.header_encoder)
    found = comparison(given.header_encoder)
    found.write(bench, introduction(given.header_encoder), findings(found.outcomes(bench)))


if __name__ == "__main__":
    main()
