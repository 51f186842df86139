"""Targets of one and several outputs, their scale, and the losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning

pytestmark = pytest.mark.usefixtures("few_folds")

LOSSES = ["mse", "l1", "huber"]


def test_target_shapes_come_back(table: pd.DataFrame, target: np.ndarray, make: Any) -> None:
    assert make.regressor().fit(table, target).predict(table).shape == (40,)
    assert make.regressor().fit(table, list(target)).predict(table).shape == (40,)
    two = np.column_stack([target, -target])
    assert make.regressor().fit(table, two).predict(table).shape == (40, 2)
    assert make.regressor().fit(table, pd.DataFrame(two)).predict(table).shape == (40, 2)
    with pytest.warns(DataConversionWarning):
        column = make.regressor().fit(table, target.reshape(-1, 1))
    assert column.predict(table).shape == (40,)


def test_outputs_are_predicted_each_in_its_own_unit(
    table: pd.DataFrame, target: np.ndarray, frozen: Any, make: Any
) -> None:
    two = np.column_stack([target, 1e6 - 1e4 * target])
    prediction = make.regressor(pretrainer=frozen, finetune="frozen").fit(table, two).predict(table)
    for output in range(2):
        assert np.corrcoef(prediction[:, output], two[:, output])[0, 1] > 0.8
        assert prediction[:, output].mean() == pytest.approx(two[:, output].mean(), rel=1e-2)


@pytest.mark.parametrize("finetune", ["frozen", "full", "auto"])
@pytest.mark.parametrize(("factor", "shift"), [(1000.0, 0.0), (1e-9, 0.0), (1.0, 1e5)])
def test_scale_and_shift_of_the_target_carry_over(
    finetune: str,
    factor: float,
    shift: float,
    table: pd.DataFrame,
    target: np.ndarray,
    frozen: Any,
    make: Any,
) -> None:
    regressor = make.regressor(pretrainer=frozen, finetune=finetune)
    plain = regressor.fit(table, target).predict(table)
    scaled = regressor.fit(table, target * factor + shift).predict(table)
    np.testing.assert_allclose((scaled - shift) / factor, plain, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 3.5, -1e12])
def test_constant_target_is_predicted(
    value: float, table: pd.DataFrame, frozen: Any, make: Any
) -> None:
    for params in ({}, {"pretrainer": frozen, "finetune": "frozen"}):
        prediction = make.regressor(**params).fit(table, np.full(40, value)).predict(table)
        # A net from scratch still holds noise of its standardised scale, 1.
        np.testing.assert_allclose(prediction, value, atol=0.0 if params else 1.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_the_target(
    loss: str, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(
        finetune="full", loss=loss, max_epochs=30, lr=1e-2, validation_fraction=None
    )
    prediction = regressor.fit(table, target).predict(table)
    assert np.corrcoef(prediction, target)[0, 1] > 0.9
    assert regressor.history_[-1]["train_task"] < regressor.history_[0]["train_task"]


def test_losses_give_different_predictions(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    predictions = [
        make.regressor(finetune="full", loss=loss, validation_fraction=None)
        .fit(table, target)
        .predict(table)
        for loss in LOSSES
    ]
    assert not np.allclose(predictions[0], predictions[1])
    assert not np.allclose(predictions[0], predictions[2])


def test_target_that_is_no_finite_number_is_refused(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    for wrong in (np.nan, np.inf):
        y = target.copy()
        y[3] = wrong
        with pytest.raises(ValueError, match="y contains"):
            make.regressor().fit(table, y)
    with pytest.raises(ValueError, match="MTCMTMClassifier"):
        make.regressor().fit(table, ["much"] * 40)
    with pytest.raises(ValueError, match=r"datetime64.*not numbers"):
        make.regressor().fit(table, pd.date_range("2020", periods=40))
    y = target.copy()
    y[5] = np.nan
    with pytest.raises(ValueError, match=r"1 of 40 rows have no target, the first is row 5.*Unlab"):
        make.regressor().fit(table, y)
    with pytest.raises(ValueError, match="y"):
        make.regressor().fit(table, None)
