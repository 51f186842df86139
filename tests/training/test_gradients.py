"""Gradients of parts of a batch equal those of the whole; statistics move once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tabimg.nn import MultiModalNet
from tabimg.objectives import ALONE
from tabimg.training.gradients import CachedGradients, direct_gradients
from tabimg.training.mtcmtm import MTCMTM
from tabimg.training.pairs import BatchBuilder, PairedRows, TrainingBatches
from tabimg.training.pretraining import PretrainingOptions, pretrain
from tabimg.training.streams import LayerStreams

CPU = torch.device("cpu")
METHOD = MTCMTM(1.0, 2.0, 0.3, "l1_ce", 0.1)


@pytest.fixture
def rows(pair_up: Callable[..., PairedRows], encoded: Any, colours: Any) -> PairedRows:
    """Thirty rows, some without a photo, of different weights."""
    table = encoded(30)
    cells = [None if row % 5 == 4 else cell for row, cell in enumerate(colours(table))]
    return pair_up(cells, table, weight=np.linspace(0.5, 2, 30, dtype=np.float32))


def batch_of(rows: PairedRows) -> dict[str, Any]:
    builder = BatchBuilder(rows, METHOD.cell_draw(rows.table), CPU)
    return next(iter(TrainingBatches(builder, np.arange(len(rows)), 30, 0)))


def total(terms: dict[str, Tensor]) -> Tensor:
    return terms["contrastive"] + 2.0 * terms["masked"]


def computed(
    net: MultiModalNet, batch: dict[str, Any], micro_batch_size: int | None, train: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of one batch, in one pass or in parts."""
    objective = METHOD.objective(net, None).train(train)
    streams = LayerStreams(objective, 0, CPU)
    with streams.lent():
        streams.start_epoch(0)
        how: Any = direct_gradients
        if micro_batch_size is not None:
            how = CachedGradients(micro_batch_size, streams, ALONE)
        loss, _ = how(objective, batch, total)
    return loss, {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("micro_batch_size", [4, 7, 30, 100])
def test_cached_gradients_equal_those_of_the_whole_batch(
    micro_batch_size: int, rows: PairedRows, build_net: Callable[..., MultiModalNet]
) -> None:
    batch = batch_of(rows)
    loss, wanted = computed(build_net(rows), batch, None, train=False)
    cached_loss, found = computed(build_net(rows), batch, micro_batch_size, train=False)
    torch.testing.assert_close(cached_loss, loss, rtol=1e-5, atol=0.0)
    assert found.keys() == wanted.keys()
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-5 * largest)


class Drawing(nn.Module):
    """A table encoder that drops cells by torch's own stream and has no batch norm."""

    embedding_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LazyLinear(8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 8))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def test_dropout_is_replayed_in_the_second_pass(
    rows: PairedRows, build_net: Callable[..., MultiModalNet]
) -> None:
    net, batch = build_net(rows), batch_of(rows)
    with torch.no_grad():
        features = net.row_embedding(batch["numeric"], batch["codes"])
        net.tabular_encoder = Drawing()
        net.tabular_encoder(features)
    # Batch norm stays in evaluation mode; dropout is the only thing that draws.
    seen: list[Tensor] = []
    hook = net.tabular_encoder.register_forward_hook(lambda *call: seen.append(call[-1].detach()))
    objective = METHOD.objective(net, None).eval()
    net.tabular_encoder.train()
    streams, before = LayerStreams(objective, 0, CPU), torch.get_rng_state()
    with streams.lent():
        streams.start_epoch(3)
        CachedGradients(10, streams, ALONE)(objective, batch, total)
        after = torch.rand(3)
        streams.start_epoch(3)
        with torch.no_grad():
            first_pass = [net.tabular_encoder(part) for part in features.tensor_split(3)]
        torch.testing.assert_close(torch.rand(3), after, rtol=0, atol=0)
    hook.remove()
    assert torch.equal(torch.get_rng_state(), before)
    for first, replayed in zip(seen[:3], seen[3:6], strict=True):
        assert torch.equal(first, replayed)
    torch.testing.assert_close(torch.cat(seen[:3]), torch.cat(first_pass))
    assert not torch.allclose(seen[0], seen[1])


def test_batch_statistics_move_once_by_all_parts_together(
    rows: PairedRows, build_net: Callable[..., MultiModalNet]
) -> None:
    batch = batch_of(rows)
    nets = [build_net(rows) for _ in range(2)]
    for net, micro_batch_size in zip(nets, [None, 7], strict=True):
        computed(net, batch, micro_batch_size, train=True)
    wanted, found = (dict(net.image_encoder.norm.named_buffers()) for net in nets)
    # It comes after linear layers only, so what it normalises does not depend on the parts.
    assert int(found["num_batches_tracked"]) == 1
    for name, statistic in wanted.items():
        torch.testing.assert_close(found[name], statistic, rtol=1e-5, atol=1e-6)
    assert not torch.equal(found["running_mean"], torch.zeros(8))


def test_pretraining_in_parts_learns_and_is_not_resumed_as_another_run(
    rows: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Callable[..., PretrainingOptions],
) -> None:
    options = pretraining_options(micro_batch_size=4, max_epochs=12, validation_fraction=None)
    history = pretrain(build_net(rows), rows, options)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert options.run.identity() != pretraining_options(max_epochs=12).run.identity()


def test_nothing_left_to_train_is_an_error_in_parts_too(
    rows: PairedRows, build_net: Callable[..., MultiModalNet]
) -> None:
    net = build_net(rows).requires_grad_(False)
    with pytest.raises(ValueError, match="nothing is left to train"):
        computed(net, batch_of(rows), 7, train=True)
