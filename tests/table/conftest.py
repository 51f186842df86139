"""One table, and what a user may hold it in beside a frame of the usual kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest


@pytest.fixture
def mixed_frame() -> pd.DataFrame:
    """Numeric, integer, text, bool, datetime, duration columns with missing cells; 40 rows."""
    rng = np.random.default_rng(7)
    n = 40
    frame = pd.DataFrame(
        {
            "price": rng.lognormal(8.0, 1.5, n),
            "doors": rng.integers(2, 6, n),
            "colour": rng.choice(np.array(["red", "blue", "grün", ""], dtype=object), n),
            "sold": rng.random(n) < 0.5,
            "seen": pd.Timestamp("2019-03-01") + pd.to_timedelta(rng.integers(0, 10**7, n), "s"),
            "wait": pd.to_timedelta(rng.integers(0, 10**5, n), "s"),
            "owner": rng.choice(np.array(["a", "b", None], dtype=object), n),
        }
    )
    frame.loc[[3, 17], "price"] = np.nan
    frame.loc[[5], "seen"] = pd.NaT
    frame.loc[[6], "wait"] = pd.NaT
    return frame


def _rows(frame: pd.DataFrame) -> list[list[Any]]:
    return frame.astype(object).to_numpy().tolist()


CONTAINERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas-object": lambda frame: frame.astype(object),
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "object-array": lambda frame: frame.astype(object).to_numpy(),
    "list-of-lists": _rows,
}


@pytest.fixture(params=CONTAINERS, ids=str)
def container(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    """Turn a pandas frame into a table of a kind that ``to_frame`` does not make."""
    return CONTAINERS[request.param]
