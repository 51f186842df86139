"""Initial weights shared by the networks with ReLU."""

from __future__ import annotations

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


def initialise_rectified(module: nn.Module) -> None:
    """Draw the weights of a network of ReLU layers, in place.

    Convolutions: normal, variance ``2 / fan_out``. Linear layers: normal, variance ``2 / fan_in``,
    zero bias. Batch norms: gain one, shift zero. Draws come from torch's current generator.

    Parameters
    ----------
    module : torch.nn.Module
        Network whose submodules are visited recursively.

    Notes
    -----
    He et al., "Delving Deep into Rectifiers", arXiv 1502.01852, section 2.2. ``fan_out`` for
    convolutions is the choice of the ResNet authors: it preserves the variance of the gradients.
    """
    for part in module.modules():
        if isinstance(part, _CONVOLUTIONS):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            # torch counts the outputs of all groups; an input reaches those of its own group.
            with torch.no_grad():
                part.weight.mul_(part.groups**0.5)
        elif isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, _NORMALISATIONS):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
