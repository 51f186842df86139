"""
One fitted estimator, whichever of table and photo a row has
============================================================

Fits CITab on rows with their photos, predicts from the table alone, the photo alone and both, and
writes ``docs/benchmarks/modalities.md``::

    TABIMG_DATA=... python examples/benchmarks/modalities.py

Without ``TABIMG_DATA`` it runs the generated clinics alone. ``--sets`` names the target cohorts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from cohort_sets import KNOWN, N_FOLDS, PHOTOS, TARGETS, Cohort, at_hand
from headline import Outcome, pooled
from pages import as_gain, table
from runs import Bench, begin, keep_results, make_parser, read_scores
from sklearn.frozen import FrozenEstimator
from variants import FRACTIONS, Variants

from tabimg import CITabClassifier, CITabPretrainer, CITabRegressor, Unlabeled
from tabimg.evaluation.data import (
    Fold,
    StudyData,
    draw_seeds,
    labelled_rows,
    outer_folds,
    read_data,
)
from tabimg.evaluation.fingerprints import describe, fingerprint
from tabimg.evaluation.metrics import score_predictions
from tabimg.training.runtime import single_thread

WITHOUT_PHOTO = 0.5
# ``predict_modality``, and the share of test rows whose photo is taken away.
GIVEN = {
    "table": ("table", 0.0),
    "image": ("image", 0.0),
    "both": ("both", 0.0),
    "some": ("auto", WITHOUT_PHOTO),
}
MODALITIES = Variants(
    page="modalities",
    labels={
        "table": "table alone",
        "image": "photo alone",
        "both": "table and photo",
        "some": "table, and half of the photos",
    },
    reference="table",
    sets=tuple(KNOWN.values()),
    n_folds=N_FOLDS,
)

INTRODUCTION = """\
# With photos at prediction, or without

What does one fitted CITab predict from the table, from the photo and from both? Written by

```console
TABIMG_DATA=... python examples/benchmarks/modalities.py
```

- The encoder is pre-trained on the training rows of the target cohort and on all other cohorts, and
  the estimator is fitted once per fold and label fraction, on rows with their photos. Then only
  `predict_modality` changes: "table", "image", "both"; and "auto" on test rows half of which have
  lost their photo.
- The clinics are generated: their photos show what the target follows from, and the columns
  determine it in part. The dermatology sets are real.
- Photos are read at 32 pixels by a small residual network (one block per stage, 16 channels in the
  first). The first of five folds are run, as many as stated for each set, with 10 % and all of the
  labels, drawn once.
- Gains are in points (hundredths) of accuracy, AUC or R2 over the table alone; positive is better.
"""


def run(bench: Bench, target: str, cohorts: dict[str, Cohort]) -> None:
    """Fit on some folds of a cohort, and score each modality; folds that are known are kept."""
    stem = f"modalities-{target}"
    protocol = MODALITIES.protocol(bench, target)
    known = None if bench.fresh else read_scores(bench, stem)
    to_do = [n for n in protocol["folds"] if known is None or n not in known["fold"].to_numpy()]
    if not to_do:
        return
    print(f"{stem}, folds {to_do} ...", flush=True)
    cohort = cohorts[target]
    columns = dict(cohort.rows.columns)
    group = columns.get("group_column")
    task = cohort.data.task
    study = read_data(cohort.rows.table, cohort.rows.target, columns["image_column"], group, task)
    others = Unlabeled({name: c.pairs() for name, c in cohorts.items() if name != target})
    epochs = {"max_epochs": 1} if bench.quick else {}
    own = CITabClassifier if task == "classification" else CITabRegressor
    pretrainer = CITabPretrainer(
        random_state=0, augmentation=cohort.data.augmentation, **PHOTOS, **columns, **epochs
    )
    with single_thread():
        folds = outer_folds(study.groups, study.classes, protocol["n_folds"], 1, 0)
        noted = [
            row
            for number in to_do
            for row in score_fold(
                study, folds[number], pretrainer, own(**epochs), others, protocol["label_fractions"]
            )
        ]
    settings = {"pretrainer": describe(pretrainer), "estimator": describe(own(**epochs))}
    keep_results(bench, stem, pd.concat([known, pd.DataFrame(noted)]), settings)


def score_fold(
    study: StudyData,
    fold: Fold,
    pretrainer: CITabPretrainer,
    estimator: Any,
    others: Unlabeled,
    fractions: tuple[float, ...],
) -> Iterator[dict[str, Any]]:
    """Pre-train once, fit once a label fraction, and predict from whatever is given."""
    started = time.perf_counter()
    pretrainer.fit(study.pairs.iloc[fold.train], unlabeled=others)
    pretrain_seconds = time.perf_counter() - started
    (seed,) = draw_seeds(0, fold, 1)
    for fraction in fractions:
        labelled = labelled_rows(fold.train, study.groups, study.classes, fraction, seed)
        started = time.perf_counter()
        estimator.set_params(pretrainer=FrozenEstimator(pretrainer), random_state=seed)
        estimator.fit(study.pairs.iloc[labelled], study.target[labelled])
        fit_seconds = time.perf_counter() - started
        for name, (modality, share) in GIVEN.items():
            estimator.set_params(predict_modality=modality)
            test = without_some_photos(study, fold.test, share, seed)
            yield {
                "method": name,
                "repeat": fold.repeat,
                "fold": fold.number,
                "fraction": fraction,
                "budget": f"{100 * fraction:g} %",
                "draw": 0,
                "n_labels": len(labelled),
                "n_train": len(fold.train),
                "n_test": len(fold.test),
                **score(study, estimator, test, study.target[fold.test]),
                "validation_loss": np.nan,
                "pretrain_seconds": pretrain_seconds,
                "fit_seconds": fit_seconds,
                "fingerprint": fingerprint(name, study.fingerprint, fold.train, labelled),
            }


def without_some_photos(study: StudyData, test: np.ndarray, share: float, seed: int) -> Any:
    """Copy the test rows, a share of them without photo."""
    rows = study.pairs.iloc[test].copy()
    lost = np.random.default_rng(seed).random(len(rows)) < share
    for name in study.image_columns:
        rows[name] = rows[name].mask(lost, None)
    return rows


def score(study: StudyData, estimator: Any, rows: Any, truth: np.ndarray) -> dict[str, float]:
    """Score predictions by all metrics of the task."""
    predicted = estimator.predict(rows)
    if study.task == "regression":
        return score_predictions(study.task, truth, predicted)
    probabilities = estimator.predict_proba(rows)
    return score_predictions(study.task, truth, predicted, probabilities, estimator.classes_)


def findings(outcomes: list[Outcome]) -> Iterator[str]:
    """Average what photos add, for each domain."""
    yield "## What photos at prediction add\n"
    names = [name for name in GIVEN if name != MODALITIES.reference]
    rows = []
    for domain in dict.fromkeys(TARGETS.values()):
        kept = [o for o in outcomes if TARGETS[o.data.name] == domain]
        for name in names if kept else []:
            found = [pooled(kept, (f,), MODALITIES.reference, name) for f in FRACTIONS]
            gains = [as_gain(each.mean, each.low, each.high) for each in found]
            rows.append([domain, MODALITIES.labels[name], *gains])
    heads = ["sets", "gain over the table alone", *(f"{100 * f:g} % of labels" for f in FRACTIONS)]
    yield table(heads, rows)


def main() -> None:
    parser = make_parser("What does one model predict from table, photo and both?", tuple(TARGETS))
    bench = begin(parser.parse_args(), KNOWN)
    for target, cohorts in at_hand(bench):
        run(bench, target, cohorts)
    MODALITIES.write(bench, INTRODUCTION, findings(MODALITIES.outcomes(bench)))


if __name__ == "__main__":
    main()
