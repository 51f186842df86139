"""Small paired rows, networks and options, for training in fractions of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tabimg.image import Augmentation, Augmenter, RowImages, build_image_cache
from tabimg.nn import MLPEncoder, MultiModalNet
from tabimg.nn.task import TaskNet
from tabimg.table import EncodedTable
from tabimg.training.architectures import (
    ImageArchitecture,
    PretrainingArchitecture,
    TableArchitecture,
    TaskArchitecture,
)
from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.checkpoint_folder import FitFolder
from tabimg.training.finetuning import FinetuningOptions
from tabimg.training.mtcmtm import MTCMTM
from tabimg.training.optimise import RunOptions
from tabimg.training.pairs import PairedRows
from tabimg.training.photo_inputs import PhotoInputs, Pixels, Vectors
from tabimg.training.pretraining import PretrainingOptions

IMAGE_SIZE = 16


class TinyImageEncoder(torch.nn.Module):
    """Mean colours of the four quarters through one layer, batch norm included."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = torch.nn.AdaptiveAvgPool2d(2)
        self.out = torch.nn.Linear(12, 8)
        self.norm = torch.nn.BatchNorm1d(8)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.norm(self.out(self.pool(pixels).flatten(1)))


def small_mlp() -> torch.nn.Module:
    """A table encoder for three numeric columns, one flag of missing cells and four codes."""
    return MLPEncoder(8, embedding_dim=8, width=16, n_blocks=1, dropout=0.1)


@pytest.fixture
def encoded() -> Callable[[int], EncodedTable]:
    """Three standard normal columns, a few cells missing, and one of two categories."""

    def make(n_rows: int, seed: int = 0) -> EncodedTable:
        rng = np.random.default_rng(seed)
        numeric = rng.standard_normal((n_rows, 3)).astype(np.float32)
        if n_rows > 3:
            numeric[3, 0] = np.nan
        return EncodedTable(numeric, rng.integers(2, 4, (n_rows, 1)))

    return make


@pytest.fixture
def pair_up(encoded: Callable[[int], EncodedTable]) -> Callable[..., PairedRows]:
    """Pair rows with image cells; vectors and pictures of the cells' colours both work."""

    def make(cells: list[Any], table: EncodedTable | None = None, **changes: Any) -> PairedRows:
        images: RowImages | None = RowImages.from_cells([cells])
        if images.vectors is None:
            cache, images = build_image_cache(images, 18)
            photos: PhotoInputs = Pixels(cache, Augmenter(Augmentation(), 16))
        else:
            photos = Vectors(images.vectors)
        table = encoded(len(cells)) if table is None else table
        rows = PairedRows(
            table,
            images,
            photos,
            table.row_keys(),
            np.full(len(cells), -1, dtype=np.int64),
            np.ones(len(cells), dtype=np.float32),
        )
        return replace(rows, **changes)

    return make


@pytest.fixture
def colours() -> Callable[[EncodedTable], list[Image.Image]]:
    """One plain picture a row, whose colour is the row's three numbers."""

    def make(table: EncodedTable) -> list[Image.Image]:
        shades = np.clip(np.nan_to_num(table.numeric) * 50 + 128, 0, 255).astype(int)
        return [Image.new("RGB", (20, 20), tuple(shade)) for shade in shades.tolist()]

    return make


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[Callable[[], FitFolder]]:
    """Take over the folder of one fit, as a new process would; the one before is let go."""
    claimed: list[FitFolder] = []

    def make() -> FitFolder:
        for folder in claimed:
            folder.release()
        claimed.append(FitFolder.claim(tmp_path, {"data": "0"}, 0))
        return claimed[-1]

    yield make
    for folder in claimed:
        folder.release()


@pytest.fixture
def run_options() -> Callable[..., RunOptions]:
    """Options of a short run on the CPU."""

    def make(**changes: Any) -> RunOptions:
        options = RunOptions(
            max_epochs=3,
            batch_size=8,
            lr=1e-2,
            weight_decay=1e-4,
            validation_fraction=0.3,
            device=torch.device("cpu"),
            seed=5,
        )
        return replace(options, **changes)

    return make


@pytest.fixture
def pretraining_options(run_options: Callable[..., RunOptions]) -> Callable[..., Any]:
    """Options of a short pre-training; parameters of run and method go in as they are."""

    def make(**changes: Any) -> PretrainingOptions:
        of_run = {k: changes.pop(k) for k in list(changes) if k in RunOptions.__annotations__}
        of_method = {k: changes.pop(k) for k in list(changes) if k in MTCMTM.__annotations__}
        method = MTCMTM(
            lambda_c=1.0, lambda_m=1.0, mask_rate=0.3, mask_loss="l1_ce", temperature=0.1
        )
        options = PretrainingOptions(
            method=replace(method, **of_method),
            augmentation=Augmentation.from_param("default"),
            image_size=IMAGE_SIZE,
            precision="float32",
            compile=False,
            run=run_options(**of_run),
        )
        return replace(options, **changes)

    return make


@pytest.fixture
def table_architecture() -> TableArchitecture:
    """Build the encoder of the `encoded` tables; it has dropout."""
    return TableArchitecture(small_mlp, 3, (True, False, False), (4,), 8, dropout=0.1)


@pytest.fixture
def build_net(table_architecture: TableArchitecture) -> Callable[..., MultiModalNet]:
    """Build the pre-training network for `pair_up` rows from a seed."""

    def make(rows: PairedRows, seed: int = 0) -> MultiModalNet:
        image = None
        if rows.images is not None:
            vectors = rows.images.vectors
            width = None if vectors is None else vectors.shape[1]
            image = ImageArchitecture(TinyImageEncoder, IMAGE_SIZE, width)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return PretrainingArchitecture(table_architecture, image, 8).build()

    return make


@pytest.fixture
def labelled(encoded: Callable[[int], EncodedTable]) -> Callable[..., LabelledRows]:
    """Rows whose target is linear in the table: two classes, or one number."""

    def make(n_rows: int = 40, kind: str = "classes", **changes: Any) -> LabelledRows:
        table = encoded(n_rows)
        score = np.nan_to_num(table.numeric) @ np.array([1.0, -1.0, 0.5], dtype=np.float32)
        target = (score > 0).astype(np.int64) if kind == "classes" else score[:, None]
        rows = LabelledRows(
            Blocks(table, {COLUMNS: np.nan_to_num(table.numeric)}),
            target,
            np.ones(n_rows, dtype=np.float32),
            np.arange(n_rows),
        )
        return replace(rows, **changes)

    return make


@pytest.fixture
def build_task_net(table_architecture: TableArchitecture) -> Callable[..., TaskNet]:
    """Build the network for `labelled` rows from a seed."""

    def make(n_outputs: int = 2, seed: int = 0, dropout: float = 0.1) -> TaskNet:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return TaskArchitecture(table_architecture, 3, n_outputs, dropout).build()

    return make


@pytest.fixture
def finetuning_options(run_options: Callable[..., RunOptions]) -> Callable[..., FinetuningOptions]:
    """Options of a short fine-tuning; parameters of the run go in as they are."""

    def make(patience: int = 20, **of_run: Any) -> FinetuningOptions:
        return FinetuningOptions(0.3, patience, None, run_options(**of_run))

    return make
