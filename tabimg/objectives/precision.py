"""Losses are computed in at least single precision, whatever the networks ran in."""

from __future__ import annotations

import torch
from torch import Tensor

from tabimg.objectives.gathering import ALONE, Gathering


def at_least_float32(tensor: Tensor) -> Tensor:
    """Widen float16 and bfloat16 to float32; leave float32 and float64 as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def weighted_mean(values: Tensor, weight: Tensor, gathering: Gathering = ALONE) -> Tensor:
    """Mean of values under non-negative weights; exactly 0 where the weights sum to 0.

    Parameters
    ----------
    values, weight : tensor of float, same shape
        Values must be finite even where their weight is 0.
    gathering : Gathering, default=ALONE
        With several processes the weights of all count: the mean of what they return is the
        weighted mean of all values.

    Returns
    -------
    tensor of float, scalar
        Connected to the graph of ``values`` in all cases.
    """
    total = gathering.average(weight.sum())
    # No branch on the value: reading it would make an accelerator wait.
    return (values * weight).sum() / torch.where(total > 0, total, torch.ones_like(total))
