"""A program that the tests run: searches whose workers write down what they do.

It is a module of its own, so that joblib's and Dask's workers can import it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GridSearchCV, ShuffleSplit, cross_val_score

from tabimg import MTCMTMRegressor, MultiModalPretrainer

N_ROWS = 24


class NotingLoader:
    """Makes a photo of a path, and notes the process, its threads and the path in a file."""

    def __init__(self, log: str) -> None:
        self.log = log

    def __call__(self, path: str) -> np.ndarray:
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {torch.get_num_threads()} {Path(path).name}\n")
        return np.full((8, 8, 3), int(Path(path).stem) * 9, dtype=np.uint8)


class MeanColours(torch.nn.Module):
    """The mean colours of four quarters, through one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.out = torch.nn.AdaptiveAvgPool2d(2), torch.nn.Linear(12, 8)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.out(self.pool(pixels).flatten(1))


def noted(log: str) -> list[list[str]]:
    return [line.split() for line in Path(log).read_text().splitlines()]


def data() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((N_ROWS, 3)), columns=["a", "b", "c"])
    return table.assign(photo=[f"{row}.png" for row in range(N_ROWS)]), table["a"].to_numpy()


def regressor(log: str, **changes: Any) -> MTCMTMRegressor:
    pretrainer = MultiModalPretrainer(
        image_column="photo",
        image_loader=NotingLoader(log),
        image_encoder=MeanColours,
        image_size=32,
        tabular_encoder="mlp",
        embedding_dim=8,
        projection_dim=8,
        max_epochs=1,
        batch_size=16,
    )
    return MTCMTMRegressor(
        pretrainer, finetune="full", n_members=1, max_epochs=2, random_state=0, **changes
    )


def shared_memory(folder: Path) -> dict[str, Any]:
    """Two points of a grid, on one training set and in two processes at once."""
    log = str(folder / "log")
    search = GridSearchCV(
        regressor(log, memory=str(folder / "memory")),
        {"n_members": [1, 2]},
        cv=ShuffleSplit(1, test_size=0.5, random_state=0),
        n_jobs=2,
        refit=False,
    )
    search.fit(*data())
    workers = {line[0] for line in noted(log)} - {str(os.getpid())}
    return {
        "reads": len(noted(log)),
        "workers": len(workers),
        "threads": max(int(line[1]) for line in noted(log)),
        "scores": search.cv_results_["mean_test_score"].tolist(),
    }


def dask(folder: Path) -> dict[str, Any]:
    """Cross-validation and a grid, by themselves and on two workers of Dask."""
    from distributed import Client, LocalCluster

    X, y = data()
    logs = [str(folder / name) for name in ("alone", "together")]

    def scores(log: str) -> list[list[float]]:
        grid = GridSearchCV(regressor(log), {"n_members": [1, 2]}, cv=2, n_jobs=2).fit(X, y)
        folds = cross_val_score(regressor(log), X, y, cv=2, n_jobs=2)
        return [grid.cv_results_["mean_test_score"].tolist(), folds.tolist()]

    with joblib.parallel_config("sequential"):
        alone = scores(logs[0])
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder
    )
    with cluster, Client(cluster), joblib.parallel_config("dask"):
        together = scores(logs[1])
    workers = {line[0] for line in noted(logs[1])} - {str(os.getpid())}
    return {"alone": alone, "together": together, "workers": len(workers)}


def main(case: str, folder: str) -> None:
    found = {"shared_memory": shared_memory, "dask": dask}[case](Path(folder))
    Path(folder, "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    sys.exit("import this module and call main(case, folder): its classes need an importable name")
