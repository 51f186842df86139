"""
A search on the workers of Dask
===============================

::

    pip install 'tabimg[dask]'
    OMP_NUM_THREADS=1 python examples/dask_search.py

scikit-learn's searches run their fits through joblib, and joblib can hand them to a Dask cluster.
Here that is two processes on this machine; with ``Client("scheduler:8786")`` it would be any number
of machines that see the same files. The scores are those of one process. The data are generated; it
takes about a minute on two free cores.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack

import joblib
import pandas as pd
from distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from tabimg import MTCMTMRegressor, MultiModalPretrainer
from tabimg.datasets import make_membranes

GRID = {"lr": [3e-4, 1e-3, 3e-3], "dropout": [0.0, 0.2]}


def main() -> None:
    X, y = make_membranes(160, image_size=32, return_X_y=True, random_state=0)
    pretrainer = MultiModalPretrainer(
        image_column="photo", image_size=32, tabular_encoder="mlp", max_epochs=5
    )
    with tempfile.TemporaryDirectory() as memory:
        # The grid varies only the fine-tuning: `memory` shares one pre-training per fold.
        regressor = MTCMTMRegressor(
            pretrainer, finetune="full", max_epochs=10, memory=memory, random_state=0
        )
        alone = search(regressor, X, y, "one process")
        with ExitStack() as stack:
            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            stack.enter_context(cluster)
            stack.enter_context(Client(cluster))
            stack.enter_context(joblib.parallel_config("dask"))
            together = search(regressor.set_params(memory=None), X, y, "two workers")
    table = pd.DataFrame(
        {
            **{name: alone.cv_results_[f"param_{name}"] for name in GRID},
            "one process": alone.cv_results_["mean_test_score"],
            "two workers": together.cv_results_["mean_test_score"],
        }
    )
    print(table.to_string(index=False, float_format="%.4f"))
    print("equal scores:", (table["one process"] == table["two workers"]).all())


def search(regressor: MTCMTMRegressor, X: pd.DataFrame, y: pd.Series, name: str) -> GridSearchCV:
    """Search the grid, and tell how long it takes."""
    started = time.perf_counter()
    found = GridSearchCV(regressor, GRID, cv=2, n_jobs=2, refit=False).fit(X, y)
    print(f"{name}: {time.perf_counter() - started:.0f} s")
    return found


if __name__ == "__main__":
    main()
