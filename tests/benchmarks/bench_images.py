"""Measure decoding, gathering and augmentation: ``python tests/benchmarks/bench_images.py``.

Prints images a second, the median of several runs, on one thread.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tabimg.image import (
    Augmentation,
    Augmenter,
    RowImages,
    build_image_cache,
    plain,
    read_image,
    stored_size,
)


def images_per_second(task: Callable[[], object], n_images: int, repeats: int) -> float:
    """Median rate of a task that handles ``n_images``, after one run to warm up."""
    task()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return n_images / statistics.median(seconds)


def photo_bytes(width: int, height: int, file_format: str, rng: np.random.Generator) -> bytes:
    """Encode smooth noise, whose detail is about that of a photo."""
    coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 4, (height, width, 3))
    pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, quality=90)
    return buffer.getvalue()


def bench_decoding(size: int, repeats: int, rng: np.random.Generator) -> None:
    """Decode photos of two sizes and two formats."""
    for width, height, file_format in [
        (1000, 750, "JPEG"),
        (300, 225, "JPEG"),
        (1000, 750, "PNG"),
    ]:
        photos = [photo_bytes(width, height, file_format, rng) for _ in range(16)]

        def decode(photos: list[bytes] = photos) -> None:
            for photo in photos:
                read_image(photo, size)

        rate = images_per_second(decode, len(photos), repeats)
        print(f"decode {file_format} {width}x{height} to {size}: {rate:10,.0f} img/s")


def bench_gather(size: int, repeats: int, rng: np.random.Generator) -> None:
    """Gather random batches of 128 from a memory map."""
    with tempfile.TemporaryDirectory() as folder:
        photos = [photo_bytes(160, 160, "JPEG", rng) for _ in range(512)]
        images = RowImages.from_cells([photos])
        cache, _ = build_image_cache(images, size, memory_limit=0, cache_dir=Path(folder))
        ids = rng.integers(0, len(photos), 128)
        rate = images_per_second(lambda: cache.gather(ids), len(ids), 10 * repeats)
        cache.close()
    print(f"gather {size} px from a memory map: {rate:10,.0f} img/s")


def bench_augmentation(image_size: int, n_images: int, repeats: int, device: str) -> None:
    """Augment one batch: everything on, each change left out, and none."""
    stored = stored_size(image_size)
    pixels = torch.randint(0, 256, (n_images, stored, stored, 3), dtype=torch.uint8, device=device)
    generator = torch.Generator().manual_seed(0)

    def report(name: str, task: Callable[[], torch.Tensor]) -> None:
        # Reading one value waits for the device.
        rate = images_per_second(lambda: task()[-1, 0, 0, 0].item(), n_images, repeats)
        print(f"augment to {image_size} px, {name}: {rate:10,.0f} img/s")

    for name, change in [
        ("all", {}),
        ("no crop", {"crop": None}),
        ("no blur", {"blur": 0}),
        ("no colour", {"color_jitter": 0, "grayscale": 0}),
    ]:
        augmenter = Augmenter(Augmentation.from_param(change), image_size)
        report(name, lambda augmenter=augmenter: augmenter(pixels, generator))
    report("plain", lambda: plain(pixels, image_size))


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    bench_decoding(stored_size(arguments.image_size), arguments.repeats, rng)
    bench_gather(stored_size(arguments.image_size), arguments.repeats, rng)
    bench_augmentation(arguments.image_size, arguments.batch, arguments.repeats, arguments.device)


if __name__ == "__main__":
    main()
