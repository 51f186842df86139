"""Peak memory of reading one large photo, in bytes per pixel above what the process holds anyway.

    python tests/benchmarks/bench_photo_memory.py [MEGAPIXELS]

Each photo is read in a process of its own. Linux only: the peak is that of /proc.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

# Format, mode, and what it is saved with.
KINDS: list[tuple[str, str, dict[str, object]]] = [
    ("JPEG", "RGB", {"quality": 90}),
    ("JPEG", "RGB", {"quality": 90, "progressive": True, "subsampling": 0}),
    ("JPEG", "CMYK", {"quality": 90}),
    ("PNG", "RGB", {"compress_level": 1}),
    ("PNG", "RGBA", {"compress_level": 1}),
    ("PNG", "P", {"compress_level": 1, "transparency": 0}),
    ("PNG", "I;16", {"compress_level": 1}),
    ("WEBP", "RGB", {"quality": 50, "method": 0}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "F", {}),
    ("JPEG2000", "RGB", {}),
]
READ = """
import re, sys
from tabimg.image.reader import read_image

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

read_image(sys.argv[2], 64)  # what is imported on first use
before = peak()
read_image(sys.argv[1], 64)
print(peak() - before)
"""


def main() -> None:
    megapixels = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    side = round((megapixels * 1e6) ** 0.5)
    grain = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    photo = Image.fromarray(grain).resize((side, side))
    print(f"{side} x {side} pixels; bytes per pixel at the peak")
    with tempfile.TemporaryDirectory() as folder:
        for format_, mode, options in KINDS:
            peak = measure(Path(folder), photo, format_, mode, options)
            print(f"{describe(format_, mode, options):24s} {peak:6.1f}", flush=True)


def describe(format_: str, mode: str, options: dict[str, object]) -> str:
    return f"{format_} {mode}{' progressive' if 'progressive' in options else ''}"


def measure(
    folder: Path, photo: Image.Image, format_: str, mode: str, options: dict[str, object]
) -> float:
    path, small = folder / "large", folder / "small"
    deep = photo.convert("L")
    image = Image.fromarray(np.asarray(deep, np.uint16) * 257) if mode == "I;16" else None
    image = image or (deep.convert("F") if mode == "F" else photo.convert(mode))
    image.save(path, format_, **options)
    image.resize((64, 64)).save(small, format_, **options)
    run = subprocess.run(
        [sys.executable, "-c", READ, str(path), str(small)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(run.stdout) / (image.width * image.height)


if __name__ == "__main__":
    main()
