"""
Clinics: learn from photos over tables that share no columns
============================================================

Five made-up eye clinics keep a table and a retina's photo of each patient, no two with the same
columns, units or spellings: ``systolic_blood_pressure``, ``SBP``, ``SystolicBP``. Two of them have
followed 40 patients up and know how many letters these lost; they want to know that of new
patients, from the table alone.

CITab pre-trains one encoder over the pairs of four clinics, and finds out from the headers what
belongs together. Northgate, one of the two, is among the four, though it has not one column name in
common with the others. Summit has no photos at all, and the encoder has never seen its columns. The
data are generated, so it is known how well anybody can do: the Bayes score is the R2 of the best
predictor that sees the clinic's table alone. The program needs nothing but this package and takes
less than two minutes on two free cores.
"""

from __future__ import annotations

import time
from functools import partial

from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from tabimg import CITabPretrainer, CITabRegressor
from tabimg.datasets import make_cohorts
from tabimg.evaluation import make_baseline
from tabimg.nn import ResNet

PAIRS = {"harbour": 600, "meadow": 500, "lakeside": 300, "northgate": 300}
N_LABELED, N_TEST = 40, 600


def main() -> None:
    started = time.perf_counter()
    clinics = make_cohorts(
        {**PAIRS, "northgate": PAIRS["northgate"] + N_TEST, "summit": N_LABELED + N_TEST},
        image_size=32,
        repeat_rate=0.0,  # no patient comes twice: every patient of the tests is new
        random_state=0,
    )
    for name, frame in clinics.frames.items():
        print(f"{name:10s} {', '.join(frame.columns[:5])}, ...")

    print(f"\nPre-training over the pairs of {', '.join(PAIRS)} ...", flush=True)
    pretrainer = CITabPretrainer(
        image_column="photo",
        image_size=32,
        # Drawings of 32 pixels do not ask for a larger network.
        image_encoder=partial(ResNet, layers=(1, 1, 1, 1), width=16),
        # A crop would change the apparent width of the vessels, which is what the photo tells.
        augmentation={"crop": None},
        max_epochs=20,
        random_state=0,
    )
    pretrainer.fit({name: clinics.frames[name][:count] for name, count in PAIRS.items()})
    for name in ("northgate", "summit"):
        follow_up(clinics, name, pretrainer)
    print(f"\nAll of this took {time.perf_counter() - started:.0f} s.")


def follow_up(clinics: Bunch, name: str, pretrainer: CITabPretrainer) -> None:
    """Predict the letters lost by a clinic's new patients, with few labels."""
    table = clinics.frames[name].drop(columns="photo")
    known, new = table[:N_LABELED], table[-N_TEST:]
    letters_lost = clinics.targets[name]
    models = {
        "CITab, taught by photos": CITabRegressor(FrozenEstimator(pretrainer), random_state=0),
        "CITab without photos": CITabRegressor(random_state=0),
        "random forest": make_baseline("random_forest", "regression"),
        "gradient boosting": make_baseline("boosting", "regression"),
    }
    scores = {
        label: model.fit(known, letters_lost[:N_LABELED]).score(new, letters_lost[-N_TEST:])
        for label, model in models.items()
    }
    scores["best possible (Bayes score)"] = clinics.bayes_score[name]

    meanings = models["CITab, taught by photos"].nearest_headers_
    if meanings:
        print(f"\nWhat columns of {name} that the encoder does not know are taken for:")
    for column, (header, similarity) in meanings.items():
        print(f"    {column:20s} {header:30s} {similarity:5.2f}")
    print(f"\nR2 of {N_TEST} new patients of {name}, from the table alone, {N_LABELED} labels:")
    for label, score in scores.items():
        print(f"    {label:31s} {score:6.3f}")


if __name__ == "__main__":
    main()
