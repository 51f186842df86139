"""Speed of the networks and losses, in samples per second.

Run: ``OMP_NUM_THREADS=1 python tests/benchmarks/bench_modules.py [--seconds 1] [--image-size 64]``

Each figure is the median over repeated calls after two warm-up calls; "train" is forward and
backward. The table encoder is measured against the same network built on Conv1d over contiguous
signals, the choice it was weighed against.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn import MaskPredictionHead, MLPEncoder, ResNet1dCBAM, RowEmbedding, resnet18
from tabimg.nn.cbam import CBAM
from tabimg.objectives import InfoNCE, MaskedCellLoss, positives_from_ids

N_FEATURES = 40
BATCH = 256


class Conv1dEncoder(nn.Module):
    """ResNet1dCBAM's default network with Conv1d in place of channels-last Conv2d."""

    def __init__(self, attention: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Linear(N_FEATURES, 64 * 16, bias=False)
        self.stem_norm = nn.BatchNorm1d(64 * 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(64, 64, 3, padding=1, bias=False),
                nn.BatchNorm1d(64),
                nn.ReLU(),
                nn.Conv1d(64, 64, 3, padding=1, bias=False),
                nn.BatchNorm1d(64),
                attention(64),
            )
            for _ in range(3)
        )
        self.out = nn.Linear(128, 256)

    def forward(self, features: Tensor) -> Tensor:
        signal = F.relu(self.stem_norm(self.stem(features))).view(-1, 64, 16)
        for block in self.blocks:
            signal = F.relu(signal + block(signal))
        return self.out(torch.cat([signal.mean(dim=2), signal.amax(dim=2)], dim=1))


def median_seconds(call: Callable[[], object], budget: float) -> float:
    for _ in range(2):
        call()
    times: list[float] = []
    while sum(times) < budget or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_encoder(name: str, module: nn.Module, batch: Tensor, budget: float) -> None:
    """Print training and prediction speed, in float32 and under bfloat16 autocast."""
    for label, enabled in (("float32", False), ("bfloat16", True)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            module.train()
            train = median_seconds(lambda: module(batch).float().square().mean().backward(), budget)
            module.eval()
            with torch.no_grad():
                predict = median_seconds(lambda: module(batch), budget)
        print(
            f"{name:44s} {label:9s} train {len(batch) / train:9,.0f}/s   "
            f"predict {len(batch) / predict:9,.0f}/s"
        )


def measure_step(name: str, loss: Callable[[], Tensor], n_samples: int, budget: float) -> None:
    seconds = median_seconds(lambda: loss().backward(), budget)
    print(
        f"{name:44s} {'float32':9s} train {n_samples / seconds:9,.0f}/s   ({seconds * 1e3:.2f} ms)"
    )


def tabular_encoders(budget: float) -> None:
    rows = torch.randn(BATCH, N_FEATURES)
    for label, attention in (("CBAM", CBAM), ("no attention", nn.Identity)):
        encoder = ResNet1dCBAM(N_FEATURES, attention=attention)
        measure_encoder(f"1D ResNet, {label}", encoder, rows, budget)
        measure_encoder(f"1D ResNet, {label}, as Conv1d", Conv1dEncoder(attention), rows, budget)
    measure_encoder("MLP", MLPEncoder(N_FEATURES), rows, budget)
    single = ResNet1dCBAM(N_FEATURES).eval()
    with torch.no_grad():
        seconds = median_seconds(lambda: single(rows[:1]), budget)
    print(f"{'1D ResNet, CBAM: one row':44s} float32   {seconds * 1e6:.0f} us")


def image_encoder(budget: float, size: int) -> None:
    pixels = torch.randn(64, 3, size, size)
    measure_encoder(f"ResNet-18, {size} px", resnet18(), pixels, budget)
    weights_last = resnet18().to(memory_format=torch.channels_last)
    measure_encoder(f"ResNet-18, {size} px, weights channels-last", weights_last, pixels, budget)


def table_parts(budget: float) -> None:
    numeric = torch.randn(BATCH, 13)
    numeric[torch.rand(BATCH, 13) < 0.1] = float("nan")
    cardinalities = [22, 13, 5, 14, 300, 1024]
    codes = torch.stack([torch.randint(0, size, (BATCH,)) for size in cardinalities], dim=1)
    embedding = RowEmbedding(13, [True] * 13, cardinalities)
    measure_step("row embedding", lambda: embedding(numeric, codes).sum(), BATCH, budget)
    head = MaskPredictionHead(256, 13, cardinalities)
    hidden = torch.randn(BATCH, 256, requires_grad=True)
    masks = torch.rand(BATCH, 13) < 0.3, torch.rand(BATCH, 6) < 0.3
    for form in ("l1_ce", "l1"):
        loss = MaskedCellLoss(form)
        measure_step(
            f"mask head and masked-cell loss, {form}",
            lambda loss=loss: loss(*head(hidden), numeric, codes, *masks),
            BATCH,
            budget,
        )


def contrastive(budget: float) -> None:
    for n_pairs in (128, 512, 2048):
        images = torch.randn(n_pairs, 128, requires_grad=True)
        rows = torch.randn(n_pairs, 128, requires_grad=True)
        ids = torch.randint(0, n_pairs // 2, (n_pairs,))
        measure_step(
            f"InfoNCE and positives, {n_pairs} pairs",
            lambda images=images, rows=rows, ids=ids: InfoNCE()(
                images, rows, positives_from_ids(ids)
            ),
            n_pairs,
            budget,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="time spent on each figure")
    parser.add_argument("--image-size", type=int, default=64)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)")
    table_parts(arguments.seconds)
    contrastive(arguments.seconds)
    tabular_encoders(arguments.seconds)
    image_encoder(arguments.seconds, arguments.image_size)


if __name__ == "__main__":
    main()
