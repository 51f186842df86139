"""The downstream network: a table encoder and a linear head on its features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tabimg.nn.heads import TaskHead
from tabimg.nn.rowwise import rowwise_linear


class TaskNet(nn.Module):
    """A linear head on the table embedding, and on the raw columns if these are given.

    Parameters
    ----------
    encoder : nn.Module
        Maps ``(numeric (B, p), codes (B, q))`` to an embedding (B, embedding_dim).
    embedding_dim : int
    n_columns : int
        Width of the raw columns next to the embedding, 0 for none.
    n_outputs : int
    dropout : float in [0, 1)
        Applied to the standardised features before the head.

    Notes
    -----
    The features are standardised by ``mean`` and ``scale``, two buffers that are set from training
    rows before the head is fitted: embedding and columns are then on an equal footing under one
    penalty.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        embedding_dim: int,
        n_columns: int,
        n_outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_features = embedding_dim + n_columns
        self.encoder = encoder
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.head = TaskHead(n_features, n_outputs, dropout=dropout)

    def raw_features(self, numeric: Tensor, codes: Tensor, columns: Tensor) -> Tensor:
        """Embedding and columns side by side, float32 (B, embedding_dim + n_columns)."""
        return torch.cat([self.encoder(numeric, codes), columns], dim=1)

    def predict(self, numeric: Tensor, codes: Tensor, columns: Tensor) -> Tensor:
        """Return the head's outputs in evaluation mode, float64 (B, n_outputs).

        The head is computed in float64 and row by row, so that a row's result depends only on the
        row's features.
        """
        features = (self.raw_features(numeric, codes, columns) - self.mean) / self.scale
        out = self.head.out
        return rowwise_linear(features.double(), out.weight.double(), out.bias.double())

    def forward(self, numeric: Tensor, codes: Tensor, columns: Tensor) -> Tensor:
        """Return the head's outputs, float32 (B, n_outputs)."""
        features = self.raw_features(numeric, codes, columns)
        return self.head((features - self.mean) / self.scale)
