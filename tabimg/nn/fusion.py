"""The multi-modal encoder of CITab: a row's cells and its photo in one sequence."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.tabular_transformer import with_cls
from tabimg.nn.transformer_block import FeedForward, TransformerBlock, key_mask


class FusionEncoder(nn.Module):
    """Join an encoded row and the tokens of a photo into one vector.

    Parameters
    ----------
    dim : int
        Width of the row's tokens, D.
    image_dim : int
        Width of the image tokens, C.
    n_heads : int, default=8
        Number of attention heads; divides ``dim``.
    n_layers : int, default=2
        Number of blocks, at least 1.
    feed_forward : callable (dim) -> module, default=FeedForward
        Builds each block's feed-forward layer, a module from (B, T, D) to (B, T, D).

    Attributes
    ----------
    embedding_dim : int
        Width of the fused vector, ``dim``.

    Raises
    ------
    ValueError
        If a size is below 1 or ``n_heads`` does not divide ``dim``.

    Notes
    -----
    Fu et al., arXiv 2512.14026 (CITab): image tokens through a linear layer and layer norm, then
    self-attention over [CLS, cells, image tokens]; the resulting CLS is the multi-modal
    representation. The paper has 4 blocks. The positions of the image tokens are not encoded;
    the convolutions before them see the border of the photo. The last block computes CLS only.
    """

    def __init__(
        self,
        dim: int,
        image_dim: int,
        n_heads: int = 8,
        n_layers: int = 2,
        feed_forward: Callable[[int], nn.Module] = FeedForward,
    ) -> None:
        super().__init__()
        if min(dim, image_dim, n_layers) < 1:
            raise ValueError(
                "dim, image_dim and n_layers must be at least 1, got "
                f"{dim}, {image_dim}, {n_layers}"
            )
        self.embedding_dim = dim
        self.image_adapter = nn.Linear(image_dim, dim)
        self.image_norm = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, n_heads, feed_forward(dim)) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, row_tokens: Tensor, present: Tensor, image_tokens: Tensor) -> Tensor:
        """Fuse a batch of rows with one photo each.

        Parameters
        ----------
        row_tokens : tensor of float, shape (B, 1 + T, D)
            CLS and cells as the tabular encoder returns them.
        present : tensor of bool, shape (B, T)
            The cells that may be attended to.
        image_tokens : tensor of float, shape (B, S, C)
            See `image_tokens`.

        Returns
        -------
        tensor of float, shape (B, D)
            The fused CLS.

        Raises
        ------
        ValueError
            If the shapes do not match.
        """
        _check_batch(row_tokens, present, image_tokens)
        images = self.image_norm(self.image_adapter(image_tokens))
        tokens = torch.cat([row_tokens, images], dim=1)
        allowed = key_mask(F.pad(with_cls(present), (0, images.shape[1]), value=True))
        *first, last = self.blocks
        for block in first:
            tokens = block(tokens, allowed)
        return self.norm(last(tokens, allowed, n_queries=1)).squeeze(1)


def image_tokens(feature_map: Tensor) -> Tensor:
    """Read the positions of a feature map (B, C, H, W) as tokens (B, H * W, C), row by row."""
    return feature_map.flatten(2).transpose(1, 2)


def _check_batch(row_tokens: Tensor, present: Tensor, image_tokens: Tensor) -> None:
    n_rows, n_cells = present.shape
    if row_tokens.ndim != 3 or row_tokens.shape[:2] != (n_rows, 1 + n_cells):
        raise ValueError(
            f"row_tokens must have shape ({n_rows}, 1 + {n_cells}, D): CLS and a token for each "
            f"entry of present, got {tuple(row_tokens.shape)}"
        )
    if image_tokens.ndim != 3 or len(image_tokens) != n_rows:
        raise ValueError(
            f"image_tokens must have shape ({n_rows}, S, C), got {tuple(image_tokens.shape)}"
        )
