"""Loss of predicting the cells that the corruption replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from tabimg.objectives.gathering import ALONE, Gathering
from tabimg.objectives.precision import at_least_float32, weighted_mean

MaskLossForm = Literal["l1_ce", "l1"]
_N_SPECIAL_CODES = 2  # 0 = unknown, 1 = missing: never a target


class MaskedCellLoss(nn.Module):
    """Mean loss over the masked cells of a batch.

    Parameters
    ----------
    form : {"l1_ce", "l1"}, default="l1_ce"
        Loss of a categorical cell. ``"l1_ce"``: cross-entropy. ``"l1"``: half the L1 distance
        between the predicted probabilities and the one-hot target, in [0, 1].
    gathering : Gathering, default=ALONE
        With several processes the masked cells of all of them count.

    Raises
    ------
    ValueError
        If ``form`` is not one of these.

    Notes
    -----
    Numeric cells: ``|prediction - target|`` on standardised values, as in Roy et al., arXiv
    2501.07304. The paper's L1 on everything is the form ``"l1"``; the default replaces it on
    categories, where the gradient of L1 vanishes for a confidently wrong prediction.

    Numeric and categorical cells count alike: the loss is the mean over all masked cells, or their
    weighted mean. Missing cells and unknown categories never count, even if a mask says so: they
    have no true value.
    """

    def __init__(self, form: MaskLossForm = "l1_ce", gathering: Gathering = ALONE) -> None:
        super().__init__()
        if form not in get_args(MaskLossForm):
            raise ValueError(f"form must be one of {get_args(MaskLossForm)}, got {form!r}")
        self.form = form
        self.gathering = gathering

    def forward(
        self,
        numeric_prediction: Tensor,
        logits: Sequence[Tensor],
        numeric_target: Tensor,
        codes: Tensor,
        numeric_mask: Tensor,
        code_mask: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        numeric_prediction, numeric_target : tensor of float, shape (B, p)
            Predicted and true standardised values; NaN where the true value is missing.
        logits : sequence of q tensors of float, shapes (B, n_categories)
            Entry k of a row stands for code k + 2.
        codes : tensor of int64, shape (B, q)
            True codes, before corruption.
        numeric_mask, code_mask : tensor of bool, shapes (B, p) and (B, q)
            The corrupted cells.
        weight : tensor of float, shape (B,), or None, default=None
            Weight of each row's cells, at least 0. None: all ones.

        Returns
        -------
        tensor of float, scalar
            Exactly 0, and connected to the predictions' graph, if no cell counts.

        Raises
        ------
        ValueError
            If shapes disagree.
        """
        _check_batch(
            numeric_prediction, logits, numeric_target, codes, numeric_mask, code_mask, weight
        )
        with torch.autocast(numeric_prediction.device.type, enabled=False):
            numeric_prediction = at_least_float32(numeric_prediction)
            cell_loss = _CATEGORY_LOSSES[self.form]
            observed = ~numeric_target.isnan()
            # Filled before the subtraction: a NaN that is masked after it still spoils gradients.
            filled = numeric_target.masked_fill(~observed, 0.0)
            losses = [(numeric_prediction - filled).abs()]
            counted = [numeric_mask & observed]
            for column, column_logits in enumerate(logits):
                if column_logits.shape[1] == 0:
                    continue
                target = codes[:, column : column + 1] - _N_SPECIAL_CODES
                losses.append(cell_loss(at_least_float32(column_logits), target.clamp_min(0)))
                counted.append(code_mask[:, column : column + 1] & (target >= 0))
            cell_weight = torch.cat(counted, dim=1).to(numeric_prediction.dtype)
            if weight is not None:
                cell_weight = cell_weight * weight.to(cell_weight.dtype).unsqueeze(1)
            return weighted_mean(torch.cat(losses, dim=1), cell_weight, self.gathering)


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -logits.log_softmax(dim=1).gather(1, target)


def _half_l1(logits: Tensor, target: Tensor) -> Tensor:
    # The distance is (1 - p_target) on the target and sum(p) - p_target on the rest: twice this.
    return 1.0 - logits.softmax(dim=1).gather(1, target)


_CATEGORY_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1_ce": _cross_entropy,
    "l1": _half_l1,
}


def _check_batch(
    numeric_prediction: Tensor,
    logits: Sequence[Tensor],
    numeric_target: Tensor,
    codes: Tensor,
    numeric_mask: Tensor,
    code_mask: Tensor,
    weight: Tensor | None,
) -> None:
    shapes = [tuple(t.shape) for t in (numeric_prediction, numeric_target, numeric_mask)]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2:
        raise ValueError(
            "numeric_prediction, numeric_target and numeric_mask must have one shape (B, p), got "
            f"{shapes}"
        )
    n_rows = len(numeric_prediction)
    if codes.shape != (n_rows, len(logits)) or code_mask.shape != codes.shape:
        raise ValueError(
            f"codes and code_mask must have shape (B, q) = ({n_rows}, {len(logits)}), got "
            f"{tuple(codes.shape)} and {tuple(code_mask.shape)}"
        )
    for column, column_logits in enumerate(logits):
        if column_logits.ndim != 2 or len(column_logits) != n_rows:
            raise ValueError(
                f"logits of categorical column {column} must have shape ({n_rows}, n_categories), "
                f"got {tuple(column_logits.shape)}"
            )
    if weight is not None and weight.shape != (n_rows,):
        raise ValueError(f"weight must have shape ({n_rows},), got {tuple(weight.shape)}")
