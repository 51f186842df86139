"""Contrastive loss between paired images and rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.objectives.gathering import ALONE, Gathering
from tabimg.objectives.precision import at_least_float32, weighted_mean


class InfoNCE(nn.Module):
    """Symmetric InfoNCE over a batch of image-row pairs, with several positives per anchor.

    Parameters
    ----------
    temperature : float, default=0.1
        Divides the cosine similarities; greater than 0.
    gathering : Gathering, default=ALONE
        With several processes, each compares its own pairs with those of all processes. The mean of
        what they return is the loss of the joint batch.

    Raises
    ------
    ValueError
        If ``temperature`` is not a finite number greater than 0.

    Notes
    -----
    With L2-normalised projections u of the images and v of the rows, similarities
    ``s_ij = <u_i, v_j> / temperature``, positives P(i), candidates C(i) and weights w, an image's
    term is::

        l_i = -sum_{j in P(i)} t_ij log p_ij
        p_ij = exp(s_ij) / sum_{k in C(i)} w_k exp(s_ik)     t_ij = w_j / sum_{k in P(i)} w_k

    C(i) is the whole batch without the excluded.

    A row's term is the same with the roles exchanged. The loss is the w-weighted mean of the terms,
    half from each side.

    - One positive, equal weights: InfoNCE, van den Oord et al., arXiv 1807.03748, equation 4, made
      symmetric as in Radford et al., arXiv 2103.00020, figure 3.
    - Several positives: the mean of log-probabilities, L_out of Khosla et al., arXiv 2004.11362,
      equation 2. A row identical to the anchor's is not a negative.
    - Weights: an integer weight acts as that many copies of the pair, a weight of 0 as its
      absence. So a factor c common to all weights adds log(c) to the loss, as c-fold repetition
      does, and leaves the gradients unchanged.
    - Excluded pairs are neither pulled together nor pushed apart. An anchor whose only candidates
      are its positives has nothing to be distinguished from.
    """

    def __init__(self, temperature: float = 0.1, gathering: Gathering = ALONE) -> None:
        super().__init__()
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature must be finite and greater than 0, got {temperature}")
        self.temperature = temperature
        self.gathering = gathering

    def forward(
        self,
        image_projection: Tensor,
        table_projection: Tensor,
        positives: Tensor | None = None,
        weight: Tensor | None = None,
        excluded: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        image_projection, table_projection : tensor of float, shape (B, d)
            Entry i of both belongs to pair i. Not normalised. Half precisions are widened to
            float32, also inside autocast.
        positives : tensor of bool, shape (B, B), or None, default=None
            Entry (i, j): image i and row j belong together. The diagonal always counts as True.
            None: the diagonal alone. With several processes the shape is (B, N), where N counts the
            pairs of all, in the order of the ranks, and entry (i, j) also says whether row i and
            image j belong together; the same holds for ``excluded``.
        weight : tensor of float, shape (B,), or None, default=None
            Weight of each pair, at least 0. None: all ones.
        excluded : tensor of bool, shape (B, B), or None, default=None
            Entry (i, j): image i and row j are not to be compared, such as two of different
            cohorts, which are too easy to distinguish. Positives, including the diagonal, stay
            candidates whatever is set here. None: no pair.

        Returns
        -------
        tensor of float, scalar
            Exactly 0 if all weights are 0.

        Raises
        ------
        ValueError
            If a shape or dtype is not as described.
        """
        _check_batch(image_projection, table_projection, weight)
        n_pairs = len(image_projection)
        lengths = self.gathering.lengths(n_pairs, image_projection.device)
        shape = (n_pairs, sum(lengths))
        _check_pairs("positives", positives, shape)
        _check_pairs("excluded", excluded, shape)
        with torch.autocast(image_projection.device.type, enabled=False):
            images = F.normalize(at_least_float32(image_projection), dim=1)
            rows = F.normalize(at_least_float32(table_projection), dim=1)
            weight = images.new_ones(n_pairs) if weight is None else weight.to(images.dtype)
            together = torch.zeros(shape, dtype=torch.bool, device=images.device)
            together.diagonal(sum(lengths[: self.gathering.rank])).fill_(True)
            if positives is not None:
                together = together | positives
            candidates = torch.ones_like(together) if excluded is None else together | ~excluded
            of_images, of_rows = (
                _anchor_terms(*compared)
                for compared in self._sides(images, rows, together, candidates, weight, lengths)
            )
            return weighted_mean(0.5 * of_images + 0.5 * of_rows, weight, self.gathering)

    def _sides(
        self,
        images: Tensor,
        rows: Tensor,
        together: Tensor,
        candidates: Tensor,
        weight: Tensor,
        lengths: list[int],
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield what the images are compared with, and how, and then the rows."""
        if self.gathering.size == 1:
            similarity = images @ rows.T / self.temperature
            yield similarity, together, candidates, weight
            yield similarity.T, together.T, candidates.T, weight
            return
        width = images.shape[1]
        own = torch.cat([images, rows, weight.unsqueeze(1)], dim=1)
        everyone = self.gathering.gather(own, lengths)
        all_images, all_rows, weights = everyone.split([width, width, 1], dim=1)
        weights = weights.detach().squeeze(1)
        yield images @ all_rows.T / self.temperature, together, candidates, weights
        yield rows @ all_images.T / self.temperature, together, candidates, weights


def _anchor_terms(
    similarity: Tensor, positives: Tensor, candidates: Tensor, weight: Tensor
) -> Tensor:
    """Return the term of each anchor, one per row of the (B, N) similarities."""
    # The lowest finite number replaces log 0: with -inf, a batch of zero weights would give NaN.
    lowest = torch.finfo(similarity.dtype).min
    scores = (similarity + weight.log()).masked_fill(~candidates | (weight == 0), lowest)
    targets = positives * weight
    totals = targets.sum(dim=1, keepdim=True)
    targets = targets / torch.where(totals > 0, totals, torch.ones_like(totals))
    return scores.logsumexp(dim=1) - (targets * similarity).sum(dim=1)


def positives_from_ids(*ids: Tensor) -> Tensor:
    """Find which pairs of a batch belong together.

    Parameters
    ----------
    *ids : tensor of int64, shape (B,)
        One or more labellings of the batch, such as keys of the rows' contents, the photos, the
        groups. -1 stands for none and agrees with nothing.

    Returns
    -------
    tensor of bool, shape (B, B)
        True where any labelling agrees, and on the diagonal. Not transitively closed: a row that
        shares its content with one row and its photo with another does not unite those two.

    Raises
    ------
    ValueError
        If there is no labelling, or they are not one-dimensional and of one length.
    """
    if not ids:
        raise ValueError("positives_from_ids needs at least one tensor of ids")
    if any(labels.ndim != 1 or labels.shape != ids[0].shape for labels in ids):
        raise ValueError(
            "ids must be one-dimensional and of one length, got shapes "
            f"{[tuple(labels.shape) for labels in ids]}"
        )
    together = torch.eye(len(ids[0]), dtype=torch.bool, device=ids[0].device)
    for labels in ids:
        agree = labels.unsqueeze(0) == labels.unsqueeze(1)
        together |= agree & (labels != -1)
    return together


def _check_batch(image_projection: Tensor, table_projection: Tensor, weight: Tensor | None) -> None:
    if image_projection.ndim != 2 or image_projection.shape != table_projection.shape:
        raise ValueError(
            "image_projection and table_projection must have one shape (B, d), got "
            f"{tuple(image_projection.shape)} and {tuple(table_projection.shape)}"
        )
    n_pairs = len(image_projection)
    if n_pairs == 0:
        raise ValueError("a contrastive loss needs at least one pair, got an empty batch")
    if weight is not None and weight.shape != (n_pairs,):
        raise ValueError(f"weight must have shape ({n_pairs},), got {tuple(weight.shape)}")


def _check_pairs(name: str, pairs: Tensor | None, shape: tuple[int, int]) -> None:
    if pairs is not None and (pairs.shape != shape or pairs.dtype != torch.bool):
        raise ValueError(
            f"{name} must be bool of shape {shape}, got {pairs.dtype} of shape {tuple(pairs.shape)}"
        )
