"""A residual multi-layer perceptron: the fast tabular encoder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.dropout import Dropout
from tabimg.nn.initialisation import initialise_rectified


class MLPEncoder(nn.Module):
    """Encode a row's features with a residual multi-layer perceptron.

    Parameters
    ----------
    in_features : int
        Width of a row's feature vector.
    embedding_dim : int, default=256
        Width of the embedding.
    width : int, default=256
        Width of the residual stream; each block's hidden layer is twice as wide.
    n_blocks : int, default=3
        Number of residual blocks.
    dropout : float in [0, 1), default=0.0
        Probability of dropping a hidden unit of a block in training.

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
    The pre-activation residual network of Gorishniy et al., "Revisiting Deep Learning Models for
    Tabular Data", arXiv 2106.11959, section 3.2::

        x <- x + Linear(dropout(ReLU(Linear(BN(x)))))         embedding = Linear(ReLU(BN(x)))
    """

    def __init__(
        self,
        in_features: int,
        embedding_dim: int = 256,
        width: int = 256,
        n_blocks: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(in_features, embedding_dim, width) < 1 or n_blocks < 0:
            raise ValueError(
                "in_features, embedding_dim and width must be at least 1 and n_blocks at least 0, "
                f"got {in_features}, {embedding_dim}, {width}, {n_blocks}"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.embedding_dim = embedding_dim
        self.stem = nn.Linear(in_features, width)
        self.blocks = nn.Sequential(*(_ResidualBlock(width, dropout) for _ in range(n_blocks)))
        self.norm = nn.BatchNorm1d(width)
        initialise_rectified(self)
        # Created after the draw above: no ReLU follows it, so torch's own initial values serve.
        self.out = nn.Linear(width, embedding_dim)

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
        return self.out(F.relu(self.norm(self.blocks(self.stem(features)))))


class _ResidualBlock(nn.Module):
    """x + Linear(dropout(ReLU(Linear(BN(x)))))."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.expand = nn.Linear(width, 2 * width)
        self.dropout = Dropout(dropout)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.relu(self.expand(self.norm(features)))
        return features + self.contract(self.dropout(hidden))
