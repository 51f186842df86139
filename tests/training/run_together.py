"""A program that tests run in several processes at once: ``run_together.py CASE RANK FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch import distributed as dist

from tabimg import CITabPretrainer, MultiModalPretrainer
from tabimg.nn import MLPEncoder
from tabimg.objectives import ALONE, Gathering, InfoNCE
from tabimg.training.architectures import (
    ImageArchitecture,
    PretrainingArchitecture,
    TableArchitecture,
)
from tabimg.training.batch_statistics import synchronised
from tabimg.training.gradients import CachedGradients
from tabimg.training.mtcmtm import MTCMTM
from tabimg.training.processes import Processes, current_processes
from tabimg.training.streams import LayerStreams

SIZE = 2
CPU = torch.device("cpu")


class TinyPhotos(nn.Module):
    """Mean colours of four quarters, a convolution before and batch norm twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.first = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.out = nn.Linear(16, 8)
        self.last = nn.BatchNorm1d(8, momentum=None)

    def forward(self, pixels: Tensor) -> Tensor:
        seen = self.pool(self.first(self.conv(pixels)).relu())
        return self.last(self.out(seen.flatten(1)))


def small_mlp() -> nn.Module:
    """A table encoder without a stream of its own."""
    return MLPEncoder(8, embedding_dim=8, width=16, n_blocks=1, dropout=0.0)


def frame(n_rows: int = 96) -> pd.DataFrame:
    """Rows with photos of their colour; every sixth has none, and two rows share one."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((n_rows, 3)), columns=["a", "b", "c"])
    shades = np.clip(table.to_numpy() * 50 + 128, 0, 255).astype(int)
    photos: list[Any] = [Image.new("RGB", (20, 20), tuple(shade)) for shade in shades.tolist()]
    photos[7] = photos[1]
    return table.assign(photo=[None if row % 6 == 5 else p for row, p in enumerate(photos)])


def pretrainer(kind: str = "mt-cmtm", **changes: Any) -> Any:
    """A pretrainer that fits in a moment, with batch norm, dropout and a validation split."""
    made = MultiModalPretrainer(tabular_encoder="mlp", embedding_dim=8)
    if kind == "citab":
        made = CITabPretrainer(dim=8, n_heads=2, n_layers=1, n_fusion_layers=1, n_experts=2)
    made.set_params(image_column="photo", image_encoder=TinyPhotos, image_size=32)
    made.set_params(projection_dim=8, max_epochs=4, batch_size=16, validation_fraction=0.4)
    return made.set_params(**{"random_state": 3, **changes})


# --- the loss of a joint batch ------------------------------------------------------------------


def joint_batch(n_rows: int = 12) -> dict[str, Any]:
    """A batch with weights, missing cells, rows without a photo, and rows that belong together."""
    generator = torch.Generator().manual_seed(1)
    numeric = torch.randn(n_rows, 3, generator=generator)
    codes = torch.randint(2, 4, (n_rows, 1), generator=generator)
    image_rows = torch.tensor([row for row in range(n_rows) if row not in (2, 9)])
    positives = torch.eye(len(image_rows), dtype=torch.bool)
    positives[0, 7] = positives[7, 0] = True
    return {
        "numeric": numeric,
        "codes": codes,
        "numeric_target": numeric.roll(1, 0),
        "codes_target": codes.roll(1, 0),
        "numeric_mask": torch.rand(n_rows, 3, generator=generator) < 0.4,
        "code_mask": torch.rand(n_rows, 1, generator=generator) < 0.4,
        "weight": torch.tensor([1.0, 2.0, 1.0, 0.0, 0.5, 1.0] * (n_rows // 6)),
        "image_rows": image_rows,
        "positives": positives,
        "pixels": torch.randn(len(image_rows), 3, 16, 16, generator=generator),
    }


def share_of(batch: dict[str, Any], rank: int) -> dict[str, Any]:
    """The first seven rows, or the other ones."""
    rows = slice(0, 7) if rank == 0 else slice(7, None)
    own = torch.nonzero(
        (batch["image_rows"] < 7) if rank == 0 else (batch["image_rows"] >= 7)
    ).squeeze(1)
    of_photos = {"image_rows", "positives", "pixels"}
    share = {name: value[rows] for name, value in batch.items() if name not in of_photos}
    share |= {name: batch[name][own] for name in of_photos}
    share["image_rows"] = share["image_rows"] - rows.start
    return share


def build() -> Any:
    """The same network in all processes."""
    image = ImageArchitecture(TinyPhotos, 16, None)
    table = TableArchitecture(small_mlp, 3, (True, False, False), (4,), 8, dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PretrainingArchitecture(table, image, 8).build()


def gradients(net: Any, batch: Any, processes: Processes, mode: str) -> dict[str, Tensor]:
    """The loss and gradients of a batch or of a share of it, and the statistics afterwards."""
    method = MTCMTM(1.0, 2.0, 0.3, "l1_ce", 0.1)
    objective = method.objective(net, None, processes.gathering).train(mode != "evaluation")
    total = lambda terms: terms["contrastive"] + 2.0 * terms["masked"]  # noqa: E731
    with synchronised(objective, processes.gathering):
        if mode == "cached":
            streams = LayerStreams(objective, 0, CPU)
            loss, _ = CachedGradients(100, streams, processes.gathering)(objective, batch, total)
        else:
            loss = total(objective(batch))
            loss.backward()
    processes.average_gradients(net.parameters())
    found = {f"gradient of {name}": p.grad for name, p in net.named_parameters()}
    found |= {f"statistic {name}": buffer for name, buffer in net.named_buffers()}
    return {**found, "loss": processes.gathering.average(loss.detach())}


def equal_losses(rank: int, folder: Path) -> None:
    """Two shares give the loss, gradients and statistics of the joint batch."""
    batch, together = joint_batch(), current_processes()
    assert together == Processes(Gathering(rank, SIZE))
    for mode in ("evaluation", "training", "cached"):
        joint = gradients(build(), batch, Processes(), mode)
        shared = gradients(build(), share_of(batch, rank), together, mode)
        for name, value in joint.items():
            error = float((shared[name] - value).abs().max())
            assert error <= 1e-5 * max(1.0, float(value.abs().max())), (mode, name, error)
    assert any(value.abs().max() > 1e-3 for name, value in joint.items() if "gradient" in name)
    images, rows = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(2)).double()
    apart = torch.arange(9)[:, None] % 3 != torch.arange(9) % 3
    own = slice(0, 5) if rank == 0 else slice(5, None)
    local = InfoNCE(0.2, together.gathering)(images[own], rows[own], excluded=apart[own])
    joint_loss = InfoNCE(0.2, ALONE)(images, rows, excluded=apart)
    torch.testing.assert_close(together.gathering.average(local), joint_loss)


# --- fits ----------------------------------------------------------------------------------------


def save(fitted: Any, file: Path) -> None:
    """Keep what was fitted, for comparison by the bit."""
    loss = [epoch["train_loss"] for epoch in fitted.history_]
    valid = [epoch["valid_loss"] for epoch in fitted.history_]
    np.savez(file, **fitted.network_.arrays, loss=loss, valid=valid)


def fit(rank: int, folder: Path) -> None:
    """Each process ends with the same; the photos are read by shares."""
    for kind in ("mt-cmtm", "citab"):
        fitted = pretrainer(kind, random_state=None).fit(frame())
        save(fitted, folder / f"{kind}-{rank}.npz")
    cached = pretrainer(micro_batch_size=4, time_limit=60.0, cache_dir=folder / f"cache-{rank}")
    cached.set_params(image_root=folder)
    listed = frame()
    for row, photo in enumerate(listed["photo"]):
        if photo is not None:
            listed.loc[row, "photo"] = f"{row}.png"
            if rank == 0:
                photo.save(folder / f"{row}.png")
    dist.barrier()
    save(cached.fit(listed), folder / f"cached-{rank}.npz")


def refused(rank: int, folder: Path) -> None:
    """Each process is given other rows; then four rows are shared by two."""
    for made, n_rows in [(pretrainer(), 96 + rank), (pretrainer(batch_size=4), 96)]:
        try:
            made.fit(frame(n_rows))
        except ValueError as error:
            print(error, file=sys.stderr)


class EndIn(Callback):
    """Send a signal to the process itself after an epoch."""

    def __init__(self, sent: int) -> None:
        self.sent = sent

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        if len(net.history) == 3:
            os.kill(os.getpid(), self.sent)


def lose(rank: int, folder: Path, sent: int) -> None:
    """The second process ends, or stops, in the third epoch."""
    callbacks = [EndIn(sent)] if rank == 1 else None
    made = pretrainer(checkpoint_dir=folder / "runs", callbacks=callbacks)
    save(made.fit(frame()), folder / f"lost-{rank}.npz")


def resume(rank: int, folder: Path) -> None:
    """Go on where `lose` ended, and compare with a run that never ended."""
    resumed = pretrainer(checkpoint_dir=folder / "runs").fit(frame())
    save(resumed, folder / f"resumed-{rank}.npz")
    save(pretrainer().fit(frame()), folder / f"whole-{rank}.npz")


CASES = {
    "equal_losses": equal_losses,
    "fit": fit,
    "refused": refused,
    "killed": partial(lose, sent=signal.SIGKILL),
    "stopped": partial(lose, sent=signal.SIGSTOP),
    "resume": resume,
}

if __name__ == "__main__":
    case, number, where = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    dist.init_process_group(
        "gloo",
        init_method=f"file://{where}/group-{case}",
        rank=number,
        world_size=SIZE,
        timeout=timedelta(seconds=8 if case == "stopped" else 100),
    )
    CASES[case](number, where)
    dist.destroy_process_group()
