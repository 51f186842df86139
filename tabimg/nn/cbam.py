"""Convolutional block attention over a 1-D signal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CBAM(nn.Module):
    """Channel gate, then spatial gate, over signals of shape (B, C, L).

    Parameters
    ----------
    channels : int
        Number of channels, C.
    reduction : int, default=16
        The channel gate's hidden width is ``max(1, channels // reduction)``.
    kernel_size : int, default=7
        Odd width of the spatial gate's convolution.

    Raises
    ------
    ValueError
        If ``channels`` or ``reduction`` is below 1, or ``kernel_size`` is not odd and positive.

    Notes
    -----
    Woo et al., "CBAM: Convolutional Block Attention Module", arXiv 1807.06521, equations 1-3, with
    one spatial dimension::

        channel gate  s = sigmoid(MLP(mean_l x) + MLP(max_l x)),         x' = s * x
        spatial gate  t = sigmoid(BN(conv([max_c x', mean_c x']))),      y  = t * x'

    One MLP is shared by both pooled vectors.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        if channels < 1 or reduction < 1:
            raise ValueError(
                f"channels and reduction must be at least 1, got {channels} and {reduction}"
            )
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.squeeze = nn.Linear(channels, max(1, channels // reduction))
        self.expand = nn.Linear(self.squeeze.out_features, channels)
        self.spatial = nn.Conv1d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm1d(1)

    def forward(self, signal: Tensor) -> Tensor:
        """Gate a batch of signals.

        Parameters
        ----------
        signal : tensor of float, shape (B, C, L)
            Any memory layout.

        Returns
        -------
        tensor of float, shape (B, C, L)
            The signal times two gates in (0, 1).
        """
        signal = signal * self.channel_gate(signal).unsqueeze(2)
        return signal * self.spatial_gate(signal)

    def channel_gate(self, signal: Tensor) -> Tensor:
        """Weight of each channel, shape (B, C), in (0, 1)."""
        # amax, unlike max, keeps no index: several times faster on CPU.
        scores = self._score(signal.mean(dim=2)) + self._score(signal.amax(dim=2))
        return torch.sigmoid(scores)

    def spatial_gate(self, signal: Tensor) -> Tensor:
        """Weight of each position, shape (B, 1, L), in (0, 1)."""
        summary = torch.stack([signal.amax(dim=1), signal.mean(dim=1)], dim=1)
        return torch.sigmoid(self.norm(self.spatial(summary)))

    def _score(self, pooled: Tensor) -> Tensor:
        return self.expand(F.relu(self.squeeze(pooled)))
