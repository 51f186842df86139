"""Linear maps that give a row the same bits wherever it stands."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tabimg.nn.rowwise import NARROW, NarrowLayersRowwise, rowwise_linear


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 9, 64, 131])
def test_rowwise_linear_gives_equal_bits_in_any_order_and_any_memory(
    n_features: int, dtype: torch.dtype
) -> None:
    for n_outputs in (1, 2, 3, 7, 20):
        features, weight = (
            draw(64, n_features, dtype=dtype),
            draw(n_outputs, n_features, dtype=dtype),
        )
        bias = draw(n_outputs, dtype=dtype)
        outputs = rowwise_linear(features, weight, bias)
        order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
        assert torch.equal(rowwise_linear(features[order], weight, bias), outputs[order])
        shifted = torch.empty(64 * n_features + 1, dtype=dtype)[1:].view_as(features)
        assert torch.equal(rowwise_linear(shifted.copy_(features), weight, bias), outputs)
        transposed = features.T.contiguous().T
        assert torch.equal(rowwise_linear(transposed, weight, bias), outputs)


def test_rowwise_linear_is_the_linear_map() -> None:
    features, weight, bias = draw(4, 6, 10), draw(3, 10), draw(3)
    expected = F.linear(features, weight, bias)
    torch.testing.assert_close(rowwise_linear(features, weight, bias), expected)
    torch.testing.assert_close(rowwise_linear(features, weight), F.linear(features, weight))


@pytest.mark.parametrize("n_outputs", [1, NARROW - 1])
def test_narrow_layers_are_computed_row_by_row(n_outputs: int) -> None:
    layer = torch.nn.Linear(9, n_outputs)
    features = draw(64, 9).float()
    with torch.no_grad(), NarrowLayersRowwise():
        outputs = layer(features)
    assert torch.equal(outputs, rowwise_linear(features, layer.weight, layer.bias))


def test_wide_layers_and_other_functions_are_left_alone() -> None:
    layer = torch.nn.Linear(9, NARROW)
    features = draw(64, 9).float()
    expected = layer(features).softmax(dim=1)
    with NarrowLayersRowwise():
        assert torch.equal(layer(features).softmax(dim=1), expected)
