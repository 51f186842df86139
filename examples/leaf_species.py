"""
Leaf species from texture columns, with silhouettes at training time
====================================================================

990 leaves of 99 species, ten of each. The table holds 64 numbers that describe the texture of the
leaf's surface; the photo is its black silhouette, which shows none of that texture. The species of
test leaves is predicted from the texture alone, so silhouettes can help only through what shape and
texture have in common: that both belong to a species.

Few labels are the case of interest: one or two leaves of each species are labelled, and the others
of the training fold are pairs of texture and silhouette without a name. The scores with all labels
stand beside.

Run it with the folder of the photo sets in the environment variable ``TABIMG_DATA``::

    TABIMG_DATA=... python examples/leaf_species.py

``--quick`` shows in a few minutes that it runs; its scores mean nothing.

Data: Mallah, Cope and Orwell, "Plant leaf classification using probabilistic integration of shape,
texture and margin features", SPPRA 2013; silhouettes from the Kaggle competition
"leaf-classification". ``leaf_species/table.csv`` has one row a leaf, with the columns ``texture1``
to ``texture64``, ``species``, and ``image``, a path relative to its folder.
"""

from __future__ import annotations

import time
import warnings
from functools import partial

import numpy as np
import pandas as pd
from comparison import Comparison, as_markdown, find_data_set, read_arguments, scaled_and_one_hot
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from tabimg import MTCMTMClassifier, MultiModalPretrainer

COLUMNS = [f"texture{number}" for number in range(1, 65)]

# Silhouettes have no colours to vary. Where a leaf's edge runs and whether it is toothed is what
# they show: blur would take that away, and a crop must leave most of the outline. A leaf that is
# turned over is the same leaf, so flips stay.
SILHOUETTES = {"color_jitter": False, "grayscale": False, "blur": False, "crop": (0.7, 1.0)}


class TunedLogisticRegression(ClassifierMixin, BaseEstimator):
    """Logistic regression; C is chosen by inner folds where each class has the rows for it."""

    def fit(self, X: pd.DataFrame, y: pd.Series) -> TunedLogisticRegression:
        model = make_pipeline(scaled_and_one_hot(), LogisticRegression(max_iter=1000))
        n_folds = min(3, int(y.value_counts().min()))
        if n_folds >= 2:
            grid = {"logisticregression__C": np.logspace(-3, 2, 6)}
            inner = StratifiedKFold(n_folds, shuffle=True, random_state=0)
            model = GridSearchCV(model, grid, cv=inner)
        self.model_ = model.fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.model_.predict(X)


def main() -> None:
    # With one or two labels a species scikit-learn asks at every fit whether this is a regression.
    warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
    arguments = read_arguments("Leaf species, with silhouettes at training time.")
    folder = find_data_set("leaf_species")
    started = time.perf_counter()

    leaves = pd.read_csv(folder / "table.csv")
    species = leaves["species"]
    pretrainer = MultiModalPretrainer(
        image_column="image", image_root=folder, augmentation=SILHOUETTES
    )
    network = MTCMTMClassifier()
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(leaves, species))
    if arguments.quick:
        pretrainer.set_params(max_epochs=3)
        network.set_params(max_epochs=3)
        folds = folds[:2]

    def of_each(n_labels: int, train: np.ndarray, seed: int) -> np.ndarray:
        """Draw the same number of leaves of every species."""
        drawn = species.iloc[train].groupby(species.iloc[train]).sample(n_labels, random_state=seed)
        return np.sort(drawn.index.to_numpy())

    rivals = {
        "random forest": RandomForestClassifier(n_estimators=500, random_state=0),
        # Its default asks for 20 rows in a leaf; here a species has 8 at most.
        "gradient boosting": HistGradientBoostingClassifier(min_samples_leaf=4, random_state=0),
        "logistic regression": TunedLogisticRegression(),
    }
    comparison = Comparison(
        pairs=leaves[[*COLUMNS, "image"]],
        target=species,
        pretrainer=pretrainer,
        network=network,
        rivals=rivals,
        score="accuracy",
    )
    scores = comparison.run(
        folds,
        {
            "all labels": lambda train, seed: train,
            "2 labels a species": partial(of_each, 2),
            "1 label a species": partial(of_each, 1),
        },
    )
    print(f"\n{as_markdown(scores, comparison.score)}")
    print(f"\nwall time {(time.perf_counter() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
