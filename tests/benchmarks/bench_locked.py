"""Locked pre-training against the paper's: whole fits, from photo files to the last epoch.

Run with ``python tests/benchmarks/bench_locked.py``. The limit is a tenth of the time of a ResNet
that is trained from random weights on the same 2,000 rows, on the same machine in the same run. A
second locked fit, with another seed, must read no photo.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tabimg import MultiModalPretrainer

PHOTO_SIZE = (320, 240)
N_COLUMNS = 10
PAPER = {"image_encoder": "resnet18", "image_training": "full", "mask_rate": 0.3}
N_READ = [0]


def read_counted(path: str) -> Image.Image:
    """Open a photo, and count it."""
    N_READ[0] += 1
    return Image.open(path)


def make_rows(n_rows: int, folder: Path) -> pd.DataFrame:
    """Numbers, and JPEG files that hold smooth colours."""
    rng = np.random.default_rng(0)
    paths = []
    for row in range(n_rows):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        path = folder / f"{row}.jpg"
        Image.fromarray(coarse).resize(PHOTO_SIZE, Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(str(path))
    columns = {f"x{number}": rng.standard_normal(n_rows) for number in range(N_COLUMNS)}
    return pd.DataFrame({**columns, "photo": paths})


def fit(rows: pd.DataFrame, seed: int, **changes: object) -> tuple[float, int]:
    """Return seconds, and the number of photos that were read."""
    N_READ[0] = 0
    pretrainer = MultiModalPretrainer(
        image_column="photo", image_loader=read_counted, n_jobs=-1, random_state=seed, **changes
    )
    start = time.perf_counter()
    pretrainer.fit(rows)
    return time.perf_counter() - start, N_READ[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(given.rows, Path(folder))
        first, n_first = fit(rows, 0)
        second, n_second = fit(rows, 1)
        paper, n_paper = fit(rows, 0, **PAPER)
    print(f"{given.rows} rows, {os.cpu_count()} cores")
    for name, seconds, n_read in (
        ("ResNet-18 at 64 pixels, from random weights", paper, n_paper),
        ("EfficientNet-Lite0 at 112 pixels, locked", first, n_first),
        ("the same again with another seed", second, n_second),
    ):
        print(f"{name}: {seconds:.1f} s, {seconds / paper:.3f}, {n_read} photos read")


if __name__ == "__main__":
    main()
