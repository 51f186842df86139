"""
House prices from four columns, with photos at training time
============================================================

535 houses: bedrooms, bathrooms, area and zip code, and four photos of each (front, bedroom,
bathroom, kitchen). The target is the logarithm of the price. Photos are there for the training
rows only; prices of the test houses are predicted from the four columns.

Two questions: what do photos add where every training house has a price, and what do they add where
only 10 % have one, while the photos of all training houses are at hand?

Run it with the folder of the photo sets in the environment variable ``TABIMG_DATA``::

    TABIMG_DATA=... python examples/houses_ahmed.py

``--quick`` shows in a minute or two that it runs; its scores mean nothing.

Data: Ahmed and Moustafa, "House Price Estimation from Visual and Textual Features", IJCCI 2016,
https://github.com/emanhamed/Houses-dataset. ``houses_ahmed/table.csv`` has one row a house with the
columns below; the four image columns hold paths relative to its folder.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from comparison import Comparison, as_markdown, find_data_set, read_arguments, scaled_and_one_hot
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from tabimg import MTCMTMRegressor, MultiModalPretrainer

COLUMNS = ["bedrooms", "bathrooms", "area", "zipcode"]
PHOTOS = ["image", "image_bedroom", "image_bathroom", "image_kitchen"]


def tenth(train: np.ndarray, seed: int) -> np.ndarray:
    """Draw the labelled rows of the small budget: one in ten, at random."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(train, size=round(0.1 * len(train)), replace=False))


def main() -> None:
    arguments = read_arguments("House prices, with photos at training time.")
    folder = find_data_set("houses_ahmed")
    started = time.perf_counter()

    # A zip code is a name that looks like a number, so it is declared as a category. That, and
    # which columns hold photos, is all that tabimg has to be told.
    houses = pd.read_csv(folder / "table.csv").astype({"zipcode": "category"})
    pretrainer = MultiModalPretrainer(image_column=PHOTOS, image_root=folder)
    network = MTCMTMRegressor()
    folds = list(KFold(5, shuffle=True, random_state=0).split(houses))
    if arguments.quick:
        pretrainer.set_params(max_epochs=3)
        network.set_params(max_epochs=3)
        folds = folds[:2]

    rivals = {
        "random forest": make_pipeline(
            scaled_and_one_hot(), RandomForestRegressor(n_estimators=500, random_state=0)
        ),
        "gradient boosting": HistGradientBoostingRegressor(random_state=0),
        "ridge regression, one-hot": make_pipeline(
            scaled_and_one_hot(), RidgeCV(np.logspace(-3, 3, 13))
        ),
    }
    comparison = Comparison(
        pairs=houses[COLUMNS + PHOTOS],
        target=np.log1p(houses["price"]),
        pretrainer=pretrainer,
        network=network,
        rivals=rivals,
        score="R2 of the logarithm of the price",
    )
    scores = comparison.run(
        folds, {"all labels": lambda train, seed: train, "10 % of the labels": tenth}
    )
    print(f"\n{as_markdown(scores, comparison.score)}")
    print(f"\nwall time {(time.perf_counter() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
