"""Random frames of every type: predicted finitely, or refused by the name of a column."""

from __future__ import annotations

import datetime as dt
import warnings
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer

Rng = np.random.Generator
HEADERS = ["width", "Größe", "a b", "", "x" * 300, "id", "zip", "naïve\n", "0", "None", "😀"]

# Cells that frames hold in daily life, and some that only make trouble.
SOUND: list[Callable[[Rng], Any]] = [
    lambda rng: rng.normal(),
    lambda rng: int(rng.integers(-5, 5)),
    lambda rng: bool(rng.integers(2)),
    lambda rng: str(rng.choice(["red", "green", "blue", "", "?", "naïve"])),
    lambda rng: dt.datetime(2020, 1, 1) + dt.timedelta(days=float(rng.normal())),
    lambda rng: dt.date(2020, 1, int(rng.integers(1, 28))),
    lambda rng: dt.timedelta(seconds=float(rng.normal())),
    lambda rng: dt.time(int(rng.integers(24))),
    lambda rng: Decimal(int(rng.integers(99))) / 7,
    lambda rng: Fraction(int(rng.integers(99)), 7),
    lambda rng: pd.Timestamp("2020", tz="Asia/Tokyo"),
    lambda rng: pd.Period("2020", freq="Y"),
    lambda rng: pd.Interval(0, int(rng.integers(1, 4))),
    lambda rng: bytes(rng.integers(0, 255, 2, dtype=np.uint8)),
    lambda rng: f"{rng.normal():.2f}",
]
ODD: list[Callable[[Rng], Any]] = [
    lambda rng: np.inf,
    lambda rng: 10**400,
    lambda rng: 1e308,
    lambda rng: Decimal("sNaN"),
    lambda rng: Decimal("Infinity"),
    lambda rng: dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=5))),
    lambda rng: dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=5))),
    lambda rng: dt.timedelta.max,
    lambda rng: pd.Period(ordinal=10**9, freq="D"),
    lambda rng: np.datetime64(10**15, "Y"),
    lambda rng: np.timedelta64(2**62, "D"),
    lambda rng: 1j,
    lambda rng: [1, 2],
    lambda rng: {"a": 1},
    lambda rng: object(),
    lambda rng: "\ud800",
    lambda rng: "y" * 10_000,
]
PANDAS_DTYPES = ["Int64", "Float64", "boolean", "string", "category", "float32", "int64[pyarrow]"]


def random_column(rng: Rng, n_rows: int) -> list[Any]:
    """Cells of one type; some are missing, and in one column of three a few are of any type."""
    make = SOUND[rng.integers(len(SOUND))]
    cells = [None if rng.random() < 0.1 else make(rng) for _ in range(n_rows)]
    if rng.random() < 0.3:
        others = SOUND if rng.random() < 0.5 else ODD
        cells[rng.integers(n_rows)] = others[rng.integers(len(others))](rng)
    return cells


def random_frame(rng: Rng) -> Any:
    """A pandas or Polars frame, or an array, of 2 to 60 rows and 1 to 6 columns."""
    n_rows, n_columns = int(rng.integers(2, 61)), int(rng.integers(1, 7))
    names = list(rng.choice(HEADERS, n_columns, replace=rng.random() < 0.1))
    columns = [random_column(rng, n_rows) for _ in names]
    kind = rng.choice(["pandas", "polars", "array"])
    if kind == "polars":
        unlike = dict(zip(names, columns, strict=False))
        return pl.DataFrame([as_polars(name, cells) for name, cells in unlike.items()])
    series = [as_pandas(rng, cells) for cells in columns]
    frame = pd.concat(series, axis=1, keys=range(n_columns))
    frame.columns = pd.Index(names)
    return frame.to_numpy(dtype=object) if kind == "array" else frame


def as_pandas(rng: Rng, cells: list[Any]) -> pd.Series:
    series = pd.Series(cells, dtype=object)
    try:
        return series.astype(rng.choice(PANDAS_DTYPES)) if rng.random() < 0.5 else series
    except Exception:  # not every type holds every cell
        return series


def as_polars(name: str, cells: list[Any]) -> pl.Series:
    if any(isinstance(cell, Decimal) and not cell.is_finite() for cell in cells):
        return pl.Series(name, cells, dtype=pl.Object)  # Polars panics
    try:
        return pl.Series(name, cells, strict=True)
    except (Exception, pl.exceptions.PanicException):  # dates at the calendar's edge
        return pl.Series(name, cells, dtype=pl.Object)


def outcome(seed: int) -> str:
    """Fit and predict a random frame: "predicted", or "refused" with a fitting message."""
    rng = np.random.default_rng(seed)
    X = random_frame(rng)
    n_rows = len(X)
    pretrainer = MultiModalPretrainer(
        tabular_encoder="mlp", embedding_dim=4, max_epochs=1, batch_size=32, random_state=0
    )
    classifies = seed % 2 == 0
    kind = MTCMTMClassifier if classifies else MTCMTMRegressor
    y = np.arange(n_rows) % 2 if classifies else rng.normal(size=n_rows)
    model = kind(pretrainer=pretrainer, finetune="frozen", random_state=0)
    try:
        fitted = model.fit(X, y)
        raw = fitted.predict_proba(X) if classifies else fitted.predict(X)
    except (ValueError, TypeError) as error:
        message = str(error)
        assert type(error) in (ValueError, TypeError), f"seed {seed}: {error!r}"
        assert "column" in message or "cell" in message, f"seed {seed}: {message}"
        assert len(message) < 1000, f"seed {seed}: {len(message)} characters"
        return "refused"
    assert np.isfinite(raw).all(), f"seed {seed}"
    return "predicted"


def outcomes(seeds: range) -> Counter[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Counter(map(outcome, seeds))


def test_few_random_frames_are_predicted_or_refused_by_column() -> None:
    assert set(outcomes(range(20))) == {"predicted", "refused"}


@pytest.mark.nightly
def test_many_random_frames_are_predicted_or_refused_by_column() -> None:
    counts = outcomes(range(20, 620))
    print(f"\nrandom frames: {counts.total()}, {dict(counts)}, no foreign exception")
    assert counts["predicted"] > 200
