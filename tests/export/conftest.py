"""Rows with every kind of column, and others to predict: unseen, missing, far off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from tabimg.estimators import training_blocks
from tabimg.training import blending, finetuning, members

N_ROWS = 180


@pytest.fixture(autouse=True)
def small_blends(few_trees: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here holds for any number of trees and folds."""
    for module in (blending, members, finetuning, training_blocks):
        monkeypatch.setattr(module, "N_FOLDS", 2)


class Data(NamedTuple):
    """Rows with vectors as photos, a number for each, and rows to predict, without photos."""

    pairs: pd.DataFrame
    numbers: np.ndarray
    new_rows: pd.DataFrame


@pytest.fixture(scope="session")
def data() -> Data:
    """Rows with every kind of column."""
    pairs = _pairs()
    return Data(pairs, _numbers(pairs), _new_rows(pairs))


def _pairs() -> pd.DataFrame:
    """Mixed columns, one of them empty, and vectors as photos, which show the size of a number."""
    rng = np.random.default_rng(0)
    width = rng.normal(0.0, 1.0, N_ROWS)
    frame = pd.DataFrame(
        {
            "width": width,
            "year": 50_000.0 + rng.normal(0.0, 3.0, N_ROWS),
            "heavy": np.exp(rng.normal(0.0, 3.0, N_ROWS)),
            "Main Colour": rng.choice(["Deep Red", "blue", "", None], N_ROWS),
            "code": rng.choice(["7", "8"], N_ROWS),
            "sold": pd.Series(rng.choice([True, False, None], N_ROWS), dtype=object),
            "when": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(rng.integers(0, 10**8, N_ROWS), "s"),
            "nothing": pd.Series([None] * N_ROWS, dtype=object),
        }
    )
    frame.loc[3:9, "year"] = np.nan
    frame.loc[20:25, "when"] = pd.NaT
    vectors = np.column_stack([np.abs(width)] * 3 + [rng.normal(size=N_ROWS)] * 2)
    return frame.assign(photo=pd.Series(list(vectors), dtype=object))


def _numbers(pairs: pd.DataFrame) -> np.ndarray:
    """A target that follows the columns."""
    noise = np.random.default_rng(1).normal(0.0, 0.1, N_ROWS)
    return (pairs["width"].abs() + (pairs["Main Colour"] == "blue") + noise).to_numpy()


def _new_rows(pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows to predict, without photos: whatever a table may hold after training."""
    rows = pairs.drop(columns="photo").iloc[:60].reset_index(drop=True)
    rows.loc[0, "Main Colour"] = "never seen"
    rows["code"] = [9, 7.0, None, True, "8"] * 12
    rows.loc[1, "heavy"] = 1e300
    rows.loc[2, "width"] = np.nan
    rows.loc[3, "when"] = pd.Timestamp("1890-05-01T12:30:00.000001")
    rows.loc[4] = [None] * 8
    return rows.sample(frac=1.0, random_state=0, ignore_index=True)
