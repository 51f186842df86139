from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tabimg.nn import (
    FeedForward,
    PrototypeMixture,
    TabularTransformer,
    gate_statistics,
    record_gates,
    with_cls,
)


def test_statistics_equal_scipy_over_the_tokens_that_count():
    gates = torch.randn(3, 4, 5).softmax(dim=-1)
    mask = torch.rand(3, 4) < 0.6
    chosen = gates[mask].double().numpy()
    entropy = stats.entropy(chosen, axis=1).mean()
    result = gate_statistics(gates, mask)
    assert result.entropy.item() == pytest.approx(entropy, rel=1e-5)
    assert result.relative_entropy.item() == pytest.approx(entropy / math.log(5), rel=1e-5)
    np.testing.assert_allclose(result.share.numpy(), chosen.mean(axis=0), rtol=1e-5)


def test_no_mask_counts_every_token():
    gates = torch.randn(3, 4, 5).softmax(dim=-1)
    everything = gate_statistics(gates, torch.ones(3, 4, dtype=torch.bool))
    for ours, theirs in zip(gate_statistics(gates), everything, strict=True):
        assert torch.equal(ours, theirs)


def test_even_hard_and_collapsed_gates_are_told_apart():
    even = gate_statistics(torch.full((8, 4), 0.25))
    hard = gate_statistics(torch.eye(4))
    collapsed = gate_statistics(torch.eye(4)[:1].expand(8, -1))
    assert even.entropy.item() == pytest.approx(math.log(4))
    assert even.relative_entropy.item() == pytest.approx(1.0)
    assert hard.entropy.item() == collapsed.entropy.item() == 0.0
    assert hard.share.tolist() == [0.25] * 4
    assert collapsed.share.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_single_expert_has_a_relative_entropy_of_one():
    result = gate_statistics(torch.ones(3, 1))
    assert (result.entropy.item(), result.relative_entropy.item()) == (0.0, 1.0)


def test_mask_that_leaves_no_token_raises():
    with pytest.raises(ValueError, match="at least one token"):
        gate_statistics(torch.ones(2, 3), torch.zeros(2, dtype=torch.bool))


def test_recorded_gates_are_those_of_each_layer_and_call():
    network = TabularTransformer(8, n_heads=2, n_layers=2)
    tokens, present = torch.randn(3, 4, 8), torch.ones(3, 4, dtype=torch.bool)
    seen: list[torch.Tensor] = []
    first = network.blocks[0].feed_forward
    handle = first.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with record_gates(network) as recorded:
        output = network(tokens, present)
        network(tokens[:1], present[:1])
    handle.remove()
    assert list(recorded) == ["blocks.0.feed_forward", "blocks.1.feed_forward"]
    gates, of_one_row = recorded["blocks.0.feed_forward"]
    assert gates.shape == (3, 5, 5)
    assert of_one_row.shape == (1, 5, 5)
    assert torch.equal(gates, first.gates(seen[0]))
    assert not gates.requires_grad
    assert gate_statistics(gates, with_cls(present)).share.sum().item() == pytest.approx(1.0)
    assert torch.equal(network(tokens, present), output)


def test_recording_ends_with_its_block_also_after_an_error():
    mixture = PrototypeMixture(4)
    with pytest.raises(RuntimeError), record_gates(mixture) as recorded:
        mixture(torch.zeros(2, 3))
    mixture(torch.zeros(2, 4))
    assert recorded == {"": []}


def test_network_without_mixture_records_nothing():
    with record_gates(FeedForward(4)) as recorded:
        pass
    assert recorded == {}
