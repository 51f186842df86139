"""An image encoder from another library, which is given photos as it expects them."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.normalisation import IMAGENET_MEAN, IMAGENET_STD

# Maps a model and its pixels to embeddings (B, C) and a map of positions (B, D, h, w) or None.
See = Callable[[nn.Module, Tensor], tuple[Tensor, Tensor | None]]


class LibraryEncoder(nn.Module):
    """Show photos to a model of another library: at its size and with its normalisation.

    If the model knows what is where, and in vectors as wide as its embedding, there is a method
    ``feature_map(pixels) -> (B, C, h, w)``. Its positions are moved together so that their mean is
    the embedding, which a model may take from elsewhere, such as a class token.

    Parameters
    ----------
    model : torch.nn.Module
    see : callable
        ``see(model, pixels)`` returns embeddings (B, C) and a map (B, D, h, w), or None for it.
    size : int
        Height and width that the model was made for. Photos of another size are resized,
        bilinearly and antialiased.
    mean, std : tuple of 3 float
        What the model expects to be subtracted from, and RGB values in [0, 1] to be divided by.
    identity : str, default=""
        Names the model with its configuration: equal weights may belong to unequal models.
    """

    _gain: Tensor
    _shift: Tensor

    def __init__(
        self,
        model: nn.Module,
        see: See,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        identity: str = "",
    ) -> None:
        super().__init__()
        self.model, self._see, self.size, self.identity = model, see, size, identity
        theirs, scale = (torch.tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (mean, std))
        ours, our_scale = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("_gain", our_scale / scale, persistent=False)
        self.register_buffer("_shift", (ours - theirs) / scale, persistent=False)
        if self._knows_positions():
            self.feature_map = self._feature_map

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed images (B, 3, H, W), normalised with ImageNet's constants, as (B, C)."""
        return self._see(self.model, self._prepared(pixels))[0]

    def _feature_map(self, pixels: Tensor) -> Tensor:
        embedding, positions = self._see(self.model, self._prepared(pixels))
        assert positions is not None
        return positions + (embedding - positions.mean(dim=(2, 3)))[:, :, None, None]

    def _prepared(self, pixels: Tensor) -> Tensor:
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels must have shape (B, 3, H, W), got {tuple(pixels.shape)}")
        wanted = (self.size, self.size)
        if pixels.shape[2:] != wanted:
            pixels = F.interpolate(pixels, wanted, mode="bilinear", antialias=True)
        return pixels * self._gain + self._shift

    @torch.no_grad()
    def _knows_positions(self) -> bool:
        """See an image, to learn whether the model gives a map that is as wide as its embedding."""
        self.model.eval()
        embedding, positions = self._see(self.model, torch.zeros(1, 3, self.size, self.size))
        self.model.train()
        return positions is not None and positions.shape[1] == embedding.shape[1]


def token_map(tokens: Tensor) -> Tensor:
    """Arrange tokens (B, T, C) as a map (B, C, h, h), without the class tokens before them."""
    side = isqrt(tokens.shape[1])
    return tokens[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))
