"""Forty rows with photos, and estimators of them, each fitted once for all tests of the room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

N_ROWS = 40


@pytest.fixture(autouse=True)
def no_windows() -> None:
    matplotlib.use("Agg")


@pytest.fixture(scope="session")
def cars(photo_folder: Path) -> pd.DataFrame:
    """A table whose cells are numbers and names that no text has by chance; two lack a photo."""
    rng = np.random.default_rng(5)
    photos = [str(photo_folder / f"{row:02d}.png") for row in range(N_ROWS)]
    photos[4] = photos[9] = ""
    return pd.DataFrame(
        {
            "engine_power": rng.uniform(50, 90, N_ROWS) + 0.123457,
            "mileage": rng.integers(100_000, 200_000, N_ROWS),
            "paint": rng.choice(["quillwort", "zaffre"], N_ROWS),
            "photo": photos,
        }
    )


@pytest.fixture(scope="session")
def price(cars: pd.DataFrame) -> np.ndarray:
    return cars["engine_power"].to_numpy() * 3.0 + (cars["paint"] == "zaffre").to_numpy() * 7.0


@pytest.fixture(scope="session")
def pretrainer(cars: pd.DataFrame, make: Any) -> Any:
    """A pretrainer of two epochs."""
    return make.pretrainer(max_epochs=2).fit(cars)


@pytest.fixture(scope="session")
def regressor(cars: pd.DataFrame, price: np.ndarray, pretrainer: Any, make: Any) -> Any:
    """A fully fine-tuned network on it."""
    return make.regressor(pretrainer=FrozenEstimator(pretrainer), finetune="full").fit(cars, price)
