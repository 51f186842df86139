"""Convolutions padded as TensorFlow pads, for weights that were trained there."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SamePaddedConv2d(nn.Conv2d):
    """A convolution with a map of ``ceil(size / stride)`` positions along each side.

    The zeros that this takes are split evenly between both ends of a side. Where their number is
    odd, the end gets one more than the start: in strided convolutions of sides of even length,
    which ``nn.Conv2d(padding=...)`` cannot do.

    Parameters
    ----------
    in_channels, out_channels, kernel_size : int
    stride : int, default=1
    groups : int, default=1

    Notes
    -----
    There is no bias. Parameter names are those of ``nn.Conv2d``. This is the padding "SAME" of
    TensorFlow's ``tf.nn.convolution``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        (top, bottom), (left, right) = map(self._zeros, features.shape[-2:])
        # What both ends have in common is left to the convolution: it needs no padded copy.
        if bottom > top or right > left:
            features = F.pad(features, [0, right - left, 0, bottom - top])
        return F.conv2d(
            features, self.weight, None, self.stride, padding=(top, left), groups=self.groups
        )

    def _zeros(self, size: int) -> tuple[int, int]:
        """Count the zeros before and behind a side of ``size`` positions."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2
