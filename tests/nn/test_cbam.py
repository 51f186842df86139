from __future__ import annotations

import numpy as np
import pytest
import torch

from tabimg.nn import CBAM


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def numpy_cbam(module: CBAM, signal: np.ndarray) -> np.ndarray:
    """The block in plain numpy, evaluation mode, straight from equations 1-3."""
    weights = {name: value.numpy() for name, value in module.state_dict().items()}

    def score(pooled):
        hidden = np.maximum(pooled @ weights["squeeze.weight"].T + weights["squeeze.bias"], 0.0)
        return hidden @ weights["expand.weight"].T + weights["expand.bias"]

    channel = sigmoid(score(signal.mean(axis=2)) + score(signal.max(axis=2)))
    signal = signal * channel[:, :, None]

    n_rows, _, length = signal.shape
    kernel = weights["spatial.weight"][0]
    reach = kernel.shape[1] // 2
    summary = np.stack([signal.max(axis=1), signal.mean(axis=1)], axis=1)
    spatial = np.zeros((n_rows, length))
    for row in range(n_rows):
        for position in range(length):
            for tap in range(kernel.shape[1]):
                source = position + tap - reach
                if 0 <= source < length:
                    spatial[row, position] += summary[row, :, source] @ kernel[:, tap]
    spatial = (spatial - weights["norm.running_mean"]) / np.sqrt(
        weights["norm.running_var"] + module.norm.eps
    )
    spatial = spatial * weights["norm.weight"] + weights["norm.bias"]
    return signal * sigmoid(spatial)[:, None, :]


def trained(channels: int, **options) -> CBAM:
    """A block with statistics and gains away from their starting values."""
    module = CBAM(channels, **options).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        module.norm.running_mean.fill_(0.3)
        module.norm.running_var.fill_(1.7)
    return module.eval()


@pytest.mark.parametrize(
    ("channels", "options", "length"),
    [(32, {}, 16), (8, {"reduction": 2, "kernel_size": 3}, 5), (4, {}, 3)],
)
def test_output_equals_the_numpy_version(channels, options, length):
    module = trained(channels, **options)
    signal = torch.randn(
        3, channels, length, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    with torch.no_grad():
        result = module(signal).numpy()
    np.testing.assert_allclose(result, numpy_cbam(module, signal.numpy()), rtol=1e-11, atol=1e-13)


def test_channels_last_layout_gives_the_same_output():
    module = trained(8)
    signal = torch.randn(2, 8, 6, dtype=torch.float64)
    last = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(module(last), module(signal), rtol=1e-12, atol=1e-14)


def test_gates_are_between_zero_and_one():
    module = trained(8)
    signal = torch.randn(4, 8, 6, dtype=torch.float64)
    channel, spatial = module.channel_gate(signal), module.spatial_gate(signal)
    assert channel.shape == (4, 8)
    assert spatial.shape == (4, 1, 6)
    for gate in (channel, spatial):
        assert ((gate > 0) & (gate < 1)).all()


def test_fewer_channels_than_the_reduction_keep_one_hidden_unit():
    assert CBAM(4, reduction=16).squeeze.out_features == 1


def test_gradients_agree_with_finite_differences_in_training_mode():
    module = trained(4, reduction=2, kernel_size=3).train()
    signal = torch.randn(
        3, 4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    ).requires_grad_()
    assert torch.autograd.gradcheck(module, (signal,))


def test_invalid_sizes_are_refused():
    with pytest.raises(ValueError, match="kernel_size"):
        CBAM(8, kernel_size=4)
    with pytest.raises(ValueError, match="at least 1"):
        CBAM(0)
