"""The README's Python, run as a reader would: with a CSV and a folder of photos at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
README = ROOT / "README.md"


def write_cars(folder: Path) -> None:
    """Write ``cars.csv`` and ``photos/``, as the README's reader has them."""
    from tabimg.datasets import make_cars

    cars = make_cars(n_samples=120, image_dir=folder / "photos", random_state=0)
    photos = cars.data[cars.image_column].map(lambda path: Path(path).name)
    table = cars.data.drop(columns=cars.image_column)
    table.assign(photo=photos, model=cars.target).to_csv(folder / "cars.csv", index=False)


def test_readme_python_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = FENCED.findall(README.read_text("utf-8"))
    assert len(blocks) >= 3
    write_cars(tmp_path)
    monkeypatch.chdir(tmp_path)

    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"<README.md, block {number}>", "exec"), namespace)

    assert len(namespace["prediction"]) == 20
    assert len(namespace["embedding"]) == 20
