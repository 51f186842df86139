"""Matching loss: does this photo belong to this row? And which pairs to ask about."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.objectives.gathering import ALONE, Gathering
from tabimg.objectives.precision import at_least_float32, weighted_mean


class MatchingLoss(nn.Module):
    """Cross-entropy of distinguishing matched pairs of photo and row from mismatched ones.

    Parameters
    ----------
    gathering : Gathering, default=ALONE
        With several processes the pairs of all of them count.

    Notes
    -----
    Li et al., "Align before Fuse", arXiv 2107.07651 (ALBEF), section 3.2, as Fu et al., arXiv
    2512.14026 (CITab), use it for photos and rows: the fused vector of a pair, a linear layer
    to two logits. Mismatched pairs are drawn by `draw_hard_negatives`, one for each photo and one
    for each row.
    """

    def __init__(self, gathering: Gathering = ALONE) -> None:
        super().__init__()
        self.gathering = gathering

    def forward(self, logits: Tensor, matched: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        logits : tensor of float, shape (N, 2)
            Unnormalised log-probabilities of mismatched (entry 0) and matched (entry 1).
        matched : tensor of bool, shape (N,)
        weight : tensor of float, shape (N,), or None, default=None
            Weight of each pair, at least 0. None: all ones.

        Returns
        -------
        tensor of float, scalar
            Exactly 0, and connected to the logits' graph, if all weights are 0 or N is 0.

        Raises
        ------
        ValueError
            If a shape or dtype is not as described.
        """
        _check_pairs(logits, matched, weight)
        with torch.autocast(logits.device.type, enabled=False):
            logits = at_least_float32(logits)
            terms = F.cross_entropy(logits, matched.long(), reduction="none")
            weight = torch.ones_like(terms) if weight is None else weight.to(terms.dtype)
            return weighted_mean(terms, weight, self.gathering)


def draw_hard_negatives(
    similarity: Tensor, excluded: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw a mismatched row for each photo and a mismatched photo for each row.

    The more similar a photo and a row appear, the more likely they are drawn.

    Parameters
    ----------
    similarity : tensor of float, shape (B, B)
        Entry (i, j): photo i against row j, already divided by the temperature. No gradient flows
        through it.
    excluded : tensor of bool, shape (B, B)
        Entry (i, j): photo i and row j are not negatives of each other, such as two of one group or
        of different cohorts. The diagonal always counts as True.
    generator : torch.Generator
        Source of the draws, on any device.

    Returns
    -------
    row_of_image : tensor of int64, shape (B,)
        For photo i the row j drawn with probability ``softmax_j(similarity[i, j])`` over the rows
        that are not excluded; -1 if all are.
    image_of_row : tensor of int64, shape (B,)
        The same for the rows, over the columns of ``similarity``.

    Raises
    ------
    ValueError
        If a shape or dtype is not as described.

    Notes
    -----
    Li et al., arXiv 2107.07651 (ALBEF), section 3.2. The draw is the largest of ``similarity`` plus
    Gumbel noise (Maddison et al., arXiv 1411.0030), which follows the softmax exactly, even where
    its probabilities underflow.
    """
    _check_similarity(similarity, excluded)
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    excluded = excluded | itself
    similarity = at_least_float32(similarity.detach())
    return (
        _draw_in_rows(similarity, excluded, generator),
        _draw_in_rows(similarity.T, excluded.T, generator),
    )


def _draw_in_rows(similarity: Tensor, excluded: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.empty(similarity.shape, dtype=similarity.dtype, device=generator.device)
    noise = -noise.exponential_(generator=generator).log().to(similarity.device)
    drawn = (similarity + noise).masked_fill(excluded, -torch.inf).argmax(dim=1)
    return drawn.masked_fill(excluded.all(dim=1), -1)


def _check_pairs(logits: Tensor, matched: Tensor, weight: Tensor | None) -> None:
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(f"logits must have shape (N, 2), got {tuple(logits.shape)}")
    n_pairs = len(logits)
    if matched.shape != (n_pairs,) or matched.dtype != torch.bool:
        raise ValueError(
            f"matched must be bool of shape ({n_pairs},), got {matched.dtype} of shape "
            f"{tuple(matched.shape)}"
        )
    if weight is not None and weight.shape != (n_pairs,):
        raise ValueError(f"weight must have shape ({n_pairs},), got {tuple(weight.shape)}")


def _check_similarity(similarity: Tensor, excluded: Tensor) -> None:
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or not len(similarity):
        raise ValueError(
            f"similarity must have shape (B, B) with B at least 1, got {tuple(similarity.shape)}"
        )
    if excluded.shape != similarity.shape or excluded.dtype != torch.bool:
        raise ValueError(
            f"excluded must be bool of shape {tuple(similarity.shape)}, got {excluded.dtype} of "
            f"shape {tuple(excluded.shape)}"
        )
