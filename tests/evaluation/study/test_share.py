"""How much of what the photo adds at test a method gains without it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation import StudyResult, photo_share

FOLDS = 5


def study(metric: str = "accuracy", noise: float = 0.0, **levels: float) -> StudyResult:
    """Make a study of one budget whose folds differ alike for all methods, and by noise."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "method": method,
            **{"repeat": 0, "fold": fold, "draw": 0, "budget": "10 %", "fraction": 0.1},
            **{"n_labels": 10, "n_train": 100, "n_test": 25},
            metric: level + 0.02 * fold + noise * rng.standard_normal(),
        }
        for method, level in levels.items()
        for fold in range(FOLDS)
    ]
    return StudyResult(pd.DataFrame(rows), metric)


def share_of(result: StudyResult) -> pd.Series:
    table = photo_share(result)
    assert len(table) == 1
    return table.iloc[0]


def test_share_is_the_gain_over_that_of_the_photo_at_test() -> None:
    found = share_of(study(scratch=0.5, mt_cmtm=0.53, photo_at_test=0.6))
    assert found["share"] == pytest.approx(0.3)
    assert found[["low", "high"]].tolist() == pytest.approx([0.3, 0.3])
    assert found["ceiling"] == pytest.approx(0.1) and found["n_folds"] == FOLDS
    assert share_of(study(scratch=0.5, mt_cmtm=0.48, photo_at_test=0.6))["share"] < 0


def test_share_of_a_loss_counts_relative_gains() -> None:
    levels = {"scratch": 1.0, "mt_cmtm": 0.9, "photo_at_test": 0.8}
    found = share_of(study("relative_mse", **levels))
    assert found["share"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("metric", "levels"),
    [
        ("accuracy", {"scratch": 0.5, "mt_cmtm": 0.6, "photo_at_test": 0.505}),
        ("relative_mse", {"scratch": 1.0, "mt_cmtm": 0.9, "photo_at_test": 0.985}),
        ("accuracy", {"scratch": 0.5, "mt_cmtm": 0.6, "photo_at_test": 0.4}),
    ],
)
def test_where_the_photo_at_test_gains_too_little_there_is_no_share(
    metric: str, levels: dict[str, float]
) -> None:
    found = share_of(study(metric, **levels))
    assert np.isnan(found["share"]) and np.isnan(found["low"])
    assert np.isfinite(found["gain"])


def test_ceiling_that_chance_explains_gives_no_share() -> None:
    noisy = study(noise=0.1, scratch=0.5, mt_cmtm=0.55, photo_at_test=0.55)
    found = share_of(noisy)
    assert found["ceiling_low"] < 0 and np.isnan(found["share"])


def test_interval_of_a_share_covers_what_folds_say() -> None:
    found = share_of(study(noise=0.01, scratch=0.5, mt_cmtm=0.55, photo_at_test=0.6))
    assert found["low"] < found["share"] < found["high"]


def test_method_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"lack the method 'photo_at_test': add it"):
        photo_share(study(scratch=0.5, mt_cmtm=0.55))
