"""CITab's claims where the truth is known: generated clinics, few labels, predictions from tables.

One test holds the directions on one seed, the other their significance over seeds; both are slow.
Each seed draws its own clinics, so that the differences are independent.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from tabimg import CITabPretrainer, CITabRegressor
from tabimg.datasets import make_cohorts
from tabimg.nn.resnet import ResNet

PROGRAMS = Path(__file__).parents[3] / "examples" / "benchmarks"
TARGET = "northgate"  # has not one header in common with the others
PAIRS = {"harbour": 600, "meadow": 500, "lakeside": 300, TARGET: 300}
N_LABELED, N_TEST = 40, 600
N_SEEDS = 6
SCRATCH, ALONE, ALL, ELSEWHERE = "scratch", "target alone", "all cohorts", "the others alone"
SHUFFLED, INDEXED = "shuffled headers", "column indices"
BEST = "best possible"


@pytest.fixture
def controls(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The header encoders that know less, of the benchmarks."""
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module("header_controls")


def pretrained(kind: str, clinics: Bunch, seed: int, controls: Any) -> CITabPretrainer:
    frames = {name: clinics.frames[name][:count] for name, count in PAIRS.items()}
    headers = sorted({name for frame in frames.values() for name in frame.drop(columns="photo")})
    encoders = {
        SHUFFLED: controls.ShuffledHeaders(tuple(headers), seed),
        INDEXED: controls.NamesAlone(),
    }
    if kind == ALONE:
        frames = {TARGET: frames[TARGET]}
    if kind == ELSEWHERE:
        del frames[TARGET]
    return CITabPretrainer(
        image_column="photo",
        header_encoder=encoders.get(kind, "ngrams"),
        image_size=32,
        image_encoder=partial(ResNet, layers=(1, 1, 1, 1), width=16),
        augmentation={"crop": None},  # the width of a vessel is what the photo tells
        lambda_itm=0.0,
        max_epochs=20,
        lr=2e-3,
        random_state=seed,
    ).fit(frames)


def scores(seed: int, kinds: tuple[str, ...], controls: Any) -> dict[str, float]:
    """R2 of new patients, by what was pre-trained on; and of the best possible prediction."""
    drawn = {**PAIRS, TARGET: PAIRS[TARGET] + N_TEST}
    clinics = make_cohorts(drawn, image_size=32, repeat_rate=0.0, random_state=seed)
    table, target = clinics.frames[TARGET].drop(columns="photo"), clinics.targets[TARGET]
    found = {BEST: clinics.bayes_score[TARGET]}
    for kind in kinds:
        source = None
        if kind != SCRATCH:
            source = FrozenEstimator(pretrained(kind, clinics, seed, controls))
        regressor = CITabRegressor(source, random_state=seed)
        regressor.fit(table[:N_LABELED], target[:N_LABELED])
        found[kind] = regressor.score(table[-N_TEST:], target[-N_TEST:])
    return found


@pytest.mark.slow
def test_claims_hold_on_one_seed(controls: Any) -> None:
    found = scores(0, (SCRATCH, ALONE, ALL, ELSEWHERE, SHUFFLED), controls)
    assert found[ALL] > max(found[ALONE], found[SCRATCH]) + 0.1
    assert found[ALL] > found[SHUFFLED] + 0.1
    assert found[ELSEWHERE] > found[SCRATCH] + 0.1
    assert found[ALL] < found[BEST]


@pytest.mark.slow
def test_claims_are_significant_over_seeds(controls: Any) -> None:
    kinds = (SCRATCH, ALONE, ALL, ELSEWHERE, SHUFFLED, INDEXED)
    runs = [scores(seed, kinds, controls) for seed in range(N_SEEDS)]
    table = pd.DataFrame(runs)
    print(table.round(3).to_string())
    for better, than in (
        *((ALL, other) for other in (ALONE, SCRATCH, SHUFFLED, INDEXED)),
        (ELSEWHERE, SCRATCH),
    ):
        gains = table[better] - table[than]
        assert ttest_1samp(gains, 0.0, alternative="greater").pvalue < 0.05, (better, than)
