"""What photos at training time gain where the truth is known: generated sets, few labels.

The fast test holds the direction for membranes on one seed; the slow ones hold it for cars, and its
significance over seeds. Each seed draws its own set, so that the differences are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch
from torch import nn

from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer, Unlabeled
from tabimg.datasets import make_cars, make_membranes

IMAGE_SIZE = 32
N_TEST = 600
N_SEEDS = 6


def small_image_encoder() -> nn.Module:
    """Four convolutions: enough for drawings of 32 pixels, and ten times as fast as a ResNet."""
    widths = [3, 24, 48, 96, 96]
    layers: list[nn.Module] = []
    for before, after, stride in zip(widths, widths[1:], (2, 2, 2, 1), strict=False):
        layers.append(nn.Conv2d(before, after, 3, stride, 1, bias=False))
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@dataclass(frozen=True)
class Outcome:
    """Scores of one seed; the score is R2 or accuracy."""

    taught: float
    scratch: float
    best_possible: float

    @property
    def gain(self) -> float:
        return self.taught - self.scratch

    @property
    def distance_left(self) -> float:
        """Share of scratch's distance to the Bayes score that is left."""
        return (self.best_possible - self.taught) / (self.best_possible - self.scratch)


def compare(data: Bunch, labelled: np.ndarray, seed: int, max_epochs: int) -> Outcome:
    """Pre-train on all but the last rows, label some of them, and predict the last from columns."""
    photo = data.image_column
    pairs, test = data.data.iloc[:-N_TEST], data.data.iloc[-N_TEST:].drop(columns=photo)
    target = np.asarray(data.target)
    own = MTCMTMRegressor if target.dtype.kind == "f" else MTCMTMClassifier
    pretrainer = MultiModalPretrainer(
        image_column=photo,
        image_size=IMAGE_SIZE,
        image_encoder=small_image_encoder,
        augmentation={"crop": None},
        max_epochs=max_epochs,
        random_state=seed,
    ).fit(pairs)
    known, truth = pairs.iloc[labelled], target[labelled]
    rest = pairs.drop(index=pairs.index[labelled])
    taught = own(pretrainer=FrozenEstimator(pretrainer), random_state=seed)
    taught.fit(known, truth, unlabeled=Unlabeled(rest))
    scratch = own(random_state=seed).fit(known.drop(columns=photo), truth)
    scores = [model.score(test, target[-N_TEST:]) for model in (taught, scratch)]
    return Outcome(*scores, best_possible=data.bayes_score)


def membranes(seed: int, n_pairs: int, max_epochs: int) -> Outcome:
    """60 labels of a number."""
    data = make_membranes(n_samples=n_pairs + N_TEST, image_size=IMAGE_SIZE, random_state=seed)
    labelled = np.random.default_rng(seed).permutation(n_pairs)[:60]
    return compare(data, labelled, seed, max_epochs)


def cars(seed: int, n_pairs: int, max_epochs: int) -> Outcome:
    """Three labels of each of 30 car models."""
    data = make_cars(n_samples=n_pairs + N_TEST, image_size=IMAGE_SIZE, random_state=seed)
    models = data.target.iloc[:n_pairs]
    labelled = models.groupby(models).sample(3, random_state=seed).index.to_numpy()
    return compare(data, labelled, seed, max_epochs)


def test_photos_of_membranes_pay_with_few_labels() -> None:
    outcome = membranes(seed=0, n_pairs=600, max_epochs=25)
    assert outcome.gain > 0.1
    assert outcome.distance_left < 0.8


@pytest.mark.slow
def test_photos_of_cars_pay_with_few_labels() -> None:
    outcome = cars(seed=0, n_pairs=900, max_epochs=30)
    assert outcome.gain > 0
    assert outcome.distance_left < 1


@pytest.mark.slow
@pytest.mark.parametrize("make", [membranes, cars])
def test_gain_is_significant_over_seeds(make: Callable[[int, int, int], Outcome]) -> None:
    outcomes = [make(seed, 2400, 40) for seed in range(N_SEEDS)]
    print([f"{o.taught:.3f} {o.scratch:.3f} {o.best_possible:.3f}" for o in outcomes])
    gains = [outcome.gain for outcome in outcomes]
    assert ttest_1samp(gains, 0.0, alternative="greater").pvalue < 0.05
    assert np.mean([outcome.distance_left for outcome in outcomes]) < 1
