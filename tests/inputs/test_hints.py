"""Warnings about tables that are probably not what the user meant."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tabimg import CITabPretrainer, MTCMTMRegressor, MultiModalPretrainer


def test_dates_and_dirty_numbers_that_arrive_as_text_are_named_once(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    table["measured"] = pd.date_range("2020", periods=40).strftime("%Y-%m-%d")
    table["dose"] = ["?", *(f"{dose}.5" for dose in range(39))]
    small = {"pretrainer": MultiModalPretrainer(max_epochs=1, embedding_dim=8)}
    with pytest.warns(UserWarning) as seen:
        make.regressor(**small).fit(table, target)
    messages = [str(warning.message) for warning in seen]
    assert len(messages) == 2
    assert any("'measured'" in m and "dates as text" in m for m in messages)
    assert any("'dose'" in m and "numbers as text" in m for m in messages)


def test_column_spelled_in_another_way_at_prediction_is_named(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    table["zip"] = ["01234", "04321"] * 20
    regressor = make.regressor(pretrainer=None).fit(table, target)
    with pytest.warns(UserWarning, match="no category of column 'zip' was seen in training"):
        regressor.predict(table.astype({"zip": int}))
    gaps = table["zip"].where(table.index % 10 > 0, None)
    with pytest.warns(UserWarning, match="no category of column 'zip' was seen in training"):
        regressor.predict(table.assign(zip=gaps.replace({"01234": "1234", "04321": "4321"})))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regressor.predict(table)
        regressor.predict(table.assign(zip="elsewhere")[:3])  # a new category or two is daily life


def assert_target_is_named(X: Any, y: Any, make: Any) -> None:
    for estimator in (
        make.regressor(finetune="full", max_epochs=1),
        MultiModalPretrainer(max_epochs=1, embedding_dim=8, tabular_encoder="mlp"),
    ):
        with pytest.warns(UserWarning, match="column 'price' of X has the name of y"):
            estimator.fit(X, y)


def test_target_left_among_the_columns_of_any_frame_is_named(
    table: pd.DataFrame, target: np.ndarray, to_frame: Any, make: Any
) -> None:
    X = to_frame(table.assign(price=target))
    assert_target_is_named(X, X["price"], make)


@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_target_left_among_the_columns_of_a_pyarrow_table_is_named(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    X = pa.Table.from_pandas(table.assign(price=target))
    assert_target_is_named(X, pa.table({"price": target}), make)


def test_lazy_frame_is_refused_without_a_stray_warning(
    table: pd.DataFrame, target: np.ndarray
) -> None:
    lazy = pl.from_pandas(table).lazy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for estimator in (MTCMTMRegressor(), MultiModalPretrainer(), CITabPretrainer()):
            with pytest.raises(TypeError, match=r"lazy frame.*X\.collect\(\)"):
                estimator.fit(lazy, target)
