"""A small study: sixty rows with photos, and estimators that fit them in a tenth of a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer
from tabimg.nn.resnet import ResNet

N_ROWS = 60


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos ``00.png`` to ``59.png``, each of another colour."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for row in range(N_ROWS):
        pixels = rng.integers(0, 60, size=(20, 20, 3)) + rng.integers(0, 190, size=3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row:02d}.png")
    return folder


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two numeric columns, a categorical one, photos by relative name, and groups of two rows."""
    rng = np.random.default_rng(1)
    width = rng.normal(5.0, 2.0, N_ROWS)
    width[[3, 17]] = np.nan
    return pd.DataFrame(
        {
            "width": width,
            "pressure": rng.integers(1, 1000, N_ROWS),
            "support": pd.Series(rng.choice(["glass", "paper", "steel"], N_ROWS), dtype=object),
            "photo": pd.Series([f"{row:02d}.png" for row in range(N_ROWS)], dtype=object),
            "batch": np.arange(N_ROWS) // 2,
        }
    )


@pytest.fixture
def amount(frame: pd.DataFrame) -> np.ndarray:
    """A number that the columns determine up to noise."""
    noise = np.random.default_rng(2).normal(0.0, 0.1, N_ROWS)
    return (frame["pressure"] / 300 + noise).to_numpy()


@pytest.fixture
def kind(amount: np.ndarray) -> np.ndarray:
    """Three classes of equal size."""
    return np.array(["high", "low", "middle"])[np.argsort(np.argsort(amount)) * 3 // N_ROWS]


@pytest.fixture
def make_pretrainer(photo_folder: Path) -> Callable[..., MultiModalPretrainer]:
    """Make a small pretrainer; parameters can be replaced."""

    def make(**params: Any) -> MultiModalPretrainer:
        small = {
            "image_root": photo_folder,
            "image_size": 32,
            "image_encoder": partial(ResNet, layers=(1, 1, 1, 1), width=4),
            "tabular_encoder": "mlp",
            "embedding_dim": 8,
            "projection_dim": 8,
            "max_epochs": 1,
            "batch_size": 16,
        }
        return MultiModalPretrainer(**{**small, **params})

    return make


@pytest.fixture
def small(make_pretrainer: Callable[..., MultiModalPretrainer]) -> dict[str, Any]:
    """Arguments of a study of numbers that takes a second."""
    return {
        "image_column": "photo",
        "group_column": "batch",
        "pretrainer": make_pretrainer(),
        "estimator": MTCMTMRegressor(finetune="frozen", max_epochs=1),
        "n_folds": 2,
        "n_draws": 2,
        "label_fractions": (0.3, 1.0),
    }


@pytest.fixture
def small_of_classes(small: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a study of classes that takes a second."""
    return {**small, "estimator": MTCMTMClassifier(finetune="frozen", max_epochs=1)}
