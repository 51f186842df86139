"""Forty rows with photos, estimators that fit them in a tenth of a second, and real photo sets."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.frozen import FrozenEstimator

from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)
from tabimg.nn.resnet import ResNet
from tabimg.training import boosting, distillation, forest

N_ROWS = 40
N_TREES = 5
ROUNDS = (5, 20)
PRETRAINER_PARAMS = {
    "image_size": 32,
    "image_encoder": partial(ResNet, layers=(1, 1, 1, 1), width=4),
    "tabular_encoder": "mlp",
    "embedding_dim": 8,
    "projection_dim": 8,
    "max_epochs": 1,
    "batch_size": 16,
    "random_state": 0,
}
FINETUNED_PARAMS = {
    "tabular_encoder": "mlp",
    "embedding_dim": 8,
    "max_epochs": 2,
    "batch_size": 16,
    "random_state": 0,
}
CITAB_TABLE_PARAMS = {"dim": 8, "n_heads": 2, "n_layers": 1, "n_experts": 2}
CITAB_PARAMS = {
    **CITAB_TABLE_PARAMS,
    "image_size": 32,
    "image_encoder": PRETRAINER_PARAMS["image_encoder"],
    "n_fusion_layers": 1,
    "projection_dim": 8,
    "max_epochs": 1,
    "batch_size": 16,
    "random_state": 0,
}
CITAB_FINETUNED_PARAMS = {
    **CITAB_TABLE_PARAMS,
    "max_epochs": 2,
    "batch_size": 16,
    "random_state": 0,
}


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blend small forests, and few rounds of boosting."""
    monkeypatch.setattr(forest, "TREES_AT_ONCE", N_TREES)
    monkeypatch.setattr(forest, "N_TREES", N_TREES)
    monkeypatch.setattr(boosting, "ROUNDS", ROUNDS)
    monkeypatch.setattr(distillation, "STUDENT_ROUNDS", max(ROUNDS))


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos ``00.png`` to ``39.png``, each of another colour."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for row in range(N_ROWS):
        noise = rng.integers(0, 60, size=(40, 36, 3))
        colour = rng.integers(0, 190, size=3)
        Image.fromarray((noise + colour).astype(np.uint8)).save(folder / f"{row:02d}.png")
    return folder


@pytest.fixture
def table() -> pd.DataFrame:
    """Two numeric columns, one with missing cells, and a categorical one; no row repeats."""
    rng = np.random.default_rng(1)
    width = rng.normal(5.0, 2.0, N_ROWS)
    width[[3, 17]] = np.nan
    return pd.DataFrame(
        {
            "width": width,
            "pressure": rng.integers(1, 1000, N_ROWS),
            "support": pd.Series(rng.choice(["glass", "paper", "steel"], N_ROWS), dtype=object),
        }
    )


@pytest.fixture
def frame(table: pd.DataFrame, photo_folder: Path) -> pd.DataFrame:
    """The table with the column ``photo`` of absolute paths."""
    paths = [str(photo_folder / f"{row:02d}.png") for row in range(N_ROWS)]
    return table.assign(photo=pd.Series(paths, dtype=object))


@pytest.fixture
def target(table: pd.DataFrame) -> np.ndarray:
    """A number that the columns determine up to noise."""
    noise = np.random.default_rng(2).normal(0.0, 0.1, N_ROWS)
    support = table["support"].map({"glass": 0.0, "paper": 1.0, "steel": 3.0})
    return (table["pressure"] / 300 + support + noise).to_numpy()


@pytest.fixture
def labels(target: np.ndarray) -> np.ndarray:
    """Three classes of nearly equal size."""
    return np.array(["high", "low", "middle"])[np.argsort(np.argsort(target)) * 3 // N_ROWS]


FRAME_KINDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "numpy": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "pyarrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda frame: pytest.importorskip("polars").from_pandas(frame),
}


@pytest.fixture(params=FRAME_KINDS)
def to_frame(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    """Turn a pandas frame of NumPy dtypes into a frame of each kind that users have."""
    if request.param in ("pyarrow", "polars"):
        pytest.importorskip("pyarrow")  # by which pandas hands its columns to Polars, too
    return FRAME_KINDS[request.param]


class Makers:
    """Make small estimators, without a pretrainer unless one is given; parameters can be replaced.

    The pretrainers look for photos in the column ``photo``.
    """

    @staticmethod
    def pretrainer(**params: Any) -> MultiModalPretrainer:
        return MultiModalPretrainer(**{"image_column": "photo", **PRETRAINER_PARAMS, **params})

    @staticmethod
    def regressor(**params: Any) -> MTCMTMRegressor:
        return MTCMTMRegressor(**{**FINETUNED_PARAMS, **params})

    @staticmethod
    def classifier(**params: Any) -> MTCMTMClassifier:
        return MTCMTMClassifier(**{**FINETUNED_PARAMS, **params})

    @staticmethod
    def citab(**params: Any) -> CITabPretrainer:
        return CITabPretrainer(**{"image_column": "photo", **CITAB_PARAMS, **params})

    @staticmethod
    def citab_classifier(**params: Any) -> CITabClassifier:
        return CITabClassifier(**{**CITAB_FINETUNED_PARAMS, **params})

    @staticmethod
    def citab_regressor(**params: Any) -> CITabRegressor:
        return CITabRegressor(**{**CITAB_FINETUNED_PARAMS, **params})


@pytest.fixture(scope="session")
def make() -> Makers:
    """Makers of small estimators, such as ``make.regressor(finetune="full")``."""
    return Makers()


@pytest.fixture
def cohorts(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The frame as two cohorts with one column in common, and others of related names."""
    south = (
        frame[24:]
        .drop(columns="pressure")
        .assign(mass=np.linspace(3.0, 9.0, 16), photo_grade="good")
    )
    south = south.rename(columns={"support": "SupportMaterial"})
    return {"north": frame[:24], "south": south}


@pytest.fixture
def stacked(cohorts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Both cohorts in one frame, with the column ``clinic``."""
    frames = [frame.assign(clinic=name) for name, frame in cohorts.items()]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def with_vectors(stacked: pd.DataFrame) -> pd.DataFrame:
    """The stacked frame with embedding vectors in place of photos, which train faster."""
    vectors = np.random.default_rng(7).standard_normal((N_ROWS, 6))
    return stacked.assign(photo=pd.Series(list(vectors), dtype=object))


@pytest.fixture
def fitted(frame: pd.DataFrame, make: Makers) -> MultiModalPretrainer:
    """A pretrainer fitted on the frame."""
    return make.pretrainer().fit(frame)


@pytest.fixture
def frozen(fitted: MultiModalPretrainer) -> FrozenEstimator:
    """The fitted pretrainer, frozen."""
    return FrozenEstimator(fitted)


@pytest.fixture(scope="session")
def weights() -> Callable[[Any], dict[str, np.ndarray]]:
    """Copy all weights of a fitted pretrainer or fine-tuned estimator."""

    def collect(estimator: Any) -> dict[str, np.ndarray]:
        models = [member.model for member in getattr(estimator, "members_", [])]
        return {
            f"{number}.{name}": copy.deepcopy(array)
            for number, arrays in enumerate(map(arrays_of, models or [estimator.network_]))
            for name, array in arrays.items()
        }

    def arrays_of(model: Any) -> dict[str, np.ndarray]:
        """Give the arrays of a network, or of the plain models that a blend holds beside it."""
        found = getattr(getattr(model, "module", model), "arrays", None)
        if found is None:
            found = {k: v for k, v in vars(model).items() if isinstance(v, np.ndarray)}
        assert found
        return found

    return collect


@pytest.fixture
def photo_log(tmp_path: Path) -> PhotoLog:
    """An image loader that writes down what it reads, in this and in other processes."""
    return PhotoLog(tmp_path / "photos-read.txt")


class PhotoLog:
    """What an image loader has read; ``loader`` is handed to the estimators."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A function made here travels to other processes by value: they cannot import this file.
        self.loader = _make_loader(path)

    def entries(self) -> list[tuple[int, str]]:
        """Process id and file name of each photo read, in order."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [(int(pid), name) for pid, name in (line.split() for line in lines)]

    def names(self) -> list[str]:
        """File name of each photo read, in order."""
        return [name for _, name in self.entries()]


def _make_loader(log: Path) -> Callable[[str], Any]:
    def load(path: str) -> Any:
        with open(log, "a") as file:
            file.write(f"{os.getpid()} {Path(path).name}\n")
        return Image.open(path)

    return load


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Give the folder of a real photo set by its name, or skip the test with the reason.

    The sets are no part of the repository. ``TABIMG_DATA`` names the folder that holds one
    folder a set, each with a ``table.csv`` whose ``image`` column is relative to that folder.
    """

    def folder(name: str) -> Path:
        root = os.environ.get("TABIMG_DATA")
        if not root:
            pytest.skip(f"needs the real set {name!r}: TABIMG_DATA is not set")
        path = Path(root) / name
        if not (path / "table.csv").is_file():
            pytest.skip(f"needs the real set {name!r}: TABIMG_DATA={root} does not hold it")
        return path

    return folder
