"""``categorical_features``: columns of numbers that are categories."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.frozen import FrozenEstimator

import tabimg
from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)
from tabimg.inputs.categorical import find_categorical

MT: dict[str, Any] = {"tabular_encoder": "mlp", "embedding_dim": 4, "max_epochs": 1}
CI: dict[str, Any] = {"dim": 8, "n_heads": 2, "n_layers": 1, "n_experts": 1, "max_epochs": 1}
FITS: list[Callable[..., Any]] = [
    lambda **more: MTCMTMClassifier(finetune="full", random_state=0, **MT, **more),
    lambda **more: MTCMTMRegressor(finetune="full", random_state=0, **MT, **more),
    lambda **more: CITabClassifier(finetune="full", random_state=0, **CI, **more),
    lambda **more: CITabRegressor(finetune="full", random_state=0, **CI, **more),
    lambda **more: MultiModalPretrainer(random_state=0, **MT, **more),
    lambda **more: CITabPretrainer(random_state=0, **CI, **more),
]


@pytest.fixture
def homes() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "area": rng.normal(size=30),
            "zip": rng.choice([1234, 4321, 9999], 30),
            "rooms": rng.integers(0, 9, 30),
        }
    )


def categories_of(fitted: Any) -> dict[Any, list[str]]:
    codec = getattr(fitted.codec_, "codecs", [fitted.codec_])[0]
    return dict(zip(codec.categorical_names, codec.categories, strict=True))


@pytest.mark.parametrize(
    "declared",
    [
        *(["zip"], [1], np.array([1]), [False, True, False], np.array(["zip"]), ("zip",)),
        *(pa.array(["zip"]), pa.array([False, True, False]), pl.Series([1])),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
@pytest.mark.parametrize("make_one", FITS)
def test_declared_column_holds_categories(
    make_one: Callable[..., Any], declared: Any, homes: pd.DataFrame
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = make_one(categorical_features=declared).fit(homes, np.arange(30) % 2)
    assert categories_of(fitted) == {"zip": ["1234", "4321", "9999"]}


@pytest.mark.parametrize("declared", [None, "from_dtype", []])
@pytest.mark.parametrize("make_one", FITS)
def test_code_that_is_not_declared_is_a_number_with_a_hint(
    make_one: Callable[..., Any], declared: Any, homes: pd.DataFrame
) -> None:
    with pytest.warns(UserWarning, match=r"column 'zip'.*categorical_features=\['zip'\]") as seen:
        fitted = make_one(categorical_features=declared).fit(homes, np.arange(30) % 2)
    assert len(seen) == 1
    assert categories_of(fitted) == {}


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("row", range(30)),
        ("number", range(1, 31)),
        ("postalCode", [10115, 20095, 80331] * 10),
        ("customer_id", np.random.default_rng(1).permutation(30)),
    ],
)
def test_row_numbers_and_codes_are_pointed_out(name: str, cells: Any, homes: pd.DataFrame) -> None:
    homes = homes.drop(columns="zip").assign(**{name: cells})
    with pytest.warns(UserWarning, match=f"column '{name}'.*categorical_features"):
        MultiModalPretrainer(**MT).fit(homes)


def test_counts_ages_and_years_are_no_codes(homes: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    homes = homes.drop(columns="zip").assign(
        year=rng.integers(1990, 2020, 30), age=rng.integers(0, 99, 30), n_codes=rng.normal(size=30)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MultiModalPretrainer(**MT).fit(homes)


def test_equal_numbers_are_one_category_in_every_type(
    homes: pd.DataFrame, to_frame: Any, tmp_path: Any
) -> None:
    regressor = FITS[1](categorical_features=["zip"]).fit(homes, homes["area"].to_numpy())
    wanted = regressor.predict(homes)
    tabimg.save(regressor, tmp_path / "model")
    loaded = tabimg.load(tmp_path / "model")
    for rows in (
        homes,
        homes.astype({"zip": float}),
        homes.astype({"zip": str}),
    ):
        np.testing.assert_array_equal(loaded.predict(to_frame(rows)), wanted)


@pytest.mark.parametrize(
    ("declared", "error", "words"),
    [
        (["zap"], ValueError, "'zap'.*Did you mean 'zip'"),
        ([7], ValueError, "position 7.*0 to 2"),
        ([-1], ValueError, "position -1"),
        ([True], ValueError, "1 bools, and X has 3 columns"),
        ("zip", TypeError, "list of column names.*'zip'"),
        ([1.5], TypeError, "list of column names"),
        (3, TypeError, "list of column names"),
    ],
)
@pytest.mark.parametrize("make_one", FITS)
def test_column_that_is_not_there_is_refused(
    make_one: Callable[..., Any],
    declared: Any,
    error: type[Exception],
    words: str,
    homes: pd.DataFrame,
) -> None:
    with pytest.raises(error, match=words):
        make_one(categorical_features=declared).fit(homes, np.arange(30) % 2)


def test_positions_of_many_columns_give_a_short_message() -> None:
    with pytest.raises(ValueError, match="9995 more") as raised:
        find_categorical(["x" * 10_000], [f"c{j}" for j in range(10_000)])
    assert len(str(raised.value)) < 500


def test_dates_are_no_categories(homes: pd.DataFrame) -> None:
    homes["sold"] = pd.date_range("2020", periods=30)
    with pytest.raises(ValueError, match="column 'sold' holds dates"):
        MultiModalPretrainer(categorical_features=["sold"], **MT).fit(homes)


@pytest.mark.parametrize(
    ("pretrainer", "regressor"),
    [
        (lambda **more: MultiModalPretrainer(**MT, **more), MTCMTMRegressor),
        (lambda **more: CITabPretrainer(**CI, **more), CITabRegressor),
    ],
)
def test_pretrainer_and_estimator_agree(
    pretrainer: Callable[..., Any], regressor: Callable[..., Any], homes: pd.DataFrame
) -> None:
    zips = {"categorical_features": ["zip"]}

    def fit(source: Any, **more: Any) -> Any:
        return regressor(pretrainer=source, finetune="frozen", **more).fit(
            homes, homes["area"].to_numpy()
        )

    frozen = FrozenEstimator(pretrainer(**zips).fit(homes))
    for fitted in (fit(pretrainer(**zips)), fit(pretrainer(), **zips), fit(frozen)):
        assert set(categories_of(fitted)) == {"zip"}
        assert set(categories_of(fitted.pretrainer_)) == {"zip"}
    assert set(categories_of(fit(frozen, **zips))) == {"zip"}
    with pytest.raises(ValueError, match="categorical_features"):
        fit(pretrainer(**zips), categorical_features=["rooms"])


def test_fixed_encoder_of_one_table_refuses_other_categories(homes: pd.DataFrame) -> None:
    frozen = FrozenEstimator(MultiModalPretrainer(**MT, categorical_features=["zip"]).fit(homes))
    regressor = MTCMTMRegressor(pretrainer=frozen, categorical_features=["rooms"])
    with pytest.raises(ValueError, match="'rooms', but the pretrainer decides"):
        regressor.fit(homes, homes["area"].to_numpy())


def test_cohorts_have_the_columns_that_they_have(homes: pd.DataFrame) -> None:
    cohorts = {"north": homes, "south": homes.drop(columns="rooms").assign(plz=homes["zip"])}
    fitted = CITabPretrainer(categorical_features=["zip", "plz"], **CI).fit(cohorts)
    assert [each.categorical_names for each in fitted.codec_.codecs] == [["zip"], ["plz", "zip"]]
    with pytest.raises(ValueError, match="must give names"):
        CITabPretrainer(categorical_features=[1], **CI).fit(cohorts)
