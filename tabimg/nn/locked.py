"""Image encoders whose pre-trained weights stay as they are, all of them or the earlier ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.dropout import Dropout
from tabimg.nn.library_encoder import LibraryEncoder


class LockedEncoder(nn.Module):
    """Standardise what a fixed image encoder sees in photos.

    The encoder's weights and statistics never change, so that each photo need be seen only once.
    Trained is what follows: a batch normalisation, with dropout in training, since the same few
    features of each photo would otherwise be learned by heart.

    Parameters
    ----------
    backbone : torch.nn.Module
        Maps pixels (B, 3, H, W) to embeddings (B, C). With a method ``feature_map(pixels) -> (B,
        C, H', W')`` it can be asked for several positions.
    width : int
        C.
    grid : int, default=1
        Features are taken from ``grid * grid`` regions of the photo; 1 is the whole photo.
    dropout : float, default=0.25
        Probability that a feature is set to its mean, in training.

    Notes
    -----
    "Locked-image tuning", Zhai et al., "LiT", arXiv 2111.07991, for tables in place of texts.
    """

    def __init__(
        self, backbone: nn.Module, width: int, grid: int = 1, dropout: float = 0.25
    ) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()
        self.width, self.grid = width, grid
        self.standardise = nn.BatchNorm1d(width)
        self.dropout = Dropout(dropout)

    def train(self, mode: bool = True) -> LockedEncoder:
        """Set the mode of all but the fixed encoder, whose statistics stay those of its weights."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """See photos (B, 3, H, W): the fixed encoder's features, (B, grid * grid, C)."""
        if self.grid == 1:
            return self.backbone(pixels).unsqueeze(1)
        backbone: Any = self.backbone
        regions = F.adaptive_avg_pool2d(backbone.feature_map(pixels), self.grid)
        return regions.flatten(2).transpose(1, 2)

    def tokens(self, photos: Tensor) -> Tensor:
        """Encode photos (B, 3, H, W), or their features (B, grid * grid, C), as tokens."""
        features = self.features(photos) if photos.ndim == 4 else photos
        # After the standardisation 0 is the mean.
        return self.dropout(self.standardise(features.transpose(1, 2)).transpose(1, 2))

    def forward(self, photos: Tensor) -> Tensor:
        """Embed photos (B, 3, H, W), or their features (B, grid * grid, C), as (B, C)."""
        return self.tokens(photos).mean(dim=1)


class TunedEncoder(nn.Module):
    """Train the last part of a pre-trained image encoder; the rest stays as it is.

    Parameters
    ----------
    backbone : torch.nn.Module
        Maps pixels (B, 3, H, W) to embeddings (B, C).
    share : float, default=0.5
        The last parts that hold this share of the weights are trained; at least one.
    """

    def __init__(self, backbone: nn.Module, share: float = 0.5) -> None:
        super().__init__()
        self.backbone = backbone
        parts = list(_parts(backbone.model if isinstance(backbone, LibraryEncoder) else backbone))
        counts = [sum(weight.numel() for weight in part.parameters()) for part in parts]
        enough = share * sum(counts)
        self._fixed = [part for n, part in enumerate(parts) if sum(counts[n + 1 :]) >= enough]
        for part in self._fixed:
            part.requires_grad_(False)
        if hasattr(backbone, "feature_map"):
            self.feature_map = backbone.feature_map

    def train(self, mode: bool = True) -> TunedEncoder:
        """Set the mode of what is trained; the statistics of the rest stay those of its weights."""
        super().train(mode)
        for part in self._fixed:
            part.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed photos (B, 3, H, W) as (B, C)."""
        return self.backbone(pixels)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """List the parts of a network that have weights, in the order of their definition."""
    for child in module.children():
        holds_list = any(isinstance(each, nn.ModuleList) for each in child.children())
        if holds_list or isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from _parts(child)
        elif any(True for _ in child.parameters()):
            yield child
