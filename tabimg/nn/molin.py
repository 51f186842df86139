"""P-MoLin: a feed-forward layer as a mixture of experts, gated by prototypes."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Expert = Literal["mlp", "linear"]


class PrototypeMixture(nn.Module):
    """Prototype-guided mixture of linear layers (P-MoLin), in place of a feed-forward layer.

    Parameters
    ----------
    dim : int
        Width of a token, D.
    n_experts : int, default=5
        Number of experts, K.
    expansion : float, default=1.75
        Hidden width of an ``"mlp"`` expert as a multiple of ``dim``, rounded.
    expert : {"mlp", "linear"}, default="mlp"
        What an expert is: ``"mlp"``: Linear(D, H), GELU, Linear(H, D); ``"linear"``: Linear(D, D).

    Raises
    ------
    ValueError
        If a size is below 1, the hidden width rounds to 0 or ``expert`` is none of these.

    Notes
    -----
    Fu et al., arXiv 2512.14026 (CITab). For a normalised token x, prototypes p_k and experts E_k::

        s_k = <x, p_k>         g = softmax(s)         y = sum_k g_k E_k(x)

    Every token passes through every expert: no top-k, no capacity limit, no auxiliary loss. The
    paper calls the experts linear, its code gives them two layers; both are offered. Prototypes are
    initialised as Xavier uniform, experts like separate ``torch.nn.Linear`` layers.

    The experts are computed as one. For ``"mlp"`` that is a feed-forward layer of width K * H,
    whose hidden units are multiplied by the gate of their expert::

        y = W2 (g * GELU(W1 x + b1)) + sum_k g_k b2_k

    This is exactly the mixture, in two large products instead of 2 K small ones.
    """

    def __init__(
        self,
        dim: int,
        n_experts: int = 5,
        expansion: float = 1.75,
        expert: Expert = "mlp",
    ) -> None:
        super().__init__()
        if min(dim, n_experts) < 1:
            raise ValueError(f"dim and n_experts must be at least 1, got {dim} and {n_experts}")
        if expert not in get_args(Expert):
            raise ValueError(f"expert must be one of {get_args(Expert)}, got {expert!r}")
        self.prototypes = nn.Parameter(torch.empty(n_experts, dim))
        nn.init.xavier_uniform_(self.prototypes)
        self.experts = (
            _MLPExperts(dim, n_experts, expansion)
            if expert == "mlp"
            else _LinearExperts(dim, n_experts)
        )

    def gates(self, tokens: Tensor) -> Tensor:
        """Share of each expert in each token, (..., D) to (..., K); sums to 1 over the experts."""
        return F.linear(tokens, self.prototypes).softmax(dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix the experts' outputs.

        Parameters
        ----------
        tokens : tensor of float, shape (..., D)
            Normalised by the preceding layer norm.

        Returns
        -------
        tensor of float, shape (..., D)
        """
        return self.experts(tokens, self.gates(tokens))


class _MLPExperts(nn.Module):
    """K two-layer perceptrons side by side."""

    def __init__(self, dim: int, n_experts: int, expansion: float) -> None:
        super().__init__()
        width = round(expansion * dim)
        if width < 1:
            raise ValueError(
                f"expansion * dim, the hidden width, must round to at least 1, got {expansion} * "
                f"{dim}"
            )
        self.hidden = nn.Linear(dim, n_experts * width)
        self.out = nn.Linear(n_experts * width, dim, bias=False)
        self.out_bias = nn.Parameter(torch.empty(n_experts, dim))
        # The fan-in of an expert's output is its own width, not that of all together.
        for parameter in (self.out.weight, self.out_bias):
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, tokens: Tensor, gates: Tensor) -> Tensor:
        hidden = F.gelu(self.hidden(tokens)).unflatten(-1, (gates.shape[-1], -1))
        gates = gates.to(hidden.dtype)  # under autocast a softmax widens: the product must not
        gated = (hidden * gates.unsqueeze(-1)).flatten(-2)
        return self.out(gated) + gates @ self.out_bias.to(gates.dtype)


class _LinearExperts(nn.Module):
    """K linear layers side by side."""

    def __init__(self, dim: int, n_experts: int) -> None:
        super().__init__()
        self.out = nn.Linear(dim, n_experts * dim)

    def forward(self, tokens: Tensor, gates: Tensor) -> Tensor:
        outputs = self.out(tokens).unflatten(-1, (gates.shape[-1], -1))
        return (gates.to(outputs.dtype).unsqueeze(-2) @ outputs).squeeze(-2)


def equal_width(mixture: PrototypeMixture) -> int:
    """Return the hidden width at which a `FeedForward` has about as many parameters as a mixture.

    Parameters
    ----------
    mixture : PrototypeMixture

    Returns
    -------
    int
        At least 1. The numbers of parameters differ by at most D.

    Examples
    --------
    >>> from tabimg.nn import FeedForward, PrototypeMixture, equal_width
    >>> plain = FeedForward(192, equal_width(PrototypeMixture(192)))
    """
    dim = mixture.prototypes.shape[1]
    n_parameters = sum(parameter.numel() for parameter in mixture.parameters())
    # A feed-forward layer of hidden width h has (2 D + 1) h + D parameters.
    return max(1, round((n_parameters - dim) / (2 * dim + 1)))
