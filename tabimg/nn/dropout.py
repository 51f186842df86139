"""Dropout whose masks need not come from the process's global random stream."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Dropout that draws its masks from its own generator while it has one.

    Attributes
    ----------
    generator : torch.Generator or None
        On the device of the features. None, as after construction: masks come from torch's global
        stream, as with ``torch.nn.Dropout``. It is not copied or pickled.
    """

    generator: torch.Generator | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Drop entries in training, and scale up the others; any shape."""
        if self.generator is None or not self.training or self.p in (0.0, 1.0):
            return super().forward(features)
        kept = torch.empty_like(features).bernoulli_(1.0 - self.p, generator=self.generator)
        return features * kept.div_(1.0 - self.p)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "generator"}
