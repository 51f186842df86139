"""Trainings of random tables, parameters and callbacks: they end, or say what is wrong."""

from __future__ import annotations

import shutil
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skorch.callbacks

import tabimg

pytestmark = pytest.mark.nightly
N_TRAININGS = 60
PACKAGE = str(Path(tabimg.__file__).parent)
CALLBACKS: list[Any] = [
    skorch.callbacks.EarlyStopping(patience=2),
    skorch.callbacks.EpochTimer,
    ("score", skorch.callbacks.EpochScoring("accuracy")),
    skorch.callbacks.Freezer("*bias"),
    skorch.callbacks.GradientNormClipping(1.0),
    skorch.callbacks.LRScheduler,
    skorch.callbacks.PrintLog(sink=len),
]


def column(rng: np.random.Generator, n_rows: int) -> pd.Series:
    """Draw a column of any kind, scale and number of missing cells."""
    kind = rng.integers(6)
    if kind == 0:
        values = pd.Series(rng.normal(size=n_rows) * 10.0 ** rng.integers(-12, 13))
    elif kind == 1:
        values = pd.Series(rng.integers(0, 10 ** rng.integers(1, 10), n_rows))
    elif kind == 2:
        values = pd.Series(rng.choice(["a", "b", "ä ö", ""], n_rows), dtype=object)
    elif kind == 3:
        values = pd.Series(rng.random(n_rows) < 0.5, dtype="boolean")
    elif kind == 4:
        values = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n_rows), "D"))
    else:
        values = pd.Series(np.full(n_rows, 3.0))
    return values.mask(rng.random(n_rows) < rng.choice([0.0, 0.2, 1.0], p=[0.6, 0.35, 0.05]))


def training(rng: np.random.Generator, folder: Path) -> tuple[Any, pd.DataFrame, Any]:
    """Draw an estimator and its data."""
    n_rows = int(rng.integers(2, 60))
    frame = pd.DataFrame({f"c{i}": column(rng, n_rows) for i in range(rng.integers(1, 5))})
    vectors = pd.Series(list(rng.normal(size=(n_rows, 5))), dtype=object)
    frame["photo"] = vectors.mask(rng.random(n_rows) < 0.2, None)
    shared = {
        "max_epochs": int(rng.integers(1, 4)),
        "batch_size": int(rng.choice([4, 16, 128])),
        "lr": float(10.0 ** rng.integers(-4, 2)),
        "validation_fraction": rng.choice([None, 0.1, 0.5]),
        "random_state": rng.choice([None, 0]),
        "checkpoint_dir": rng.choice([None, folder]),
        "time_limit": rng.choice([None, 0.5]),
    }
    callbacks = [c for c in CALLBACKS if rng.random() < 0.12]
    citab = rng.random() < 0.4
    narrow = {"dim": 8, "n_heads": 2, "n_layers": 1} if citab else {"embedding_dim": 8}
    inner_class = tabimg.CITabPretrainer if citab else tabimg.MultiModalPretrainer
    inner = inner_class(image_column="photo", projection_dim=8, **narrow, **shared)
    classify = rng.random() < 0.5
    faces = {
        (True, True): tabimg.CITabClassifier,
        (True, False): tabimg.CITabRegressor,
        (False, True): tabimg.MTCMTMClassifier,
        (False, False): tabimg.MTCMTMRegressor,
    }
    pretrainer = inner if rng.random() < 0.5 else None
    image = {} if pretrainer else {"image_column": "photo"}
    model = faces[citab, classify](
        pretrainer=pretrainer,
        finetune=str(rng.choice(["auto", "full", "frozen", "gradual"])),
        callbacks=callbacks,
        **image,
        **narrow,
        **shared,
    )
    y = rng.choice(["no", "yes"], n_rows) if classify else rng.normal(size=n_rows)
    return model, frame, y


def test_random_trainings_end_or_say_what_is_wrong(tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(N_TRAININGS):
        model, frame, y = training(np.random.default_rng(number), tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(frame, y)
            except (ValueError, TypeError, FloatingPointError) as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                assert last.filename.startswith(PACKAGE), f"training {number}: {error!r}"
                outcomes["refused"] += 1
                for stage in tmp_path.iterdir():  # finished before, and kept for another try
                    shutil.rmtree(stage)
                continue
        predictions = model.predict(frame)
        assert len(predictions) == len(frame)
        if predictions.dtype.kind == "f":
            assert np.isfinite(predictions).all(), f"training {number}"
        outcomes["fitted"] += 1
        assert list(tmp_path.iterdir()) == [], f"training {number}"
    print(f"random trainings: {outcomes['fitted']} fitted, {outcomes['refused']} refused clearly")
