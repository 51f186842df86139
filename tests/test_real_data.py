"""The whole path on real photo sets, from the CSV and its image folder to predictions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer

RealData = Callable[[str], Path]
EXAMPLES = Path(__file__).parents[1] / "examples"


def small_pretrainer(image_column: str | list[str], folder: Path) -> MultiModalPretrainer:
    return MultiModalPretrainer(
        image_column=image_column,
        image_root=folder,
        image_size=32,
        embedding_dim=16,
        max_epochs=1,
        random_state=0,
    )


def test_house_prices_are_predicted_from_the_table_alone(real_data: RealData) -> None:
    folder = real_data("houses_ahmed")
    houses = pd.read_csv(folder / "table.csv")[:120].astype({"zipcode": "category"})
    photos = ["image", "image_bedroom", "image_bathroom", "image_kitchen"]
    columns = ["bedrooms", "bathrooms", "area", "zipcode"]
    train, test = houses[:80], houses[80:]
    regressor = MTCMTMRegressor(
        pretrainer=small_pretrainer(photos, folder), finetune="frozen", random_state=0
    )
    regressor.fit(train[columns + photos], np.log1p(train["price"]))
    assert regressor.n_features_in_ == 4
    assert regressor.score(test[columns], np.log1p(test["price"])) > 0


def test_leaf_species_are_predicted_from_the_texture_alone(real_data: RealData) -> None:
    folder = real_data("leaf_species")
    leaves = pd.read_csv(folder / "table.csv").groupby("species").head(4)
    leaves = leaves[leaves["species"] < "C"]
    textures = [f"texture{i}" for i in range(1, 65)]
    is_test = leaves.groupby("species").cumcount() == 3
    train, test = leaves[~is_test], leaves[is_test]
    classifier = MTCMTMClassifier(
        pretrainer=small_pretrainer("image", folder), finetune="frozen", random_state=0
    )
    classifier.fit(train[[*textures, "image"]], train["species"])
    guess = 1 / train["species"].nunique()
    assert classifier.score(test[textures], test["species"]) > 5 * guess


@pytest.mark.slow
@pytest.mark.parametrize("name", ["houses_ahmed", "leaf_species"])
def test_example_runs_on_real_data(name: str, real_data: RealData) -> None:
    data = real_data(name).parent
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--quick"],
        env={**os.environ, "TABIMG_DATA": str(data)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "| MT-CMTM |" in done.stdout
    assert "| same network from scratch |" in done.stdout
