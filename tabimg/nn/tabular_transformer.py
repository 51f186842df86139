"""The tabular encoder of CITab: a transformer over the cells of a row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.molin import PrototypeMixture
from tabimg.nn.transformer_block import TransformerBlock, key_mask


class TabularTransformer(nn.Module):
    """Encode a row with any columns from its cell tokens.

    Parameters
    ----------
    dim : int, default=96
        Width of a token, D.
    n_heads : int, default=8
        Number of attention heads; divides ``dim``.
    n_layers : int, default=3
        Number of blocks; 0 leaves the normalised tokens as they are.
    feed_forward : callable (dim) -> module, default=PrototypeMixture
        Builds each block's feed-forward layer, a module from (B, T, D) to (B, T, D). With options:
        ``functools.partial(PrototypeMixture, n_experts=3)``; `FeedForward` gives the ordinary
        transformer.

    Attributes
    ----------
    embedding_dim : int
        Width of the row's embedding, ``dim``.

    Raises
    ------
    ValueError
        If a size is below 1, ``n_layers`` is negative or ``n_heads`` does not divide ``dim``.

    Notes
    -----
    Fu et al., arXiv 2512.14026 (CITab): a learned CLS token in front, layer norm, pre-norm blocks
    with P-MoLin as feed-forward layer; no dropout. Positions are not encoded: the order of the
    columns must not matter. The paper has 4 blocks of width 512; the default here is smaller,
    because tables of a few thousand rows are the common case.
    """

    def __init__(
        self,
        dim: int = 96,
        n_heads: int = 8,
        n_layers: int = 3,
        feed_forward: Callable[[int], nn.Module] = PrototypeMixture,
    ) -> None:
        super().__init__()
        if dim < 1 or n_layers < 0:
            raise ValueError(
                f"dim must be at least 1 and n_layers at least 0, got {dim} and {n_layers}"
            )
        self.embedding_dim = dim
        self.cls = nn.Parameter(torch.randn(dim))
        self.token_norm = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, n_heads, feed_forward(dim)) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Encode a batch of rows.

        Parameters
        ----------
        tokens : tensor of float, shape (B, T, D)
            Cells of a row in any order, finite. T may be 0: a row about which nothing is known.
        present : tensor of bool, shape (B, T)
            False for missing cells and for padding: no other token attends to these. They still
            attend to the others and have an output, from which a missing cell may be predicted.

        Returns
        -------
        tensor of float, shape (B, 1 + T, D)
            The embedding of the row (CLS), then its cells in context.

        Raises
        ------
        ValueError
            If a shape or dtype is not as described.
        """
        self._check_batch(tokens, present)
        # Not `len`, which a trace for export takes for a constant.
        cls = self.cls.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        tokens = self.token_norm(torch.cat([cls, tokens], dim=1))
        allowed = key_mask(with_cls(present))
        for block in self.blocks:
            tokens = block(tokens, allowed)
        return self.norm(tokens)

    def _check_batch(self, tokens: Tensor, present: Tensor) -> None:
        if tokens.ndim != 3 or tokens.shape[2] != self.embedding_dim:
            raise ValueError(
                f"tokens must have shape (B, T, {self.embedding_dim}), got {tuple(tokens.shape)}"
            )
        if present.shape != tokens.shape[:2] or present.dtype != torch.bool:
            raise ValueError(
                f"present must be bool of shape {tuple(tokens.shape[:2])}, got {present.dtype} of "
                f"shape {tuple(present.shape)}"
            )


def with_cls(present: Tensor) -> Tensor:
    """Put CLS, always present, in front: (B, T) to (B, 1 + T), both bool."""
    return F.pad(present, (1, 0), value=True)
