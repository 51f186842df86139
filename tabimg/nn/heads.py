"""Small networks on top of an embedding, one for each use of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.dropout import Dropout
from tabimg.nn.initialisation import initialise_rectified
from tabimg.nn.row_embedding import N_SPECIAL_CODES


class ProjectionHead(nn.Module):
    """Two-layer perceptron into the space of the contrastive loss.

    Parameters
    ----------
    in_features : int
        Width of the embedding.
    hidden_features : int
        Width of the hidden layer.
    out_features : int, default=128
        Width of the projection.

    Attributes
    ----------
    out_features : int
        Width of the projection.

    Notes
    -----
    Chen et al., "A Simple Framework for Contrastive Learning", arXiv 2002.05709, section 4.2:
    Linear, ReLU, Linear. It has no batch norm, because a batch may hold a single photo. The
    projection is not normalised here; the loss does that.
    """

    def __init__(self, in_features: int, hidden_features: int, out_features: int = 128) -> None:
        super().__init__()
        _check_sizes(in_features, hidden_features, out_features)
        self.out_features = out_features
        self.hidden = nn.Linear(in_features, hidden_features)
        self.out = nn.Linear(hidden_features, out_features)
        initialise_rectified(self.hidden)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map embeddings (B, in_features) to projections (B, out_features)."""
        return self.out(F.relu(self.hidden(embedding)))


class MaskPredictionHead(nn.Module):
    """Predict every cell of a row from its embedding.

    Parameters
    ----------
    in_features : int
        Width of the embedding.
    n_numeric : int
        Number of numeric columns, p.
    cardinalities : sequence of int, length q
        Number of codes of each categorical column, the two special codes (unknown, missing)
        included. These two are never predicted.

    Raises
    ------
    ValueError
        If a size is invalid or there is no column.

    Notes
    -----
    One hidden layer of width ``in_features`` keeps the demands of this task out of the embedding,
    as a projection head does. All columns share one output layer: one matrix product per batch,
    whatever the number of columns. With its small weights the first predictions are near 0: the
    centre of each numeric column, and equal odds for all categories.
    """

    def __init__(self, in_features: int, n_numeric: int, cardinalities: Sequence[int]) -> None:
        super().__init__()
        _check_sizes(in_features)
        if n_numeric == 0 and len(cardinalities) == 0:
            raise ValueError("a mask-prediction head needs at least one column to predict")
        if any(size < N_SPECIAL_CODES for size in cardinalities):
            raise ValueError(
                "cardinalities count the two special codes (unknown, missing), so each must be at "
                f"least 2, got {list(cardinalities)}"
            )
        self.widths = [n_numeric, *(int(size) - N_SPECIAL_CODES for size in cardinalities)]
        self.hidden = nn.Linear(in_features, in_features)
        self.out = nn.Linear(in_features, sum(self.widths))
        initialise_rectified(self.hidden)
        _initialise_near_zero(self.out)

    def forward(self, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Predict the cells of a batch of rows.

        Parameters
        ----------
        embedding : tensor of float, shape (B, in_features)

        Returns
        -------
        numeric : tensor of float, shape (B, p)
            Standardised values.
        logits : list of q tensors of float, shapes (B, cardinality - 2)
            Unnormalised log-probabilities of the categories; entry k stands for code k + 2.
        """
        numeric, *logits = self.out(F.relu(self.hidden(embedding))).split(self.widths, dim=1)
        return numeric, logits


class TaskHead(nn.Module):
    """Predict the target from an embedding, or from any other features.

    Parameters
    ----------
    in_features : int
        Width of the input.
    out_features : int
        Number of outputs: classes (logits) or targets.
    hidden_features : sequence of int, default=()
        Widths of the hidden ReLU layers; none gives a linear head.
    dropout : float in [0, 1), default=0.0
        Probability of dropping an entry of the input of each layer in training.

    Raises
    ------
    ValueError
        If a size is below 1 or ``dropout`` is outside [0, 1).

    Notes
    -----
    The last layer starts near 0, so the first predictions are the centre of a standardised target,
    or equal class probabilities, and the first gradients into a pre-trained encoder are small.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_features: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_sizes(in_features, out_features, *hidden_features)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        widths = [in_features, *hidden_features]
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(widths[-1], out_features)
        initialise_rectified(self.hidden)
        _initialise_near_zero(self.out)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in_features) to outputs (B, out_features)."""
        for layer in self.hidden:
            features = F.relu(layer(self.dropout(features)))
        return self.out(self.dropout(features))


def _initialise_near_zero(layer: nn.Linear) -> None:
    if layer.out_features:
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)


def _check_sizes(*sizes: int) -> None:
    if min(sizes) < 1:
        raise ValueError(f"layer widths must be at least 1, got {sizes}")
