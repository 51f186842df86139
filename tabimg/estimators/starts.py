"""The networks that fine-tuning starts from, and the ways to go on from there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from tabimg.nn import MultiModalNet
from tabimg.nn.task import TaskNet
from tabimg.training.modules import FittedModule
from tabimg.training.recipes import PretrainingRecipe, TaskRecipe
from tabimg.training.runtime import seeded
from tabimg.training.selection import Candidate


@dataclass(frozen=True)
class Starts:
    """Builds networks with a pre-trained or a random encoder.

    Parameters
    ----------
    recipe : TaskRecipe
    pretrained : FittedModule or None
        The pre-training network; it is copied, never changed.
    """

    recipe: TaskRecipe
    pretrained: FittedModule[PretrainingRecipe, MultiModalNet] | None

    def candidates(self, finetune: str, seed: int) -> dict[str, Candidate]:
        """Name the ways to fit that a ``finetune`` parameter leaves open, the cheapest first."""
        if self.pretrained is None:
            names = ["scratch"]
        elif finetune == "auto":
            names = ["frozen", "full", "scratch"]
        else:
            names = [finetune]
        return {name: self.candidate(name, seed) for name in names}

    def candidate(self, name: str, seed: int) -> Candidate:
        """Give one way to fit; from scratch it is full fine-tuning of a random encoder."""
        if name == "scratch":
            return Candidate("full", partial(self._random, seed))
        return Candidate(name, partial(self._pretrained, seed))

    def _random(self, seed: int) -> TaskNet:
        with seeded(seed, torch.device("cpu")):
            return self.recipe.build()

    def _pretrained(self, seed: int) -> TaskNet:
        net = self._random(seed)
        assert self.pretrained is not None
        weights = self.pretrained.build().state_dict()
        wanted = net.encoder.state_dict()
        net.encoder.load_state_dict({k: v for k, v in weights.items() if k in wanted})
        return net
