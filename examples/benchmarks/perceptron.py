"""A perceptron of any size as a table encoder, for `encoders.py`.

It has a module of its own because saved encoders name their code by module: a program's own
functions would be called ``__main__``.
"""

from __future__ import annotations

from torch import nn

from tabimg.nn import MLPEncoder


def perceptron(width: int) -> nn.Module:
    """Make a residual MLP that finds the number of its inputs by itself."""
    encoder = MLPEncoder(1, width=width)
    encoder.stem = nn.LazyLinear(width)
    return encoder
