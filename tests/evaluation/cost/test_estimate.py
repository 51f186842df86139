"""What estimates consist of; how near they come is measured by benchmarks, not by tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from tabimg import MTCMTMRegressor, MultiModalPretrainer, Unlabeled
from tabimg.evaluation import estimate_cost, estimate_study_cost


def test_cost_of_a_pretrained_fit_has_three_stages_and_leaves_the_estimator(
    frame: pd.DataFrame, amount: np.ndarray, make_pretrainer: Callable[..., MultiModalPretrainer]
) -> None:
    pretrainer = make_pretrainer(image_column="photo", group_column="batch", max_epochs="auto")
    regressor = MTCMTMRegressor(pretrainer, finetune="frozen", max_epochs=1)
    cost = estimate_cost(regressor, frame[:40], amount[:40], unlabeled=Unlabeled(frame[40:]))
    assert (cost.n_labelled, cost.n_rows) == (40, 60)
    assert set(cost.stages()) == {"photos", "pre-training", "fitting"}
    assert cost.seconds == pytest.approx(sum(cost.stages().values())) and cost.seconds > 0
    assert cost.disk is not None and cost.disk > 1000
    assert "A fit takes about" in str(cost) and "of 60 rows" in str(cost)
    assert not hasattr(regressor, "members_") and not hasattr(pretrainer, "network_")


def test_time_limit_bounds_the_estimate_of_pretraining(
    frame: pd.DataFrame, make_pretrainer: Callable[..., MultiModalPretrainer]
) -> None:
    pretrainer = make_pretrainer(image_column="photo", max_epochs=10**6)
    endless = estimate_cost(pretrainer, frame)
    limited = estimate_cost(pretrainer.set_params(time_limit=2.0), frame)
    assert endless.stages()["pre-training"] > 100 > limited.stages()["pre-training"] >= 2.0


def test_search_multiplies_fits_and_counts_the_refit() -> None:
    X, y = np.random.default_rng(0).normal(size=(200, 3)), np.arange(200.0)
    cost = estimate_cost(RandomForestRegressor(5), X, y)
    assert cost.disk is None and list(cost.stages()) == ["fitting"]
    single = cost.fitting.at(100)
    assert cost.search(4, n_splits=2, refit=False) == pytest.approx(8 * single)
    assert cost.search(4, n_splits=2) == pytest.approx(8 * single + cost.seconds)
    with pytest.raises(ValueError, match="n_splits"):
        cost.search(4, n_splits=1)


def test_cost_of_a_study_counts_its_cells(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]
) -> None:
    cost = estimate_study_cost(frame, amount, baselines=["linear"], n_jobs=2, **small)
    one_job = cost.parts[["pretraining_seconds", "fit_seconds"]].to_numpy().sum()
    assert cost.n_cells == 5 * 2 * 3
    assert cost.seconds == pytest.approx(one_job / 2)
    parts = cost.parts.set_index("method")
    assert parts.loc["scratch", "pretraining_seconds"] == 0
    assert parts.loc["mt_cmtm", "pretraining_seconds"] > 0
    assert "30 cells" in str(cost)


def test_cohorts_are_refused_with_what_to_do(frame: pd.DataFrame) -> None:
    with pytest.raises(TypeError, match="one frame"):
        estimate_cost(MultiModalPretrainer(), {"north": frame})
