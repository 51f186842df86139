"""Small forests and few folds, and fitted pretrainers of cohorts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg import CITabPretrainer
from tabimg.estimators import training_blocks
from tabimg.training import blending, finetuning, members
from tabimg.training.tasks import Classification


@pytest.fixture(autouse=True)
def small_forests(few_trees: None) -> None:
    """What is tested here holds for any number of trees."""


@pytest.fixture
def few_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blend networks of two folds, and choose among few penalties on two."""
    monkeypatch.setattr(Classification, "penalties", Classification.penalties[::2])
    for module in (blending, members, finetuning, training_blocks):
        monkeypatch.setattr(module, "N_FOLDS", 2)


@pytest.fixture
def vectors(frame: pd.DataFrame, target: np.ndarray) -> pd.DataFrame:
    """The frame with vectors in place of photos, which show the target."""
    noise = np.random.default_rng(8).standard_normal((len(frame), 5))
    shown = np.column_stack([target, noise])
    return frame.assign(photo=pd.Series(list(shown), dtype=object))


@pytest.fixture
def citab_of_two(with_vectors: pd.DataFrame, make: Any) -> CITabPretrainer:
    """A pretrainer fitted on both cohorts, with vectors in place of photos."""
    return make.citab(cohort_column="clinic").fit(with_vectors)


@pytest.fixture
def citab_of_one(vectors: pd.DataFrame, make: Any) -> CITabPretrainer:
    """A pretrainer fitted on one cohort, with vectors in place of photos."""
    return make.citab().fit(vectors)
