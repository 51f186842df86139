"""What the comparisons on real data share: folds, rivals, and the table of results.

`houses_ahmed.py` and `leaf_species.py` import this file. The protocol is the same for every row of
the table of results: the same folds, the same labelled rows, the same test rows, default settings,
and nothing chosen on test rows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer

PRETRAINED = "MT-CMTM"
SCRATCH = "same network from scratch"

Fold = tuple[np.ndarray, np.ndarray]
# From the rows of a training fold and a seed to the rows whose label may be used.
Budget = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """One problem and everyone who is compared on it.

    Parameters
    ----------
    pairs : DataFrame of shape (n_rows, n_columns + n_photo_columns)
        The table with its photo columns, without the target.
    target : Series of shape (n_rows,)
    pretrainer : MultiModalPretrainer
        Its ``image_column`` names the photo columns.
    network : MTCMTMClassifier or MTCMTMRegressor
        Fine-tuned once from the pre-trained encoder and once from scratch.
    rivals : mapping of str to scikit-learn estimator
    score : str
        What ``score`` of these estimators is called, "R2" or "accuracy".
    """

    pairs: pd.DataFrame
    target: pd.Series
    pretrainer: MultiModalPretrainer
    network: MTCMTMClassifier | MTCMTMRegressor
    rivals: Mapping[str, Any]
    score: str

    def run(self, folds: Sequence[Fold], budgets: Mapping[str, Budget]) -> pd.DataFrame:
        """Score everyone in every fold; one row per fold, budget and model."""
        records: list[dict[str, Any]] = []
        for number, (train, test) in enumerate(folds, start=1):
            encoder = self._pretrain(train, number)
            for budget, choose in budgets.items():
                rows = choose(train, number)
                print(f"fold {number}/{len(folds)}, {budget}: {len(rows)} labels", flush=True)
                for name, model in self._entrants(encoder, number).items():
                    score, seconds = self._score(model, rows, test)
                    print(f"  {name:30s} {score:6.3f}  {seconds:6.1f} s", flush=True)
                    records.append(
                        {"fold": number, "budget": budget, "model": name, "score": score}
                    )
        return pd.DataFrame(records)

    def _pretrain(self, train: np.ndarray, seed: int) -> FrozenEstimator:
        """Pre-train on all rows of a training fold; no label is used, and no test row."""
        started = time.perf_counter()
        pretrainer = clone(self.pretrainer).set_params(random_state=seed)
        pretrainer.fit(self.pairs.iloc[train])
        seconds = time.perf_counter() - started
        print(f"pre-trained on {len(train)} pairs in {seconds:.0f} s", flush=True)
        return FrozenEstimator(pretrainer)

    def _entrants(self, encoder: FrozenEstimator, seed: int) -> dict[str, Any]:
        networks = {
            PRETRAINED: clone(self.network).set_params(pretrainer=encoder, random_state=seed),
            SCRATCH: clone(self.network).set_params(random_state=seed),
        }
        return networks | {name: clone(model) for name, model in self.rivals.items()}

    def _score(self, model: Any, rows: np.ndarray, test: np.ndarray) -> tuple[float, float]:
        """Fit on the labelled rows and score on the test rows, from the table alone."""
        table = self.pairs.drop(columns=self.pretrainer.image_column)
        started = time.perf_counter()
        model.fit(table.iloc[rows], self.target.iloc[rows])
        score = model.score(table.iloc[test], self.target.iloc[test])
        return score, time.perf_counter() - started


def scaled_and_one_hot() -> Any:
    """Prepare columns for models that take numbers only: scaled numbers, one-hot categories."""
    categories = make_column_selector(dtype_include="category")
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), categories), remainder=StandardScaler()
    )


def as_markdown(scores: pd.DataFrame, score: str) -> str:
    """Lay scores out as Markdown tables, one a budget: mean, standard deviation, every fold."""
    parts = []
    for budget, part in scores.groupby("budget", sort=False):
        wide = part.pivot(index="model", columns="fold", values="score")
        wide = wide.loc[part["model"].unique()]  # in the order of the runs
        folds = " | ".join(f"fold {number}" for number in wide.columns)
        lines = [
            f"**{budget}**, {score}",
            "",
            f"| model | mean | sd | {folds} |",
            "|---|" + "---|" * (2 + wide.shape[1]),
        ]
        for name, row in wide.iterrows():
            cells = [row.mean(), row.std(ddof=1), *row]
            lines.append(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def read_arguments(description: str) -> argparse.Namespace:
    """Read the command line that both comparisons have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="2 folds and 3 epochs: does it run?")
    return parser.parse_args()


def find_data_set(name: str) -> Path:
    """Find a photo set's folder; without one, say what to do and end the program in peace."""
    root = os.environ.get("TABIMG_DATA")
    folder = Path(root or ".") / name
    if root and (folder / "table.csv").is_file():
        return folder
    state = f"TABIMG_DATA is {root}, which holds no {name}/table.csv" if root else "it is not set"
    print(
        f"This example reads {name}/table.csv and the image files that it lists from the folder "
        f"that the environment\nvariable TABIMG_DATA names ({state}). The data are not part of "
        "tabimg; set the variable and run this\nagain, or run examples/demo.py, which generates "
        "its data."
    )
    sys.exit(0)
