from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tabimg.nn.same_padding import SamePaddedConv2d


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (8, 7), (1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("groups", [1, 4])
def test_stride_two_takes_every_second_position_of_stride_one(
    kernel: int, size: tuple[int, int], groups: int
) -> None:
    layer = SamePaddedConv2d(4, 8, kernel, stride=2, groups=groups)
    maps = torch.randn(2, 4, *size)
    dense = F.conv2d(maps, layer.weight, padding="same", groups=groups)
    # A side of even length gets its odd zero at the end, so that the first position is the second.
    top, left = ((side + 1) % 2 for side in size)
    torch.testing.assert_close(layer(maps), dense[:, :, top::2, left::2], atol=1e-6, rtol=1e-5)


def test_stride_one_keeps_the_size_and_weights_have_the_names_of_a_convolution() -> None:
    layer = SamePaddedConv2d(4, 4, 5, groups=4)
    maps = torch.randn(2, 4, 6, 3)
    expected = F.conv2d(maps, layer.weight, padding="same", groups=4)
    torch.testing.assert_close(layer(maps), expected, atol=1e-6, rtol=1e-5)
    assert list(layer.state_dict()) == ["weight"]
