"""Small photos, and the count of those that were decoded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tabimg.image.decoding as decoding
from tabimg.image import read_image


@pytest.fixture
def make_photos(tmp_path: Path) -> Callable[[int], Path]:
    """Make a folder of n photos, ``0.png`` and so on, each of another noise."""

    def make(n_photos: int) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir()
        for seed in range(n_photos):
            noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{seed}.png")
        return folder

    return make


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded so far."""
    names: list[str] = []

    def counted(source: str, *rest: object) -> np.ndarray:
        names.append(os.path.basename(source))
        return read_image(source, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "read_image", counted)
    return names
