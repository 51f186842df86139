"""The tabular encoder of MT-CMTM: a 1-D residual network with attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.cbam import CBAM
from tabimg.nn.dropout import Dropout
from tabimg.nn.initialisation import initialise_rectified


class ResNet1dCBAM(nn.Module):
    """Encode a row's features with 1-D convolutions, residual connections and attention.

    Parameters
    ----------
    in_features : int
        Width of a row's feature vector, F.
    embedding_dim : int, default=256
        Width of the embedding.
    channels : int, default=64
        Channels of the signal, C.
    length : int, default=16
        Length of the signal, L.
    n_blocks : int, default=3
        Number of residual blocks.
    dropout : float in [0, 1), default=0.0
        Probability of dropping an entry of the embedding in training.
    attention : callable (channels) -> module, default=CBAM
        Builds each block's attention, a module from (B, C, L) to (B, C, L). ``torch.nn.Identity``
        gives the network without attention.

    Attributes
    ----------
    embedding_dim : int
        Width of the embedding.

    Raises
    ------
    ValueError
        If a size is below 1, ``n_blocks`` is negative or ``dropout`` is outside [0, 1).

    Notes
    -----
    Roy et al., arXiv 2501.07304 (1D-ResNet-CBAM, whose sizes the paper leaves open). Stem: linear
    expansion to C * L, batch norm, ReLU, seen as a signal of C channels. Body: ``n_blocks`` times
    conv3-BN-ReLU-conv3-BN-attention, plus the skip, ReLU. Out: the whole signal next to its global
    mean and max, linear. Unlike in a time series, each position of a row's expansion has its own
    meaning, which pooling alone would lose.

    The convolutions are 2-D with a (1 x 3) kernel over a channels-last image of height one. That is
    the same map as a 1-D convolution, and on CPU it trains about 1.2 times and predicts 1.6 to 1.8
    times as fast (tests/benchmarks/bench_modules.py).
    """

    def __init__(
        self,
        in_features: int,
        embedding_dim: int = 256,
        channels: int = 64,
        length: int = 16,
        n_blocks: int = 3,
        dropout: float = 0.0,
        attention: Callable[[int], nn.Module] = CBAM,
    ) -> None:
        super().__init__()
        if min(in_features, embedding_dim, channels, length) < 1 or n_blocks < 0:
            raise ValueError(
                "in_features, embedding_dim, channels and length must be at least 1 and n_blocks "
                f"at least 0, got {in_features}, {embedding_dim}, {channels}, {length}, {n_blocks}"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.embedding_dim = embedding_dim
        self.channels = channels
        self.length = length
        # The batch norm's shift takes the place of the stem's bias.
        self.stem = nn.Linear(in_features, channels * length, bias=False)
        self.stem_norm = nn.BatchNorm1d(channels * length)
        self.blocks = nn.Sequential(
            *(_ResidualBlock(channels, attention(channels)) for _ in range(n_blocks))
        )
        initialise_rectified(self.stem)
        # No ReLU follows it: torch's own initial values serve.
        self.out = nn.Linear(channels * (length + 2), embedding_dim)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Embed a batch of rows.

        Parameters
        ----------
        features : tensor of float, shape (B, in_features)
            In training mode B must be at least 2 (batch norm).

        Returns
        -------
        tensor of float, shape (B, embedding_dim)
        """
        expanded = F.relu(self.stem_norm(self.stem(features)))
        # Reading the expansion as (L, C) makes the (B, C, 1, L) view channels-last without a copy.
        signal = expanded.view(-1, 1, self.length, self.channels).permute(0, 3, 1, 2)
        signal = self.blocks(signal).squeeze(2)
        pooled = torch.cat([signal.flatten(1), signal.mean(dim=2), signal.amax(dim=2)], dim=1)
        return self.dropout(self.out(pooled))


class _ResidualBlock(nn.Module):
    """conv3-BN-ReLU-conv3-BN-attention plus the skip, over (B, C, 1, L)."""

    def __init__(self, channels: int, attention: nn.Module) -> None:
        super().__init__()
        self.conv1 = _convolution(channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels)
        self.norm2 = nn.BatchNorm2d(channels)
        initialise_rectified(self)
        # Set after the draw above: an attention module chooses its own initial values.
        self.attention = attention

    def forward(self, signal: Tensor) -> Tensor:
        branch = F.relu(self.norm1(self.conv1(signal)))
        branch = self.norm2(self.conv2(branch))
        branch = self.attention(branch.squeeze(2)).unsqueeze(2)
        return F.relu(signal + branch)


def _convolution(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False)
