"""Threads that fit at once, and defaults that somebody else has set, change no bit."""

from __future__ import annotations

import pickle
import random
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg import Unlabeled

# From a seed to what estimators of that seed say.
Fit = Callable[[int], list[np.ndarray]]


class DrawingEncoder(nn.Module):
    """A user's encoder: parameters of the old style, dropout as layer and as function."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3, stride=4)
        self.dropout = nn.Dropout(0.3)
        self.mix = nn.Parameter(nn.init.normal_(torch.Tensor(6, 5)))

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.dropout(F.relu(self.convolution(pixels)).mean(dim=(2, 3)))
        return F.dropout(features @ self.mix, 0.2, self.training)


@pytest.fixture
def fits(frame: pd.DataFrame, labels: np.ndarray, make: Any) -> dict[str, Fit]:
    """Every kind of training, tiny."""
    table = frame.drop(columns="photo")

    def embed(pretrainer: Any) -> list[np.ndarray]:
        pretrainer.fit(frame)
        return [pretrainer.transform(table), pretrainer.transform_images(frame)]

    def fused(seed: int) -> list[np.ndarray]:
        model = make.classifier(pretrainer=make.pretrainer(random_state=None), random_state=seed)
        model.fit(frame, labels, unlabeled=Unlabeled(frame))
        return [model.predict_proba(table)]

    def both(seed: int) -> list[np.ndarray]:
        model = make.citab_classifier(
            pretrainer=make.citab(), predict_modality="both", finetune="full", random_state=seed
        )
        return [model.fit(frame, labels).predict_proba(frame)]

    full = {"finetune": "full", "dropout": 0.3}
    return {
        "pretrainer": lambda s: embed(
            make.pretrainer(image_encoder=DrawingEncoder, random_state=s)
        ),
        "full": lambda s: [
            make.classifier(random_state=s, **full).fit(table, labels).predict_proba(table)
        ],
        "fused": fused,
        "citab": both,
    }


def global_state() -> list[Any]:
    return [
        torch.get_rng_state().tolist(),
        pickle.dumps(np.random.get_state()),
        random.getstate(),
        list(warnings.filters),
        torch.get_num_threads(),
        torch.get_default_dtype(),
    ]


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def float64() -> Iterator[Callable[[], None]]:
    """Set the default dtype to float64 until the test ends."""
    before = torch.get_default_dtype()
    yield lambda: torch.set_default_dtype(torch.float64)
    torch.set_default_dtype(before)


def test_fits_in_threads_under_another_default_dtype_equal_those_alone(
    fits: dict[str, Fit], float64: Callable[[], None]
) -> None:
    alone = {kind: fit(1) for kind, fit in fits.items()}
    float64()
    before = global_state()
    with ThreadPoolExecutor(4) as pool:
        running = {kind: pool.submit(fit, 1) for kind, fit in fits.items()}
        for kind, future in running.items():
            assert_equal(future.result(), alone[kind])
    assert global_state() == before


def test_fits_in_threads_of_joblib_equal_those_alone(fits: dict[str, Fit]) -> None:
    alone = [fits["full"](seed) for seed in range(3)]
    with joblib.parallel_config(backend="threading", n_jobs=3):
        together = joblib.Parallel()(joblib.delayed(fits["full"])(seed) for seed in range(3))
    for found, expected in zip(together, alone, strict=True):
        assert_equal(found, expected)


def test_fit_in_a_thread_leaves_the_draws_of_another_alone(fits: dict[str, Fit]) -> None:
    own = torch.Generator().manual_seed(4)
    with torch.random.fork_rng(devices=[]), ThreadPoolExecutor(2) as pool:
        torch.default_generator.manual_seed(4)
        running = [pool.submit(fits[kind], 0) for kind in ("full", "citab")]
        while not all(future.done() for future in running):
            assert torch.equal(torch.rand(3), torch.rand(3, generator=own))


def test_default_dtype_set_after_fit_changes_no_prediction(
    frame: pd.DataFrame, labels: np.ndarray, make: Any, float64: Callable[[], None]
) -> None:
    pretrainer, model = (
        make.pretrainer().fit(frame),
        make.classifier().fit(frame[["width"]], labels),
    )
    stored = pickle.dumps((pretrainer, model))

    def say(pretrainer: Any, model: Any) -> list[np.ndarray]:
        embedded = [pretrainer.transform(frame), pretrainer.transform_images(frame)]
        return [*embedded, model.predict_proba(frame[["width"]])]

    expected = say(*pickle.loads(stored))
    float64()
    assert_equal(say(*pickle.loads(stored)), expected)
    assert_equal(say(pretrainer, model), expected)
