"""Forty cars with photos on disk, and networks that fit them in moments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tabimg.cli import training
from tabimg.cli.app import app
from tabimg.nn.resnet import ResNet

N_ROWS = 60
SMALL = {
    "image_encoder": partial(ResNet, layers=(1, 1, 1, 1), width=4),
    "image_size": 32,
    "max_epochs": 1,
    "tabular_encoder": "mlp",
    "embedding_dim": 8,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with ``cars.csv`` and ``photos/``; two of the prices are missing."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    width = rng.normal(5.0, 2.0, N_ROWS)
    for row in range(N_ROWS):
        pixels = rng.integers(0, 60, size=(24, 24, 3)) + rng.integers(0, 190, size=3)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"{row:03d}.png")
    price = 100 * width**2 + rng.normal(0.0, 10.0, N_ROWS)
    table = pd.DataFrame(
        {
            "width": width,
            "zip": rng.choice([10115, 20095, 80331], N_ROWS),
            "colour": rng.choice(["red", "blue"], N_ROWS),
            "dealer": np.arange(N_ROWS) // 3,
            "photo": [f"{row:03d}.png" for row in range(N_ROWS)],
            "price": np.where(np.arange(N_ROWS) < 2, np.nan, price),
        }
    )
    table.to_csv(tmp_path / "cars.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands train small networks, and no blend."""
    make_pretrainer, make_estimator = training.make_pretrainer, training.make_estimator

    def pretrainer(*arguments: Any, **options: Any) -> Any:
        return make_pretrainer(*arguments, **options).set_params(**SMALL)

    def estimator(*arguments: Any, **options: Any) -> Any:
        found = make_estimator(*arguments, **options)
        return found.set_params(
            finetune="frozen" if found.pretrainer is not None else "full",
            max_epochs=1,
            tabular_encoder="mlp",
            embedding_dim=8,
        )

    # Its own tests are those of `estimate_cost`.
    monkeypatch.setattr(training, "estimate_cost", lambda *rows, **more: "A fit takes moments.")
    monkeypatch.setattr(training, "make_pretrainer", pretrainer)
    monkeypatch.setattr(training, "make_estimator", estimator)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command in this process; the exit code has to be the expected one."""

    def call(*arguments: Any, code: int = 0, stdin: bytes | None = None) -> Result:
        found = CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)
        assert found.exit_code == code, (found.output, found.exception)
        return found

    return call
