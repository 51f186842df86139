"""Weights of rows are finite, and within what float32 can add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg import CITabPretrainer, MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer
from tabimg.inputs.weights import LARGEST_WEIGHT, SMALLEST_WEIGHT, check_weights

ROWS = np.zeros((5, 1))


def test_weights_within_the_bounds_stay_as_they_are() -> None:
    given = [0.0, SMALLEST_WEIGHT, 1.0, 3.5, LARGEST_WEIGHT]
    assert check_weights(given, ROWS).tolist() == given
    assert check_weights(None, ROWS).tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.inf, "contains infinity, first in row 3"),
        (np.nan, "contains NaN, first in row 3"),
        (1e21, r"row 3: 1e\+21 is not within 1e-20 and 1e\+20: rescale"),
        (1e300, r"row 3: 1e\+300 is not within"),
        (1e-300, "row 3: 1e-300 is not within"),
        (-1.0, "Negative values"),
    ],
)
@pytest.mark.parametrize("estimator", [MTCMTMRegressor, MultiModalPretrainer, CITabPretrainer])
def test_weight_that_cannot_be_added_up_is_named(
    estimator: Callable[[], Any], value: float, words: str
) -> None:
    X = pd.DataFrame({"a": np.arange(5.0) ** 2})
    weight = [1.0, 1.0, 1.0, value, 1.0]
    with pytest.raises(ValueError, match=words):
        estimator().fit(X, np.arange(5.0), sample_weight=weight)


@pytest.mark.parametrize("given", [[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 1.5, 2.0, 1.0]], ids=str)
def test_weights_may_be_a_column_of_a_frame_of_any_kind(given: list[float], to_frame: Any) -> None:
    column = to_frame(pd.DataFrame({"weight": given}))["weight"]
    assert check_weights(column, ROWS).tolist() == given


def test_weight_that_is_missing_in_a_frame_of_any_kind_is_named(to_frame: Any) -> None:
    column = to_frame(pd.DataFrame({"weight": [1.0, 2.0, None, 1.0, 1.0]}))["weight"]
    with pytest.raises(ValueError, match="sample_weight contains NaN, first in row 2"):
        check_weights(column, ROWS)


def test_weight_behind_a_mask_is_none() -> None:
    masked = np.ma.array([1, 2, 3, 4, 5], mask=[0, 0, 1, 0, 0])
    with pytest.raises(ValueError, match="sample_weight contains NaN, first in row 2"):
        check_weights(masked, ROWS)
    assert check_weights(np.ma.array([1, 2, 3, 4, 5]), ROWS).tolist() == [1, 2, 3, 4, 5]


def test_class_weight_counts_as_well() -> None:
    classifier = MTCMTMClassifier(class_weight={0: 1.0, 1: 1e30})
    with pytest.raises(ValueError, match="class_weight, row 1"):
        classifier.fit(np.arange(8.0).reshape(-1, 1) ** 2, [0, 1] * 4)
