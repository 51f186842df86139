"""
Skin lesions: one encoder for three collections with different tables
=====================================================================

HAM10000 and ISIC 2017 note age, sex and site of a lesion, the latter under two names; PH2 notes
what dermatologists see under the dermatoscope. Their targets differ too: seven diagnoses, melanoma
or not, three kinds of nevus. CITab pre-trains one encoder on the photos and tables of all three,
and is fitted on each of them; predictions are made from the table alone.

One lesion never crosses a fold: HAM10000 numbers its lesions, and in the other two, which do not,
rows with equal photos stay together. The program checks that no test photo was seen in
pre-training. ``TABIMG_DATA`` names the folder that holds ``derm_ham10000``, ``derm_isic2017`` and
``derm_ph2``, each with ``table.csv`` and ``images``::

    TABIMG_DATA=... python examples/dermatology.py

One fold takes about ten minutes on two free cores; ``--folds 5`` runs all five, ``--quick`` shows
in a minute that everything is in place.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from tabimg import CITabClassifier, CITabPretrainer
from tabimg.datasets import load_paired
from tabimg.evaluation import image_groups, leakage_report, make_baseline

N_FOLDS = 5
QUICK_ROWS = 150
# What a table says, and nothing that follows from the diagnosis, such as how it was confirmed.
COLUMNS = {
    "derm_ham10000": ["age", "sex", "localization"],
    "derm_isic2017": ["age", "sex", "anatom_site"],
    "derm_ph2": [
        *["asymmetry", "pigment_network", "dots_globules", "streaks", "regression_areas"],
        *["blue_whitish_veil", "color_white", "color_red", "color_light_brown"],
        *["color_dark_brown", "color_blue_gray", "color_black"],
    ],
}
TARGETS = {"derm_ham10000": "dx", "derm_isic2017": "melanoma", "derm_ph2": "diagnosis"}


@dataclass(frozen=True, eq=False)
class Cohort:
    """A collection; ``pairs`` hold columns, ``image`` and ``lesion``."""

    pairs: pd.DataFrame
    target: pd.Series

    def split(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the training and test rows of a fold; a lesion stands on one side."""
        folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
        return list(folds.split(self.pairs, self.target, self.pairs["lesion"]))[fold]


def load(name: str, n_rows: int | None) -> Cohort:
    """Read a collection, and declare which rows are of one lesion."""
    folder = Path(os.environ["TABIMG_DATA"]) / name
    frame = load_paired(folder / "table.csv", folder, image_column="image").frame[:n_rows]
    if "lesion_id" in frame:
        lesion = frame["lesion_id"]
    else:
        # The number of the photo tells rows apart that agree in all else.
        lesion = image_groups(frame[["image", "image_id"]], "image")
    pairs = frame[[*COLUMNS[name], "image"]].assign(lesion=lesion)
    return Cohort(pairs, frame[TARGETS[name]])


def run_fold(cohorts: dict[str, Cohort], fold: int, max_epochs: int | str) -> Iterator[dict]:
    """Pre-train on the training rows of all cohorts, then fit and test on each of them."""
    splits = {name: cohort.split(fold) for name, cohort in cohorts.items()}
    seen = {name: cohorts[name].pairs.iloc[train] for name, (train, _) in splits.items()}
    for name, (_, test) in splits.items():
        photos = cohorts[name].pairs[["image"]].iloc[test]
        everything = pd.concat([frame[["image"]] for frame in seen.values()])
        print(f"{name}: {leakage_report(everything, photos, image_column='image')}")
    pretrainer = CITabPretrainer(
        image_column="image",
        group_column="lesion",
        image_encoder="resnet18",  # as in the paper; the default sees larger photos
        image_size=32,
        max_epochs=max_epochs,
        random_state=fold,
        verbose=1,
    ).fit(seen)
    for name, cohort in cohorts.items():
        train, test = splits[name]
        table = cohort.pairs.drop(columns=["image", "lesion"])
        models = {
            "CITab, three cohorts": CITabClassifier(FrozenEstimator(pretrainer), random_state=fold),
            "CITab without photos": CITabClassifier(random_state=fold),
            "random forest": make_baseline("random_forest", "classification"),
        }
        for label, model in models.items():
            model.fit(table.iloc[train], cohort.target.iloc[train])
            yield {
                "cohort": name,
                "model": label,
                "fold": fold,
                "AUC": auc(model, table.iloc[test], cohort.target.iloc[test]),
                "accuracy": model.score(table.iloc[test], cohort.target.iloc[test]),
            }


def auc(model: object, table: pd.DataFrame, truth: pd.Series) -> float:
    """Give the macro one-vs-rest AUC over the classes that the test rows hold."""
    probabilities = model.predict_proba(table)
    areas = [
        roc_auc_score(truth == label, probabilities[:, number])
        for number, label in enumerate(model.classes_)
        if (truth == label).any()
    ]
    return float(np.mean(areas))


def main() -> None:
    parser = argparse.ArgumentParser(description="CITab on three collections of skin lesions")
    parser.add_argument("--folds", type=int, default=1, help="how many of the five")
    parser.add_argument("--quick", action="store_true", help="some rows, one epoch")
    given = parser.parse_args()
    if "TABIMG_DATA" not in os.environ:
        parser.exit(2, "TABIMG_DATA must name the folder that holds the three collections\n")
    cohorts = {name: load(name, QUICK_ROWS if given.quick else None) for name in COLUMNS}
    for name, cohort in cohorts.items():
        print(f"{name}: {len(cohort.pairs)} rows, {cohort.pairs['lesion'].nunique()} lesions")
    scores = pd.DataFrame(
        row
        for fold in range(given.folds)
        for row in run_fold(cohorts, fold, 1 if given.quick else "auto")
    )
    means = scores.groupby(["cohort", "model"], sort=False)[["AUC", "accuracy"]].mean()
    print(f"\nFrom the table alone, mean of {given.folds} of {N_FOLDS} folds:")
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()
