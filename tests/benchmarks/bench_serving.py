"""Speed of exported files. Run it by hand: ``python tests/benchmarks/bench_serving.py``.

Each figure is a median with the quartiles beside it; Python and file take turns in one run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from tabimg import CITabRegressor, MTCMTMRegressor, serving
from tabimg.export import to_onnx

N_LABELLED, N_ROWS, N_NUMBERS = 1_000, 10_000, 20
REPEATS_ONE, REPEATS_MANY = 200, 5
# One row through the file of a network alone.
LIMIT_MS = 3.0


def make_table(n_rows: int, seed: int) -> pd.DataFrame:
    """Twenty numbers and a category."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n_rows, N_NUMBERS)))
    frame.columns = [f"x{j}" for j in range(N_NUMBERS)]
    return frame.assign(colour=rng.choice(["red", "green", "blue"], n_rows))


def timed(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Run calls in turn and return the quartiles of each, in milliseconds."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = perf_counter()
            call()
            times[name].append(1e3 * (perf_counter() - start))
    return {name: np.quantile(each, (0.25, 0.5, 0.75)) for name, each in times.items()}


def report(title: str, quartiles: dict[str, np.ndarray], n_rows: int) -> None:
    """Print a line for each call, with its ratio to Python."""
    python = quartiles["python"][1]
    for name, (low, median, high) in quartiles.items():
        print(
            f"{title:<28} {name:<8} {median:>10.2f} ms ({low:.2f} to {high:.2f})"
            f"  {1e3 * n_rows / median:>9,.0f} rows/s  {python / median:>6.1f} x python"
        )


def compare(name: str, estimator: Any, folder: Path) -> None:
    """Time an estimator, its file as served, and the ONNX session alone."""
    table = make_table(N_LABELLED, 0)
    estimator.fit(table, table["x0"].abs() + (table["colour"] == "red"))
    start = perf_counter()
    to_onnx(estimator, folder / "model.onnx")
    exported = perf_counter() - start
    size = (folder / "model.onnx").stat().st_size / 1e6
    print(f"{name}: exported in {exported:.1f} s, {size:.1f} MB")
    served = serving.load(folder / "model.onnx", n_threads=1)
    rows = make_table(N_ROWS, 1)
    for what, part, repeats in (
        ("one row", rows[:1], REPEATS_ONE),
        (f"{N_ROWS:,} rows", rows, REPEATS_MANY),
    ):
        inputs = served.inputs_of(part)
        calls = {
            "python": lambda part=part: estimator.predict(part),
            "served": lambda part=part: served.predict(part),
            "session": lambda inputs=inputs: served.session.run(None, inputs),
        }
        quartiles = timed(calls, repeats)
        report(f"{name}, {what}", quartiles, len(part))
        if what == "one row" and estimator.finetune == "full":
            within = "within" if quartiles["served"][1] <= LIMIT_MS else "beyond"
            print(f"{name}: one row is {within} the limit of {LIMIT_MS} ms")
    wanted = estimator.predict(rows)
    error = np.abs(served.predict(rows) - wanted).max() / wanted.std()
    print(f"{name}: largest difference {error:.1e} of the predictions' spread\n")


def main() -> None:
    settings: dict[str, Any] = {"max_epochs": 2, "random_state": 0}
    with tempfile.TemporaryDirectory() as folder:
        for name, estimator in {
            "MT-CMTM network": MTCMTMRegressor(finetune="full", **settings),
            "MT-CMTM blend": MTCMTMRegressor(**settings),
            "CITab network": CITabRegressor(finetune="full", **settings),
        }.items():
            compare(name, estimator, Path(folder))


if __name__ == "__main__":
    main()
