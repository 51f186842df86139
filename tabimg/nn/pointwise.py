"""A strided 1x1 convolution that is safe on every processor."""

from __future__ import annotations

from torch import Tensor, nn


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution of every ``step``-th pixel.

    The same function, under the same parameter names, as ``nn.Conv2d(..., kernel_size=1,
    stride=step)``: the pixels in between have no effect, so they are left out before a convolution
    of stride 1.

    Parameters
    ----------
    in_channels, out_channels : int
    step : int, default=1
        Spacing of the pixels that are used, in both directions.
    bias : bool, default=True

    Notes
    -----
    torch 2.13.0 (oneDNN) writes past its buffers in the backward pass of a strided 1x1 convolution
    of fewer than 8 input channels on processors with AVX2 and without AVX-512; at stride 1 it does
    not.
    """

    def __init__(
        self, in_channels: int, out_channels: int, step: int = 1, *, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1, bias=bias)
        self.step = step

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / step), ceil(W / step))."""
        return super().forward(pixels[:, :, :: self.step, :: self.step])
