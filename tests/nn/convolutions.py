"""Script: compare the gradients of our convolutional networks with those of float64 twins.

Usage: ``python convolutions.py REPEATS WIDTH [WIDTH ...]``. A fault of the kernels may end the
process, so that this is one of its own. The last line counts what was compared.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tabimg.nn import CBAM, ResNet, ResNet1dCBAM
from tabimg.nn.pointwise import PointwiseConv2d
from tabimg.nn.same_padding import SamePaddedConv2d

Case = tuple[str, nn.Module, Tensor]
BATCHES = (2, 17)
TOLERANCE = 1e-4


def layers(width: int) -> Iterator[Case]:
    """Give the single convolutions of a width, on feature maps and on signals."""
    for batch in BATCHES:
        for size in (1, 8):
            for layer in (
                nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
                nn.Conv2d(width, 2 * width, (1, 3), padding=(0, 1)),
                PointwiseConv2d(width, 2 * width, 1, bias=False),
                PointwiseConv2d(width, 2 * width, 2, bias=False),
                PointwiseConv2d(width, 2 * width, 3),
                SamePaddedConv2d(3, width, 3, stride=2),
                SamePaddedConv2d(width, width, 3, groups=width),
                SamePaddedConv2d(width, width, 3, stride=2, groups=width),
                SamePaddedConv2d(width, width, 5, groups=width),
                SamePaddedConv2d(width, width, 5, stride=2, groups=width),
            ):
                maps = torch.randn(batch, layer.in_channels, size, size)
                for name in ("contiguous_format", "channels_last"):
                    layout = getattr(torch, name)
                    moved = copy.deepcopy(layer).to(memory_format=layout)
                    yield f"{layer} {name}", moved, maps.contiguous(memory_format=layout)
            signal = torch.randn(batch, width, 9 * size)
            for layer in (
                nn.Conv1d(width, width, 3, padding=1, bias=False),
                nn.Conv1d(width, 2 * width, 1),
                nn.Conv1d(width, 1, 7, padding=3, bias=False),
            ):
                yield str(layer), layer, signal


def networks(width: int) -> Iterator[Case]:
    """Give the networks of a width.

    EfficientNetLite is not among them: of its many ReLU6 some value is rounded across 0 or 6, which
    changes a gradient by more than rounding does. Its convolutions are.
    """
    for batch in BATCHES:
        # In evaluation mode: batch statistics of single pixels would magnify every rounding.
        network = ResNet(layers=(1, 1, 1, 1), width=width).eval()
        yield f"ResNet {width}", network, torch.randn(batch, 3, 33, 40)
        yield f"ResNet1dCBAM {width}", ResNet1dCBAM(5, 8, width).eval(), torch.randn(batch, 5)
        yield f"CBAM {width}", CBAM(width).eval(), torch.randn(batch, width, 11)


def error(module: nn.Module, inputs: Tensor, repeats: int) -> float:
    """Find the largest error of any gradient, relative to the largest entry of that gradient."""
    twin, exact = copy.deepcopy(module).double(), inputs.double().requires_grad_()
    twin(exact).square().mean().backward()
    for _ in range(repeats):
        module.zero_grad()
        inputs = inputs.detach().requires_grad_()
        module(inputs).square().mean().backward()
    pairs = [(inputs.grad, exact.grad)]
    pairs += [(p.grad, q.grad) for p, q in zip(module.parameters(), twin.parameters(), strict=True)]
    return max(
        float((own.double() - right).abs().max() / right.abs().max().clamp(min=1e-12))
        for own, right in pairs
        if own is not None and right is not None
    )


def main(repeats: int, widths: list[int]) -> None:
    torch.manual_seed(0)
    compared = 0
    for width in widths:
        for name, module, inputs in (*layers(width), *networks(width)):
            found = error(module, inputs, repeats)
            assert found < TOLERANCE, f"{name}, inputs {tuple(inputs.shape)}: {found}"
            compared += 1
    print(f"{compared} gradients compared, widths {widths}, {repeats} backward passes each")


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(width) for width in sys.argv[2:]])
