"""
Membranes: learn from photos, predict from the table alone
==========================================================

A made-up laboratory has cast 2000 membranes and kept each recipe (15 columns) with a micrograph.
Permeance, the number it cares about, was measured for 100 of them. For recipes that were never
cast there is no micrograph, but the permeance is wanted all the same.

The data are generated, so it is known how well anybody can do: the Bayes score is the R2 of the
best predictor that sees the recipe alone. The program needs nothing but this package and
matplotlib, takes one to two minutes on two free cores, and writes a model directory and a
picture to ``./demo-output``.

So that it takes no longer, both encoders are small: a thin residual network reads the micrographs
and a perceptron the recipes. They, the number of epochs and the mask rate were chosen by the R2 of
recipes that are neither labelled nor tested here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

import tabimg
from tabimg import MTCMTMRegressor, MultiModalPretrainer, Unlabeled
from tabimg.datasets import make_membranes
from tabimg.nn import ResNet

matplotlib.use("Agg")  # a file is drawn, no window is opened
import matplotlib.pyplot as plt

OUTPUT = Path("demo-output")
N_LABELED, N_PAIRS, N_TEST = 100, 2000, 500


def main() -> None:
    started = time.perf_counter()
    use_free_cores()
    print("Six steps, one to two minutes in all on two free cores, most of it for the second.\n")

    with step(1, f"Drawing {N_PAIRS + N_TEST} membranes with their micrographs"):
        # No recipe is repeated here: every test recipe is new.
        membranes = make_membranes(
            n_samples=N_PAIRS + N_TEST, image_size=32, repeat_rate=0.0, random_state=0
        )
    pairs, permeance = membranes.data, membranes.target
    labeled = slice(0, N_LABELED)
    unlabeled = slice(N_LABELED, N_PAIRS)
    test = slice(N_PAIRS, None)
    table = pairs.drop(columns="photo")
    print(table.iloc[:3, :5].assign(**{"...": "..."}).to_string(index=False), "\n")

    pretrainer = MultiModalPretrainer(
        image_column="photo",
        image_size=32,
        image_encoder=partial(ResNet, layers=(1, 1, 1, 1), width=16),
        tabular_encoder="mlp",
        # A crop would change the apparent size of the pores, which is what the photo tells.
        augmentation={"crop": None},
        mask_rate=0.1,
        max_epochs=30,
        random_state=0,
        verbose=1,
    )
    with step(2, f"Pre-training on {N_PAIRS} pairs of recipe and micrograph, without a target"):
        pretrainer.fit(pairs[:N_PAIRS])

    regressor = MTCMTMRegressor(FrozenEstimator(pretrainer), random_state=0)
    with step(3, f"Fine-tuning on the {N_LABELED} whose permeance is known"):
        regressor.fit(pairs[labeled], permeance[labeled], unlabeled=Unlabeled(pairs[unlabeled]))
    shares = ", ".join(f"{name} {share:.0%}" for name, share in regressor.weights_.items())
    print(f"Blended by inner validation: {shares}.\n")

    rivals = {
        "the same blend without photos": MTCMTMRegressor(tabular_encoder="mlp", random_state=0),
        "random forest": make_pipeline(
            one_hot(), RandomForestRegressor(n_estimators=300, random_state=0)
        ),
        "gradient boosting": make_pipeline(
            one_hot(), HistGradientBoostingRegressor(random_state=0)
        ),
    }
    scores = {"MT-CMTM, taught by photos": regressor.score(table[test], permeance[test])}
    with step(4, f"Fitting {len(rivals)} rivals that never see a photo"):
        for name, rival in rivals.items():
            rival.fit(table[labeled], permeance[labeled])
            scores[name] = rival.score(table[test], permeance[test])
    scores["best possible (Bayes score)"] = membranes.bayes_score

    with step(5, "Saving the model, and loading it again"):
        model_directory = OUTPUT / "model"
        tabimg.save(regressor, model_directory)
        prediction = regressor.predict(table[test])
        same = np.array_equal(tabimg.load(model_directory).predict(table[test]), prediction)
    if not same:
        raise SystemExit("the reloaded model predicts something else")

    picture = OUTPUT / "training.png"
    with step(6, "Drawing the curves of the training"):
        draw(regressor, permeance[test], prediction, picture)

    report(scores)
    print(f"The reloaded model in {model_directory}/ predicts exactly the same.")
    print(f"The curves of the training are drawn in {picture}.")
    print(f"Git ignores {OUTPUT}/; delete it whenever you like.")
    print(f"All of this took {time.perf_counter() - started:.0f} s.")


def use_free_cores() -> None:
    """Take no more threads than there are cores, whatever OMP_NUM_THREADS says.

    Threads that fight over a core wait for each other most of the time. A program may decide this
    for itself; the package leaves the settings of a process alone.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    torch.set_num_threads(min(torch.get_num_threads(), n_cores))
    threadpool_limits(min(torch.get_num_threads(), n_cores))


@contextmanager
def step(number: int, what: str) -> Iterator[None]:
    """Say what is going on, and how long it took."""
    print(f"{number}/6  {what} ...", flush=True)
    started = time.perf_counter()
    yield
    print(f"     done after {time.perf_counter() - started:.0f} s\n", flush=True)


def one_hot() -> Any:
    """Prepare the columns for trees; numbers pass through, missing ones included."""
    categories = make_column_selector(dtype_exclude="number")
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        remainder="passthrough",
    )


def report(scores: dict[str, float]) -> None:
    print(f"R2 of the permeance of {N_TEST} new recipes, without photos, {N_LABELED} labels:")
    for name, score in scores.items():
        print(f"    {name:31s} {score:6.3f}")
    print()


def draw(
    regressor: MTCMTMRegressor, measured: pd.Series, predicted: np.ndarray, path: Path
) -> None:
    """Draw both losses and the learning rate of pre-training, and the predictions."""
    history = pd.DataFrame(regressor.pretrainer_.history_).set_index("epoch")
    figure, ((left, right), (bottom_left, bottom_right)) = plt.subplots(
        2, 2, figsize=(10, 7.5), layout="constrained"
    )
    figure.suptitle("Pre-training with photos, and what came of it")

    draw_loss(left, history, "contrastive")
    batch_size = regressor.pretrainer_.batch_size
    left.axhline(np.log(batch_size), color="grey", linestyle=":", label=f"guess, ln {batch_size}")
    left.set_title("Contrastive loss: which photo belongs to which row?")
    left.legend()

    draw_loss(right, history, "masked")
    # Drawn from zero: the columns of these recipes are independent of each other, so that there
    # is nothing to find, and a close look would show noise.
    right.set_ylim(0, 1.3)
    right.set_title("Masked-cell loss: what stood in the cell?")
    right.text(
        0.5, 0.4, "flat: these columns are independent", transform=right.transAxes, ha="center"
    )
    right.legend()

    bottom_left.plot(history.index, history["lr"], color="tab:green")
    bottom_left.set(xlabel="epoch", ylabel="learning rate at the end of the epoch")
    bottom_left.ticklabel_format(axis="y", scilimits=(-3, -3))
    bottom_left.set_title("One-cycle learning rate")

    bottom_right.scatter(measured, predicted, s=12, alpha=0.6, linewidths=0)
    limits = (0, max(measured.max(), predicted.max()) * 1.03)
    bottom_right.plot(limits, limits, color="grey", linestyle=":", label="perfect")
    bottom_right.set(xlim=limits, ylim=limits, aspect="equal")
    bottom_right.set(xlabel="measured, L m⁻² h⁻¹ bar⁻¹", ylabel="predicted")
    bottom_right.set_title("Permeance of new recipes, predicted without photos")
    bottom_right.legend(loc="upper left")

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_loss(axes: Any, history: pd.DataFrame, term: str) -> None:
    """Draw one loss over the epochs, for training rows and, where split off, validation rows."""
    axes.plot(history.index, history[f"train_{term}"], label="training rows")
    if f"valid_{term}" in history:
        axes.plot(history.index, history[f"valid_{term}"], label="validation rows")
    axes.set(xlabel="epoch", ylabel="mean loss, unweighted")


if __name__ == "__main__":
    main()
