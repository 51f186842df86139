from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tabimg.nn import CBAM, MLPEncoder, ResNet1dCBAM

SMALL = {
    "resnet1d_cbam": lambda **options: ResNet1dCBAM(
        5, embedding_dim=7, channels=16, length=4, n_blocks=2, **options
    ),
    "mlp": lambda **options: MLPEncoder(5, embedding_dim=7, width=8, n_blocks=2, **options),
}


@pytest.fixture(params=SMALL)
def build(request):
    return SMALL[request.param]


def rows(n_rows: int = 16) -> torch.Tensor:
    return torch.randn(n_rows, 5, generator=torch.Generator().manual_seed(0))


def test_embedding_has_the_declared_width(build):
    encoder = build()
    assert encoder(rows()).shape == (16, encoder.embedding_dim) == (16, 7)


def test_gradients_reach_every_parameter(build):
    encoder = build()
    encoder(rows(64)).square().sum().backward()
    unreached = [
        name
        for name, parameter in encoder.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert unreached == []


def test_prediction_of_a_row_does_not_depend_on_its_batch(build):
    encoder = build().eval()
    batch = rows()
    with torch.no_grad():
        together = encoder(batch)
        alone = torch.cat([encoder(row) for row in batch.split(1)])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_finite_differences(build):
    encoder = build().double().eval()
    batch = rows(3).double().requires_grad_()
    assert torch.autograd.gradcheck(encoder, (batch,))


def test_embeddings_of_standard_rows_start_neither_vanishing_nor_exploding(build):
    with torch.no_grad():
        scale = build()(rows(256)).std().item()
    assert 0.05 < scale < 20


def test_dropout_acts_in_training_only(build):
    encoder = build(dropout=0.5)
    batch = rows()
    assert not torch.equal(encoder(batch), encoder(batch))
    encoder.eval()
    assert torch.equal(encoder(batch), encoder(batch))


@pytest.mark.parametrize("options", [{"dropout": 1.0}, {"dropout": -0.1}])
def test_dropout_out_of_range_raises(build, options):
    with pytest.raises(ValueError, match="dropout"):
        build(**options)


@pytest.mark.parametrize("encoder", [ResNet1dCBAM, MLPEncoder])
def test_sizes_out_of_range_raise(encoder):
    with pytest.raises(ValueError, match="at least 1"):
        encoder(0)
    with pytest.raises(ValueError, match="at least 0"):
        encoder(4, n_blocks=-1)


def test_learning_reduces_the_error_of_a_simple_target(build):
    encoder = build()
    batch = rows(128)
    target = batch[:, :1] * batch[:, 1:2]
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-2)
    errors = []
    for _ in range(60):
        error = F.mse_loss(encoder(batch)[:, :1], target)
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.2 * errors[0]


def test_default_sizes_are_those_of_the_method():
    encoder = ResNet1dCBAM(10)
    assert encoder(torch.randn(2, 10)).shape == (2, 256)
    assert encoder.stem.out_features == 64 * 16
    assert len(encoder.blocks) == 3
    assert sum(isinstance(part, CBAM) for part in encoder.modules()) == 3


def test_identity_attention_gives_a_network_without_cbam_parameters():
    plain = ResNet1dCBAM(5, channels=16, length=4, n_blocks=2, attention=nn.Identity)
    attentive = ResNet1dCBAM(5, channels=16, length=4, n_blocks=2)

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(attentive) - count(plain) == 2 * count(CBAM(16))
    assert plain(rows()).shape == (16, 256)


def test_attention_module_keeps_its_own_starting_values():
    def zero_attention(channels):
        layer = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(layer.weight)
        return layer

    encoder = ResNet1dCBAM(5, channels=4, length=4, attention=zero_attention)
    assert not encoder.blocks[0].attention.weight.any()


def test_blocks_equal_one_dimensional_convolutions():
    encoder = SMALL["resnet1d_cbam"](attention=nn.Identity).double().eval()
    batch = rows(6).double()
    with torch.no_grad():
        signal = F.relu(encoder.stem_norm(encoder.stem(batch)))
        signal = signal.reshape(6, 4, 16).transpose(1, 2)
        for block in encoder.blocks:
            branch = F.conv1d(signal, block.conv1.weight.squeeze(2), padding=1)
            branch = F.relu(_normalise(branch, block.norm1))
            branch = F.conv1d(branch, block.conv2.weight.squeeze(2), padding=1)
            signal = F.relu(signal + _normalise(branch, block.norm2))
        pools = [signal.mean(2), signal.max(2).values]
        expected = encoder.out(torch.cat([signal.reshape(6, 64), *pools], dim=1))
        torch.testing.assert_close(encoder(batch), expected, rtol=1e-10, atol=1e-12)


def _normalise(signal: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    return F.batch_norm(
        signal, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )


def test_mlp_equals_its_formula_in_numpy():
    encoder = SMALL["mlp"]().double().eval()
    batch = rows(4).double()
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normalise(x, name):
        spread = np.sqrt(weights[f"{name}.running_var"] + 1e-5)
        x = (x - weights[f"{name}.running_mean"]) / spread
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = linear(batch.numpy(), "stem")
    for block in ("blocks.0", "blocks.1"):
        hidden = np.maximum(linear(normalise(x, f"{block}.norm"), f"{block}.expand"), 0.0)
        x = x + linear(hidden, f"{block}.contract")
    expected = linear(np.maximum(normalise(x, "norm"), 0.0), "out")
    with torch.no_grad():
        np.testing.assert_allclose(encoder(batch).numpy(), expected, rtol=1e-10, atol=1e-12)
