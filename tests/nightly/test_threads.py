"""Eight threads that fit all kinds of estimators at once give what each fit gives alone."""

from __future__ import annotations

import pickle
import random
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)
from tabimg.nn import ResNet

N_ROWS, N_SEEDS, N_THREADS = 60, 12, 8
NETWORK = partial(ResNet, layers=(1, 1, 1, 1), width=4)


def own_encoder() -> torch.nn.Module:
    """A network that draws from the streams of the process."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=4),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{row}.png") for row in range(N_ROWS)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 44, 3), dtype=np.uint8)).save(path)
    width = np.where(np.arange(N_ROWS) % 9 == 0, np.nan, rng.normal(size=N_ROWS))
    kind = rng.choice(["x", "y", "z"], N_ROWS)
    return pd.DataFrame({"width": width, "kind": kind, "photo": paths})


def kinds(frame: pd.DataFrame) -> dict[str, Callable[[int], np.ndarray]]:
    """Name every kind of fit, from a seed to what the fitted estimator says."""
    table, number = frame[["width", "kind"]], np.arange(N_ROWS) % 7.0
    label = np.array(["no", "yes"])[np.arange(N_ROWS) % 2]
    photos = {
        "image_column": "photo",
        "image_size": 32,
        "image_encoder": NETWORK,
        "max_epochs": 2,
        "batch_size": 16,
    }
    small = {"dim": 8, "n_heads": 2, "n_layers": 1, "n_experts": 2}

    def embed(make: Callable[..., Any], **params: Any) -> Callable[[int], np.ndarray]:
        return lambda seed: make(**params, random_state=seed).fit(frame).transform(table)

    def predict(make: Callable[..., Any], y: np.ndarray, **params: Any) -> Any:
        return lambda seed: (
            make(max_epochs=3, random_state=seed, **params).fit(table, y).predict(table)
        )

    return {
        "pretrainer": embed(MultiModalPretrainer, **photos),
        "own encoder": embed(MultiModalPretrainer, **{**photos, "image_encoder": own_encoder}),
        "citab pretrainer": embed(CITabPretrainer, **photos, **small, n_fusion_layers=1),
        "classifier": predict(MTCMTMClassifier, label, finetune="full"),
        "blend": predict(MTCMTMRegressor, number),
        "citab": predict(CITabClassifier, label, finetune="full", **small),
    }


def process_state() -> list[Any]:
    return [
        torch.get_rng_state().tolist(),
        pickle.dumps(np.random.get_state()),
        random.getstate(),
        list(warnings.filters),
        torch.get_num_threads(),
    ]


@pytest.mark.nightly
def test_mixed_fits_of_eight_threads_equal_those_alone(frame: pd.DataFrame) -> None:
    fits = kinds(frame)
    jobs = [(kind, seed) for seed in range(N_SEEDS) for kind in fits]
    alone = [fits[kind](seed) for kind, seed in jobs]
    before = process_state()
    with ThreadPoolExecutor(N_THREADS) as pool:
        together = list(pool.map(lambda job: fits[job[0]](job[1]), jobs))
    different = [
        job for job, a, b in zip(jobs, alone, together, strict=True) if not np.array_equal(a, b)
    ]
    print(f"{len(jobs)} fits in {N_THREADS} threads, {len(different)} unlike those alone")
    assert different == []
    assert process_state() == before
