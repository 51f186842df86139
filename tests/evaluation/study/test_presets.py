"""Presets of studies: what they choose, and that the quick one is a part of the full one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation.study import plan_ablation
from tabimg.evaluation.study.presets import ABLATION, CURVE, fill_in

NOTHING = dict.fromkeys(["methods", "label_fractions", "n_folds", "folds", "n_draws"])


def cells(frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any], preset: str) -> set[str]:
    fixed = {name: small[name] for name in ("image_column", "group_column", "pretrainer")}
    plan = plan_ablation(frame, amount, preset=preset, estimator=small["estimator"], **fixed)
    return {cell.fingerprint for unit in plan.units() for cell in unit.cells}


def test_cells_of_the_quick_study_are_among_those_of_the_full_one(
    frame: pd.DataFrame, amount: np.ndarray, small: dict[str, Any]
) -> None:
    quick, full = (cells(frame, amount, small, preset) for preset in ("quick", "full"))
    assert 0 < 4 * len(quick) < len(full)
    assert quick <= full


@pytest.mark.parametrize("presets", [ABLATION, CURVE])
def test_what_is_given_goes_before_the_preset(presets: dict[str, Any]) -> None:
    given = {**NOTHING, "n_folds": 2, "methods": ["scratch"]}
    chosen = fill_in(presets, "quick", given)
    assert (chosen["n_folds"], chosen["folds"], chosen["n_draws"]) == (2, None, 1)
    assert chosen["methods"] == ["scratch"]
    assert chosen["label_fractions"] == presets["quick"].label_fractions
    assert fill_in(presets, "quick", NOTHING)["folds"] == (0, 1, 2)


@pytest.mark.parametrize("name", ["fast", None, 3])
def test_unknown_preset_raises_and_lists_the_known_ones(name: Any) -> None:
    with pytest.raises(ValueError, match=r"preset must be one of \['full', 'quick'\]"):
        fill_in(ABLATION, name, NOTHING)
