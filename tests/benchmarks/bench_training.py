"""Whole pre-training epochs, fine-tuning epochs and predictions, as ratios to their floors.

Run with ``python tests/benchmarks/bench_training.py``. The floor of a pre-training step is the
image encoder's own forward and backward pass; that of a prediction is the bare network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from tabimg import MTCMTMRegressor, MultiModalPretrainer
from tabimg.nn import resnet18
from tabimg.training.runtime import resolve_autocast


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median wall time of an action after one warm-up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def photos(n_rows: int, size: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n_rows, size, size, 3), dtype=np.uint8)
    return [Image.fromarray(p) for p in pixels]


def bare_image_encoder(n_images: int, size: int, batch_size: int) -> Callable[[], None]:
    """One epoch of the image encoder alone, in the precision that the pretrainer would choose."""
    net = resnet18().train()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    autocast = resolve_autocast("auto", torch.device("cpu"))
    batch = torch.randn(batch_size, 3, size, size).contiguous(memory_format=torch.channels_last)

    def epoch() -> None:
        for _ in range(n_images // batch_size):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
                embedding = net(batch)
            embedding.float().sum().backward()
            optimizer.step()

    return epoch


def pretraining_epoch(table: np.ndarray, images: list, size: int, batch_size: int) -> float:
    """Seconds of one epoch: the difference of a longer and a shorter fit."""

    def fit(epochs: int) -> float:
        pretrainer = MultiModalPretrainer(
            image_size=size,
            batch_size=batch_size,
            max_epochs=epochs,
            validation_fraction=None,
            random_state=0,
        )
        start = time.perf_counter()
        pretrainer.fit(table, image_paths=images)
        return time.perf_counter() - start

    fit(1)
    return (fit(4) - fit(1)) / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--image-size", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    table = rng.normal(size=(args.rows, 20))
    for size in args.image_size:
        floor = seconds(bare_image_encoder(args.rows, size, args.batch), args.repeats)
        epoch = pretraining_epoch(table, photos(args.rows, size), size, args.batch)
        print(
            f"pre-training {size} px: {args.rows / epoch:6.0f} rows/s, "
            f"{floor / epoch:.2f} of the bare image encoder's {args.rows / floor:.0f} img/s"
        )
    big = rng.normal(size=(20_000, 20))
    regressor = MTCMTMRegressor(max_epochs=1, random_state=0).fit(table, table[:, 0])
    whole = seconds(lambda: regressor.predict(big), args.repeats)
    one = seconds(lambda: regressor.predict(big[:1]), 20)
    print(f"predict 20,000 rows: {len(big) / whole:.0f} rows/s; one row: {one * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
