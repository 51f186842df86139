"""Linear maps whose result for a row is bit-equal wherever the row is in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Products with fewer columns go to kernels whose summation order depends on the row's position.
NARROW = 16


def rowwise_linear(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``F.linear`` with one sum for each row and output, always in the same order.

    A matrix product sums in an order that depends on the position of the row in the matrix, and on
    where in memory the matrix lies. For many outputs this function is much slower.

    Parameters
    ----------
    features : tensor of float, shape (..., n_features)
    weight : tensor of float, shape (n_outputs, n_features)
    bias : tensor of float, shape (n_outputs,), or None

    Returns
    -------
    tensor of float, shape (..., n_outputs)
    """
    features = features.contiguous()
    outputs = torch.stack([(features * row).sum(dim=-1) for row in weight.unbind(0)], dim=-1)
    return outputs if bias is None else outputs + bias


class NarrowLayersRowwise(TorchFunctionMode):
    """Inside it, linear layers with fewer than ``NARROW`` outputs are computed row by row."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and _is_narrow(*args, **kwargs):
            return rowwise_linear(*args, **kwargs)
        return func(*args, **kwargs)


def _is_narrow(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    return weight.ndim == 2 and 0 < len(weight) < NARROW
