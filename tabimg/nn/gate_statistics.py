"""How a mixture uses its experts, so that a collapsed one can be noticed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tabimg.nn.molin import PrototypeMixture


class GateStatistics(NamedTuple):
    """How a mixture uses its experts.

    Parameters
    ----------
    entropy : tensor of float, scalar
        Mean entropy of a token's gates in nats: 0 if each token has one expert, log K if all
        experts have equal weight.
    relative_entropy : tensor of float, scalar
        The same divided by log K, in [0, 1]; 1 for a single expert.
    share : tensor of float, shape (K,)
        Mean gate of each expert; sums to 1. One near 1 is a collapsed mixture.
    """

    entropy: Tensor
    relative_entropy: Tensor
    share: Tensor


def gate_statistics(gates: Tensor, mask: Tensor | None = None) -> GateStatistics:
    """Summarise gates over tokens.

    Parameters
    ----------
    gates : tensor of float, shape (..., K)
        As `PrototypeMixture.gates` returns them.
    mask : tensor of bool, shape (...), or None, default=None
        The tokens that count; None: all of them.

    Returns
    -------
    GateStatistics

    Raises
    ------
    ValueError
        If no token counts.
    """
    chosen = (gates.flatten(0, -2) if mask is None else gates[mask]).float()
    if len(chosen) == 0:
        raise ValueError("gate statistics need at least one token, the mask leaves none")
    entropy = -torch.xlogy(chosen, chosen).sum(dim=-1).mean()
    n_experts = chosen.shape[-1]
    relative = entropy / math.log(n_experts) if n_experts > 1 else torch.ones_like(entropy)
    return GateStatistics(entropy, relative, chosen.mean(dim=0))


@contextmanager
def record_gates(network: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Record the gates of every mixture in a network while the block runs.

    Parameters
    ----------
    network : torch.nn.Module
        Any module; its `PrototypeMixture` layers are found automatically.

    Yields
    ------
    dict of str to list of tensors
        A mixture's name in the network to its gates, detached, one tensor (..., K) for each call
        within the block.

    Examples
    --------
    >>> import torch
    >>> from tabimg.nn import PrototypeMixture, record_gates
    >>> mixture = PrototypeMixture(8, n_experts=3)
    >>> with record_gates(mixture) as recorded:
    ...     tokens = mixture(torch.randn(2, 4, 8))
    >>> recorded[""][0].shape
    torch.Size([2, 4, 3])
    """
    recorded: dict[str, list[Tensor]] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, PrototypeMixture):
            recorded[name] = []
            handles.append(module.register_forward_hook(partial(_record, recorded[name])))
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def _record(
    record: list[Tensor], mixture: nn.Module, arguments: tuple[Tensor, ...], output: Tensor
) -> None:
    assert isinstance(mixture, PrototypeMixture)
    # Computed again: a product of width K costs next to nothing compared with the experts.
    with torch.no_grad():
        record.append(mixture.gates(*arguments))
