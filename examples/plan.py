"""Reckon what a pre-training takes: ``python examples/plan.py --pairs 100e6 --gpus 32``.

Nothing is measured here. Each line is a product of the options, whose defaults are assumptions
about a cluster; put your own measurements in their place. ``--help`` lists them.
"""

from __future__ import annotations

import argparse

HOUR, GB, TB = 3600.0, 1e9, 1e12
FLOAT = 4  # bytes


def main() -> None:
    plan = options()
    seen = plan.pairs * plan.epochs
    rate = plan.gpus * plan.photos_per_second * plan.efficiency
    hours = seen / rate / HOUR
    stored = 3 * plan.stored_side**2
    decode_hours = plan.pairs / (plan.gpus * plan.cores_per_gpu * plan.decoded_per_second) / HOUR
    candidates = plan.batch_per_gpu * plan.gpus
    gathered = candidates * (2 * plan.projection_dim + 1) * FLOAT
    scores = 2 * plan.batch_per_gpu * candidates * FLOAT
    table = plan.pairs * (plan.columns * FLOAT + plan.row_bytes)
    lines = [
        ("photos as files", f"{plan.pairs * plan.photo_kb * 1e3 / TB:.1f} TB"),
        ("decoded photos, all", f"{plan.pairs * stored / TB:.1f} TB"),
        ("decoded photos, per process", f"{plan.pairs * stored / plan.gpus / GB:.0f} GB"),
        ("table, per process", f"{table / GB:.0f} GB"),
        ("decoding, once", f"{decode_hours:.1f} h"),
        ("input rate, all", f"{rate:,.0f} photos/s, {rate * stored / GB:.1f} GB/s"),
        ("input rate, per process", f"{rate * stored / plan.gpus / GB:.2f} GB/s"),
        ("candidates of an anchor", f"{candidates:,}"),
        ("gathered in a step, per process", f"{gathered / GB:.3f} GB"),
        ("scores in a step, per process", f"{scores / GB:.2f} GB"),
        ("steps", f"{seen / candidates:,.0f}"),
        ("training", f"{hours:.1f} h"),
        ("GPU hours", f"{plan.gpus * (hours + decode_hours):,.0f}"),
        ("cost of the GPUs", f"{plan.gpus * (hours + decode_hours) * plan.gpu_hour_price:,.0f}"),
        ("cost of the files, a month", f"{plan.pairs * plan.photo_kb / 1e6 * plan.gb_price:,.0f}"),
    ]
    print("Reckoned, not measured:")
    for name, value in lines:
        print(f"    {name:<34}{value}")


def options() -> argparse.Namespace:
    """The assumptions."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default, meaning in [
        ("pairs", 100e6, "rows with a photo"),
        ("epochs", 8, "times that each is seen"),
        ("gpus", 32, "processes, one per GPU"),
        ("photos-per-second", 2000, "forward and backward on one GPU"),
        ("efficiency", 0.85, "share of that in the whole run"),
        ("photo-kb", 100, "kB of a photo's file"),
        ("stored-side", 128, "pixels of a decoded photo's side"),
        ("cores-per-gpu", 12, "cores that decode"),
        ("decoded-per-second", 100, "photos decoded on one core"),
        ("columns", 20, "columns of the table"),
        ("row-bytes", 250, "bytes of a row beside its cells: address, ids, weight"),
        ("batch-per-gpu", 1024, "rows of a batch in one process"),
        ("projection-dim", 128, "width in which rows and photos are compared"),
        ("gpu-hour-price", 3.0, "price of one GPU for an hour, with its machine"),
        ("gb-price", 0.023, "price of keeping one GB for a month"),
    ]:
        parser.add_argument(f"--{name}", type=type(default), default=default, help=meaning)
    return parser.parse_args()


if __name__ == "__main__":
    main()
