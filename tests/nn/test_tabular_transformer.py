from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from tabimg.nn import FeedForward, PrototypeMixture, TabularTransformer, with_cls

FEED_FORWARDS = {
    "mlp": PrototypeMixture,
    "linear": partial(PrototypeMixture, n_experts=3, expert="linear"),
    "plain": FeedForward,
}


@pytest.fixture(params=FEED_FORWARDS)
def network(request) -> TabularTransformer:
    return TabularTransformer(16, 4, 2, FEED_FORWARDS[request.param])


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randn(6, 5, 16)
    present = torch.rand(6, 5) < 0.7
    present[0] = True
    present[1] = False
    return tokens, present


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_output_holds_cls_and_the_cells(network):
    tokens, present = batch()
    assert network(tokens, present).shape == (6, 6, 16)
    assert network.embedding_dim == 16


def test_defaults_are_three_blocks_of_width_96_with_mixtures():
    network = TabularTransformer()
    assert network.embedding_dim == 96
    assert [type(block.feed_forward) for block in network.blocks] == [PrototypeMixture] * 3
    assert {block.n_heads for block in network.blocks} == {8}


def test_without_blocks_cls_and_tokens_are_normalised_in_place():
    network = TabularTransformer(16, 4, 0)
    tokens, present = batch()
    sequence = torch.cat([network.cls.expand(6, 1, 16), tokens], dim=1).double()
    expected = sequence - sequence.mean(dim=2, keepdim=True)
    expected = expected / sequence.std(dim=2, keepdim=True, unbiased=False)
    close(network(tokens, present), expected.float())


def test_order_of_the_columns_leaves_cls_and_moves_the_cells(network):
    tokens, present = batch()
    order = torch.tensor([3, 0, 4, 2, 1])
    output, permuted = network(tokens, present), network(tokens[:, order], present[:, order])
    close(permuted[:, 0], output[:, 0])
    close(permuted[:, 1:], output[:, 1:][:, order])


@pytest.mark.parametrize("garbage", [0.0, 1.0, 1e4, -1e18])
def test_padding_of_any_content_changes_nothing_else(network, garbage):
    tokens, present = batch()
    padding = garbage * torch.randn(6, 3, 16)
    padded = network(
        torch.cat([tokens, padding], dim=1),
        torch.cat([present, torch.zeros(6, 3, dtype=torch.bool)], dim=1),
    )
    assert torch.isfinite(padded).all()
    close(padded[:, :6], network(tokens, present))


def test_content_of_a_missing_cell_changes_its_own_output_alone(network):
    tokens, present = batch()
    present[:, 2] = False
    changed = tokens.clone()
    changed[:, 2] += torch.randn(6, 16)
    before, after = network(tokens, present), network(changed, present)
    others = [0, 1, 2, 4, 5]
    close(after[:, others], before[:, others])
    assert (after[:, 3] - before[:, 3]).abs().amax(dim=1).min() > 0.01


def test_missing_cell_looks_at_the_present_ones(network):
    tokens, present = batch()
    present[0, 1:] = torch.tensor([False, True, True, True])
    changed = tokens.clone()
    changed[0, 4] += torch.randn(16)
    before, after = network(tokens, present), network(changed, present)
    assert (after[0, 2] - before[0, 2]).abs().max() > 1e-3


def test_row_without_any_cell_gives_the_embedding_of_a_row_of_missing_cells(network):
    tokens, present = batch()
    nothing = network(tokens[:, :0], present[:, :0])
    assert nothing.shape == (6, 1, 16)
    close(nothing[1, 0], network(tokens, present)[1, 0])


def test_prediction_of_a_row_does_not_depend_on_its_batch(network):
    tokens, present = batch()
    alone = [network(tokens[i : i + 1], present[i : i + 1]) for i in range(len(tokens))]
    close(torch.cat(alone), network(tokens, present))


def test_gradients_reach_every_parameter(network):
    tokens, present = batch()
    network(tokens, present)[:, 0].pow(3).sum().backward()
    unreached = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


def test_gradients_agree_with_finite_differences():
    network = TabularTransformer(4, 2, 1, partial(PrototypeMixture, n_experts=2)).double()
    tokens = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    present = torch.tensor([[True, False, True], [True, True, True]])
    assert torch.autograd.gradcheck(lambda x: network(x, present), (tokens,))


def test_learning_reduces_the_error_of_an_interaction(network):
    tokens = torch.randn(64, 3, 16)
    present = torch.ones(64, 3, dtype=torch.bool)
    target = tokens[:, 0, :1] * tokens[:, 1, :1]
    head = nn.Linear(16, 1)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(60):
        loss = (head(network(tokens, present)[:, 0]) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * target.var().item()


def test_state_dict_round_trip_gives_equal_output(network):
    tokens, present = batch()
    feed_forward = network.blocks[0].feed_forward
    name = next(
        name
        for name, factory in FEED_FORWARDS.items()
        if feed_forward.state_dict().keys() == factory(16).state_dict().keys()
    )
    other = TabularTransformer(16, 4, 2, FEED_FORWARDS[name])
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(tokens, present), network(tokens, present))


def test_with_cls_puts_a_present_token_in_front():
    assert with_cls(torch.tensor([[False, True]])).tolist() == [[True, False, True]]
    assert with_cls(torch.zeros(2, 0, dtype=torch.bool)).tolist() == [[True], [True]]


def test_wrong_shapes_dtypes_and_sizes_raise(network):
    tokens, present = batch()
    with pytest.raises(ValueError, match=r"tokens must have shape \(B, T, 16\)"):
        network(tokens[..., :8], present)
    with pytest.raises(ValueError, match=r"present must be bool of shape \(6, 5\)"):
        network(tokens, present[:, 1:])
    with pytest.raises(ValueError, match="present must be bool"):
        network(tokens, present.float())
    with pytest.raises(ValueError, match="at least 0"):
        TabularTransformer(16, 4, -1)
    with pytest.raises(ValueError, match="n_heads must divide"):
        TabularTransformer(16, 3)
