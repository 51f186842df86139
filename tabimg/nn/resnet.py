"""The image encoder: a residual network under torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.initialisation import initialise_rectified
from tabimg.nn.pointwise import PointwiseConv2d

_N_STAGES = 4


class ResNet(nn.Module):
    """Residual network of basic blocks, without a classifier.

    Parameters
    ----------
    layers : sequence of 4 int, default=(2, 2, 2, 2)
        Number of basic blocks of each stage; the default is ResNet-18.
    width : int, default=64
        Channels of the first stage; each further stage doubles them.
    zero_init_residual : bool, default=False
        Start each block's last batch-norm gain at 0, so that every block starts as its skip
        connection (Goyal et al., arXiv 1706.02677, section 5.1).

    Attributes
    ----------
    embedding_dim : int
        Width of the pooled output, ``8 * width``.

    Raises
    ------
    ValueError
        If ``layers`` does not hold four counts of at least 1, or ``width`` is below 1.

    Notes
    -----
    He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385, table 1. Parameters
    and buffers have torchvision's names, so that its public weights fit (parameter
    ``image_weights`` of the pretrainers). Batches are converted to the channels-last layout, in
    which CPU convolutions are faster, above all in bfloat16.
    """

    def __init__(
        self,
        layers: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if len(layers) != _N_STAGES or min(layers) < 1:
            raise ValueError(f"layers must hold four counts of at least 1, got {tuple(layers)}")
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.embedding_dim = 8 * width
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, layers[0], stride=1)
        self.layer2 = _stage(width, 2 * width, layers[1], stride=2)
        self.layer3 = _stage(2 * width, 4 * width, layers[2], stride=2)
        self.layer4 = _stage(4 * width, 8 * width, layers[3], stride=2)
        initialise_rectified(self)
        if zero_init_residual:
            for part in self.modules():
                if isinstance(part, _BasicBlock):
                    nn.init.zeros_(part.bn2.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed a batch of images.

        Parameters
        ----------
        pixels : tensor of float, shape (B, 3, H, W)
            Normalised images of any size.

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
        features = F.relu(self.bn1(self.conv1(pixels)))
        features = F.max_pool2d(features, kernel_size=3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        return features


def resnet18() -> ResNet:
    """Build a ResNet-18: 11,176,512 parameters, embeddings of width 512."""
    return ResNet(layers=(2, 2, 2, 2), width=64)


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions plus the skip; attribute names are torchvision's."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                PointwiseConv2d(in_channels, out_channels, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        branch = F.relu(self.bn1(self.conv1(features)))
        return F.relu(self.bn2(self.conv2(branch)) + self.downsample(features))


def _stage(in_channels: int, out_channels: int, n_blocks: int, stride: int) -> nn.Sequential:
    first = _BasicBlock(in_channels, out_channels, stride)
    others = (_BasicBlock(out_channels, out_channels, 1) for _ in range(n_blocks - 1))
    return nn.Sequential(first, *others)
