from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax
from torch import nn

from tabimg.nn import FeedForward, PrototypeMixture, equal_width

EXPERTS = ("mlp", "linear")


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy() for name, p in module.double().named_parameters()}


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def mixture_reference(
    w: dict[str, np.ndarray], x: np.ndarray, expert: str
) -> tuple[np.ndarray, np.ndarray]:
    """Gates and output of one token, expert by expert, in float64."""
    gates = softmax(w["prototypes"] @ x)
    n_experts, dim = w["prototypes"].shape
    total = np.zeros(dim)
    for k in range(n_experts):
        if expert == "linear":
            rows = slice(k * dim, (k + 1) * dim)
            output = w["experts.out.weight"][rows] @ x + w["experts.out.bias"][rows]
        else:
            width = len(w["experts.hidden.bias"]) // n_experts
            own = slice(k * width, (k + 1) * width)
            hidden = gelu(w["experts.hidden.weight"][own] @ x + w["experts.hidden.bias"][own])
            output = w["experts.out.weight"][:, own] @ hidden + w["experts.out_bias"][k]
        total += gates[k] * output
    return gates, total


@pytest.mark.parametrize("expert", EXPERTS)
def test_gates_and_output_equal_the_sum_over_separate_experts(expert):
    mixture = PrototypeMixture(6, n_experts=4, expert=expert).double()
    tokens = torch.randn(3, 5, 6, dtype=torch.float64)
    weights = arrays(mixture)
    gates, output = mixture.gates(tokens), mixture(tokens)
    assert gates.shape == (3, 5, 4)
    for i in range(3):
        for j in range(5):
            expected = mixture_reference(weights, tokens[i, j].numpy(), expert)
            np.testing.assert_allclose(gates[i, j].detach().numpy(), expected[0], rtol=1e-12)
            np.testing.assert_allclose(
                output[i, j].detach().numpy(), expected[1], rtol=1e-10, atol=1e-13
            )


@pytest.mark.parametrize("expert", EXPERTS)
def test_float32_is_close_to_the_float64_reference(expert):
    mixture = PrototypeMixture(64, expert=expert)
    tokens = torch.randn(10, 64)
    output = mixture(tokens).detach().numpy()
    weights = arrays(mixture)
    for token, row in zip(tokens.double().numpy(), output, strict=True):
        _, expected = mixture_reference(weights, token, expert)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_one_expert_is_a_feed_forward_layer():
    mixture = PrototypeMixture(6, n_experts=1, expansion=2.0)
    plain = FeedForward(6, 12)
    with torch.no_grad():
        plain.hidden.load_state_dict(mixture.experts.hidden.state_dict())
        plain.out.weight.copy_(mixture.experts.out.weight)
        plain.out.bias.copy_(mixture.experts.out_bias[0])
    tokens = torch.randn(2, 3, 6)
    torch.testing.assert_close(mixture(tokens), plain(tokens))


@pytest.mark.parametrize("expert", EXPERTS)
def test_gradients_reach_every_parameter_prototypes_included(expert):
    mixture = PrototypeMixture(6, n_experts=3, expert=expert)
    mixture(torch.randn(16, 6)).square().sum().backward()
    assert [n for n, p in mixture.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_gradients_agree_with_finite_differences():
    mixture = PrototypeMixture(4, n_experts=3).double()
    tokens = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mixture, (tokens,))


@pytest.mark.parametrize("expert", EXPERTS)
def test_experts_start_as_separate_linear_layers_would(expert):
    mixture = PrototypeMixture(64, n_experts=5, expert=expert)
    width = {"mlp": 112, "linear": 64}[expert]
    weight = mixture.experts.out.weight
    assert weight.abs().max().item() == pytest.approx(width**-0.5, rel=1e-2)
    assert weight.var().item() == pytest.approx(1 / (3 * width), rel=0.05)


def test_prototypes_start_as_xavier_uniform():
    prototypes = PrototypeMixture(600, n_experts=40).prototypes
    assert prototypes.abs().max().item() == pytest.approx((6 / 640) ** 0.5, rel=1e-2)


def test_autocast_mixes_in_half_precision_close_to_single():
    mixture = PrototypeMixture(32, expert="mlp")
    tokens = torch.randn(8, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = mixture(tokens)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), mixture(tokens), rtol=0.1, atol=0.02)


def test_feed_forward_is_linear_gelu_linear():
    layer = FeedForward(6)
    tokens = torch.randn(2, 3, 6, dtype=torch.float64)
    w = arrays(layer)
    hidden = gelu(tokens.numpy() @ w["hidden.weight"].T + w["hidden.bias"])
    assert hidden.shape == (2, 3, 24)
    expected = hidden @ w["out.weight"].T + w["out.bias"]
    np.testing.assert_allclose(layer(tokens).detach().numpy(), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("expert", EXPERTS)
@pytest.mark.parametrize(("dim", "n_experts"), [(192, 5), (16, 3), (512, 5), (1, 1)])
def test_plain_layer_of_equal_width_has_as_many_parameters(expert, dim, n_experts):
    mixture = PrototypeMixture(dim, n_experts, expert=expert)
    plain = FeedForward(dim, equal_width(mixture))

    def size(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert abs(size(plain) - size(mixture)) <= dim + 0.5


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"dim": 0}, "at least 1"),
        ({"dim": 4, "n_experts": 0}, "at least 1"),
        ({"dim": 4, "expansion": 0.0}, "hidden width"),
        ({"dim": 4, "expert": "forest"}, "expert must be one of"),
    ],
)
def test_arguments_out_of_range_raise(arguments, match):
    with pytest.raises(ValueError, match=match):
        PrototypeMixture(**arguments)
    with pytest.raises(ValueError, match="at least 1"):
        FeedForward(4, 0)
