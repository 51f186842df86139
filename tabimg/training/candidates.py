"""The candidates of a blend, as an estimator's parameters define them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from tabimg.nn import MultiModalNet
from tabimg.nn.isolation import isolated
from tabimg.nn.task import TaskNet
from tabimg.training.architectures import PretrainingArchitecture, TaskArchitecture
from tabimg.training.blending import Candidate
from tabimg.training.blocks import COLUMNS, EMBEDDING, Blocks
from tabimg.training.distillation import DistilledCandidate
from tabimg.training.finetuning import FinetuningOptions
from tabimg.training.fitted_module import FittedModule
from tabimg.training.forest import ForestCandidate
from tabimg.training.linear import LinearCandidate
from tabimg.training.networks import NetworkCandidate
from tabimg.training.runtime import derive_seed


@dataclass(frozen=True)
class Candidates:
    """Builds networks with a pre-trained or a random encoder, and the candidates around them.

    Parameters
    ----------
    architecture : TaskArchitecture
    pretrained : FittedModule or None
        The pre-training network; it is copied, never changed.
    options : FinetuningOptions
    n_members : int
    """

    architecture: TaskArchitecture
    pretrained: FittedModule[PretrainingArchitecture, MultiModalNet] | None
    options: FinetuningOptions
    n_members: int

    def within(self, share: float) -> Candidates:
        """Return the same candidates with a share of the time limit."""
        return replace(self, options=self.options.within(share))

    def network(self, mode: str) -> NetworkCandidate:
        """Return a network to fine-tune; without a pre-trained encoder it starts at random."""
        start = self._random if self.pretrained is None else self._pretrained
        return NetworkCandidate(mode, self.architecture, start, self.options, self.n_members)

    def all(self, pairs: Blocks | None) -> dict[str, Candidate]:
        """Return everything that ``finetune="auto"`` blends, by name.

        Parameters
        ----------
        pairs : Blocks or None
            Unlabelled rows with photos, to distil from.
        """
        seed = self.options.run.seed
        candidates: dict[str, Candidate] = {
            "columns": LinearCandidate((COLUMNS,)),
            "random_forest": ForestCandidate("random_forest", derive_seed(seed, 201)),
            "extra_trees": ForestCandidate("extra_trees", derive_seed(seed, 202)),
            "network": self.network("full"),
        }
        if self.pretrained is not None:
            beside = (COLUMNS,) if self.architecture.n_columns else ()
            candidates["embedding"] = LinearCandidate((EMBEDDING, *beside))
        if pairs is not None:
            candidates["distilled"] = DistilledCandidate(pairs, derive_seed(seed, 203))
        return candidates

    def _random(self, seed: int) -> TaskNet:
        with isolated(seed):
            return self.architecture.build()

    def _pretrained(self, seed: int) -> TaskNet:
        net = self._random(seed)
        assert self.pretrained is not None
        # The weights at rest will do: to build the whole network would take its image encoder too.
        arrays, wanted = self.pretrained.arrays, net.encoder.state_dict()
        net.encoder.load_state_dict({k: torch.tensor(a) for k, a in arrays.items() if k in wanted})
        return net
