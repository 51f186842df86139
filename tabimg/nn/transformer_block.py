"""One layer of self-attention in which some tokens may not be attended to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TransformerBlock(nn.Module):
    """Pre-norm self-attention, then a feed-forward layer, each added to the stream.

    Parameters
    ----------
    dim : int
        Width of a token, D.
    n_heads : int
        Number of attention heads; divides ``dim``.
    feed_forward : torch.nn.Module
        Maps normalised tokens (B, T, D) to (B, T, D), each on its own.

    Raises
    ------
    ValueError
        If ``n_heads`` is below 1 or does not divide ``dim``.

    Notes
    -----
    Xiong et al., "On Layer Normalization in the Transformer Architecture", arXiv 2002.04745,
    figure 1b::

        x <- x + Attention(LN(x))         x <- x + FeedForward(LN(x))
    """

    def __init__(self, dim: int, n_heads: int, feed_forward: nn.Module) -> None:
        super().__init__()
        if n_heads < 1 or dim % n_heads:
            raise ValueError(f"n_heads must divide dim, got n_heads={n_heads} and dim={dim}")
        self.n_heads = n_heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = feed_forward

    def forward(self, tokens: Tensor, allowed: Tensor, n_queries: int | None = None) -> Tensor:
        """Transform a batch of token sequences.

        Parameters
        ----------
        tokens : tensor of float, shape (B, T, D)
        allowed : tensor of bool, shape (B, T, T)
            Entry (b, i, j): token i may attend to token j. At least one per row, see `key_mask`.
        n_queries : int or None, default=None
            Compute only the first ``n_queries`` tokens, if a last layer needs no more. None: all.

        Returns
        -------
        tensor of float, shape (B, n_queries or T, D)
        """
        queries = tokens[:, :n_queries]
        queries = queries + self._attend(tokens, allowed[:, :n_queries], n_queries)
        return queries + self.feed_forward(self.feed_forward_norm(queries))

    def _attend(self, tokens: Tensor, allowed: Tensor, n_queries: int | None) -> Tensor:
        normed = self.attention_norm(tokens)
        query = self._heads(self.query(normed[:, :n_queries]))
        key, value = self.key_value(normed).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(
            query, self._heads(key), self._heads(value), allowed.unsqueeze(1)
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _heads(self, tokens: Tensor) -> Tensor:
        """(B, T, D) as (B, n_heads, T, D / n_heads)."""
        return tokens.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """The transformer's plain feed-forward layer: Linear, GELU, Linear.

    Parameters
    ----------
    dim : int
        Width of a token, D.
    hidden : int or None, default=None
        Hidden width; None means ``4 * dim``. `equal_width` gives the one that matches a mixture.

    Raises
    ------
    ValueError
        If a width is below 1.
    """

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = 4 * dim if hidden is None else hidden
        if min(dim, hidden) < 1:
            raise ValueError(f"dim and hidden must be at least 1, got {dim} and {hidden}")
        self.hidden = nn.Linear(dim, hidden)
        self.out = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (..., D) to (..., D), each on its own."""
        return self.out(F.gelu(self.hidden(tokens)))


def key_mask(present: Tensor) -> Tensor:
    """Let every token attend to those that are present, and to itself.

    Parameters
    ----------
    present : tensor of bool, shape (B, T)

    Returns
    -------
    tensor of bool, shape (B, T, T)
        Entry (b, i, j): token i may attend to token j. Absent tokens change no other token.
    """
    itself = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
    return present.unsqueeze(1) | itself
