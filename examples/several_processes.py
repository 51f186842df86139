"""
Pre-training in several processes
=================================

The same program runs in one process and in several::

    OMP_NUM_THREADS=1 python examples/several_processes.py
    OMP_NUM_THREADS=1 torchrun --nproc_per_node=2 examples/several_processes.py

Every process is given the same rows; `fit` shares them out by itself. Each reads the photos of its
share, contrasts its pairs with those of all, and ends with the same networks. The first one then
predicts from the table. The data are generated; it takes about a minute on two free cores.

If it is interrupted, the same command goes on after the last complete epoch.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tabimg
from tabimg import MultiModalPretrainer
from tabimg.datasets import make_membranes
from tabimg.nn import ResNet

OUTPUT = Path("several-processes-output")
N_PAIRS, N_LABELED, N_TEST = 1200, 200, 400


def main() -> None:
    # torchrun tells each process its number.
    is_first = os.environ.get("RANK", "0") == "0"
    # Equal seeds make equal rows; with files of your own, each process reads the same ones.
    X, y = make_membranes(N_PAIRS + N_TEST, image_size=32, return_X_y=True, random_state=0)
    train, test = X[:N_PAIRS], X[N_PAIRS:]

    pretrainer = MultiModalPretrainer(
        image_column="photo",
        image_size=32,
        image_encoder=partial(ResNet, layers=(1, 1, 1, 1), width=16),
        augmentation={"crop": None},
        tabular_encoder="mlp",
        max_epochs=20,
        checkpoint_dir=OUTPUT / "checkpoints",
        random_state=0,
    )
    started = time.perf_counter()
    pretrainer.fit(train)
    seconds = time.perf_counter() - started

    if is_first:
        tabimg.save(pretrainer, OUTPUT / "pretrainer")
        table = test.drop(columns="photo")
        head = make_pipeline(StandardScaler(), RidgeCV(alphas=(1.0, 10.0, 100.0, 1000.0)))
        head.fit(pretrainer.transform(train[:N_LABELED]), y[:N_LABELED])
        score = head.score(pretrainer.transform(table), y[N_PAIRS:])
        n_processes = int(os.environ.get("WORLD_SIZE", "1"))
        print(f"{n_processes} processes: {seconds:.0f} s of pre-training on {N_PAIRS} pairs")
        print(f"R2 of {N_TEST} new membranes, from the table alone: {score:.3f}")
        print(f"saved: {OUTPUT / 'pretrainer'}")


if __name__ == "__main__":
    main()
