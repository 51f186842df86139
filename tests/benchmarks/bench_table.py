"""Speed of the table code. Run it by hand: ``python tests/benchmarks/bench_table.py``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np
import pandas as pd
import polars as pl

from tabimg.table import MarginalCorruption, TableCodec

N_ROWS = 1_000_000
N_NUMERIC = 15
N_CATEGORICAL = 5


def best_of(repeats: int, call: Callable[[], object]) -> float:
    """Return the shortest of some runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def report(what: str, seconds: float) -> None:
    print(f"{what:<58} {seconds * 1e6:>12,.0f} us")


def one_row() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((1000, 17))
    frame = pd.DataFrame(numbers, columns=[f"x{j}" for j in range(17)])
    mixed = frame.astype({f"x{j}": str for j in range(4)})
    cells = mixed.to_numpy(dtype=object)
    cases: dict[str, tuple[object, object]] = {
        "float array": (numbers, numbers[:1]),
        "pandas, all float": (frame, frame.iloc[:1]),
        "object array, 4 categorical": (cells, cells[:1]),
        "list of rows, 4 categorical": (cells.tolist(), cells[:1].tolist()),
        "pandas, 4 categorical": (mixed, mixed.iloc[:1]),
        "Polars, 4 categorical": (pl.from_pandas(mixed), pl.from_pandas(mixed.iloc[:1])),
    }
    for name, (training, row) in cases.items():
        codec = TableCodec().fit(training)
        seconds = best_of(500, partial(codec.encode, row))
        report(f"encode one row of 17 columns: {name}", seconds)


def many_rows() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((N_ROWS, N_NUMERIC + N_CATEGORICAL))
    report("fit 1e6 x 20 float array", best_of(1, lambda: TableCodec().fit(numbers)))
    codec = TableCodec().fit(numbers)
    report("encode 1e6 x 20 float array", best_of(2, lambda: codec.encode(numbers)))

    frame = pd.DataFrame(numbers[:, :N_NUMERIC], columns=[f"x{j}" for j in range(N_NUMERIC)])
    colours = np.array([f"colour {k}" for k in range(22)], dtype=object)
    for j in range(N_CATEGORICAL):
        frame[f"c{j}"] = colours[rng.integers(0, 22, N_ROWS)]
    mixed = TableCodec()
    report("fit 1e6 x (15 numeric + 5 text) pandas", best_of(1, lambda: mixed.fit(frame)))
    report("encode 1e6 x (15 + 5) pandas", best_of(2, lambda: mixed.encode(frame)))
    polars = pl.from_pandas(frame)
    report("encode 1e6 x (15 + 5) Polars", best_of(2, lambda: mixed.encode(polars)))

    table = mixed.encode(frame)
    report("row_keys of 1e6 x 20", best_of(1, table.row_keys))
    part = table.take(np.arange(100_000))
    report("to_matrix of 100,000 x 20", best_of(1, lambda: mixed.to_matrix(part)))
    corruption = MarginalCorruption(table, mask_rate=0.3)
    batch = table.take(rng.integers(0, N_ROWS, 256))
    report("corrupt 256 rows of 20 columns", best_of(200, lambda: corruption.draw(batch, rng)))


if __name__ == "__main__":
    one_row()
    many_rows()
