"""Estimators that are fitted to test what may be handed in are fitted quickly."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def small_forests(few_trees: None) -> None:
    """What is tested here holds for any number of trees."""
