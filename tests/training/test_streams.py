"""What layers draw from while they train."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tabimg.nn import MLPEncoder
from tabimg.nn.dropout import Dropout
from tabimg.training.streams import LayerStreams

CPU = torch.device("cpu")
ONES = torch.ones(30, 20)


class Foreign(nn.Module):
    """Draws from everything that belongs to the process."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.dropout(features, 0.5) * np.random.rand() * random.random()


def masks(module: nn.Module, seed: int, epoch: int) -> torch.Tensor:
    streams = LayerStreams(module, seed, CPU)
    with streams.lent():
        streams.start_epoch(epoch)
        return module(ONES)


def process_streams() -> tuple[object, ...]:
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


@pytest.mark.parametrize("make", [lambda: Dropout(0.5), lambda: nn.Dropout(0.5), Foreign])
def test_draws_belong_to_seed_and_epoch_and_leave_the_process_alone(make: type) -> None:
    before = process_streams()
    drawn = masks(make(), 1, 2)
    assert process_streams() == before
    assert torch.equal(masks(make(), 1, 2), drawn)
    assert not torch.equal(masks(make(), 1, 3), drawn)
    assert not torch.equal(masks(make(), 2, 2), drawn)


def test_generators_are_taken_back_also_after_an_error() -> None:
    encoder = MLPEncoder(3, embedding_dim=4, dropout=0.5)
    with pytest.raises(KeyError), LayerStreams(encoder, 0, CPU).lent():
        assert all(b.dropout.generator is not None for b in encoder.blocks)
        raise KeyError
    assert all(block.dropout.generator is None for block in encoder.blocks)


def test_foreign_streams_are_put_back_after_an_error() -> None:
    before = process_streams()
    streams = LayerStreams(Foreign(), 0, CPU)
    with pytest.raises(KeyError), streams.lent():
        streams.start_epoch(1)
        raise KeyError
    assert process_streams() == before


@pytest.mark.parametrize(
    ("module", "waits"),
    [
        (Foreign(), True),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout2d(0.1)), True),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.1), True),
        (nn.TransformerEncoderLayer(4, 2), True),
        (MLPEncoder(3, embedding_dim=4, dropout=0.5), False),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.ReLU()), False),
    ],
    ids=["foreign", "dropout", "lstm", "transformer", "ours", "torch"],
)
def test_only_networks_that_may_draw_from_the_process_wait_for_each_other(
    module: nn.Module, waits: bool
) -> None:
    def enter() -> None:
        with LayerStreams(module, 0, CPU).lent():
            pass

    with ThreadPoolExecutor(1) as pool:
        with LayerStreams(Foreign(), 0, CPU).lent():
            other = pool.submit(enter)
            done, _ = wait([other], timeout=0.2 if waits else 10)
            assert bool(done) != waits
        other.result(10)
