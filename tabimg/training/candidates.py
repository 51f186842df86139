"""The candidates of a blend, as an estimator's parameters define them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch

from tabimg.nn import MultiModalNet
from tabimg.nn.isolation import isolated
from tabimg.nn.task import TaskNet
from tabimg.training.architectures import PretrainingArchitecture, TaskArchitecture
from tabimg.training.blending import Candidate
from tabimg.training.blocks import COLUMNS, EMBEDDING, IMPUTED, PHOTOS, Blocks, LabelledRows
from tabimg.training.boosting import BoostingCandidate, can_boost
from tabimg.training.distillation import Teacher, students
from tabimg.training.finetuning import FinetuningOptions
from tabimg.training.fitted_module import FittedModule
from tabimg.training.forest import ForestCandidate
from tabimg.training.linear import LinearCandidate
from tabimg.training.networks import NetworkCandidate
from tabimg.training.runtime import derive_seed
from tabimg.training.tasks import Task
from tabimg.training.user_models import UserCandidate, UserEstimator, UserStudent

# Candidates by what they learn from, beside labelled columns.
_SOURCES = {
    "columns": ("columns", "random_forest", "extra_trees", "boosting"),
    "pre-training": ("network", "embedding"),
    "photos": ("imputed", "linear_student", "forest_student", "boosted_student"),
}
BUILT_IN = frozenset(name for names in _SOURCES.values() for name in names)
# In every blend, whatever there is to learn from.
ALWAYS = ("columns", "random_forest", "extra_trees", "network")
# Of candidates that are made of a user's estimator.
WITH_EMBEDDING, STUDENT = "_with_embedding", "_student"
# What a user's estimator sees as a part of the teacher.
TAUGHT_BY = (COLUMNS, PHOTOS)


def source_of(name: str, is_pretrained: bool = True) -> str:
    """Say what a candidate learns from: "columns", "pre-training" or "photos"."""
    if not is_pretrained:
        return "columns"
    for source, names in _SOURCES.items():
        if name in names:
            return source
    return "photos" if name.endswith((STUDENT, WITH_EMBEDDING)) else "columns"


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
    users : sequence of UserEstimator
        The user's own.
    excluded : collection of str
        Names of those that take no part in a blend.
    """

    architecture: TaskArchitecture
    pretrained: FittedModule[PretrainingArchitecture, MultiModalNet] | None
    options: FinetuningOptions
    n_members: int
    users: Sequence[UserEstimator] = ()
    excluded: Collection[str] = ()

    def within(self, share: float) -> Candidates:
        """Return the same candidates with a share of the time limit."""
        return replace(self, options=self.options.within(share))

    def network(self, mode: str) -> NetworkCandidate:
        """Return a network to fine-tune; without a pre-trained encoder it starts at random."""
        start = self._random if self.pretrained is None else self._pretrained
        return NetworkCandidate(mode, self.architecture, start, self.options, self.n_members)

    def all(self, rows: LabelledRows, pairs: Blocks | None, task: Task) -> dict[str, Candidate]:
        """Return everything that ``finetune="auto"`` blends, by name.

        Parameters
        ----------
        rows : LabelledRows
            Their blocks say what there is to learn from.
        pairs : Blocks or None
            Unlabelled rows with photos, to distil from.
        task : Task
        """
        seed = self.options.run.seed
        candidates: dict[str, Candidate] = {
            "columns": LinearCandidate((COLUMNS,)),
            "random_forest": ForestCandidate("random_forest", derive_seed(seed, 201)),
            "extra_trees": ForestCandidate("extra_trees", derive_seed(seed, 202)),
            "network": self.network("full"),
        }
        if can_boost(len(rows), task):
            candidates["boosting"] = BoostingCandidate(derive_seed(seed, 204))
        if EMBEDDING in rows.blocks:
            candidates["embedding"] = self._beside_columns(EMBEDDING)
        candidates |= {own.name: UserCandidate(own, self._seed_of(own)) for own in self.users}
        return self._kept(candidates) | self.of_photos(rows, pairs, task)

    def of_photos(
        self, rows: LabelledRows, pairs: Blocks | None, task: Task
    ) -> dict[str, Candidate]:
        """Return those that learn from photos; parameters as in `all`."""
        candidates: dict[str, Candidate] = {}
        if IMPUTED in rows.blocks:
            candidates["imputed"] = self._beside_columns(IMPUTED)
        seen = tuple(name for name in (COLUMNS, EMBEDDING, IMPUTED) if name in rows.blocks)
        if seen != (COLUMNS,):
            candidates |= {
                own.name + WITH_EMBEDDING: UserCandidate(own, self._seed_of(own), seen)
                for own in self.users
            }
        return self._kept(candidates if pairs is None else candidates | self.students(pairs, task))

    def _kept(self, candidates: dict[str, Candidate]) -> dict[str, Candidate]:
        return {name: each for name, each in candidates.items() if name not in self.excluded}

    def students(
        self, pairs: Blocks, task: Task, taught_by: tuple[str, ...] = TAUGHT_BY
    ) -> dict[str, Candidate]:
        """Return students of all families, and of the user's estimators, with one teacher.

        Parameters
        ----------
        pairs : Blocks
        task : Task
        taught_by : tuple of str
            The blocks that the teacher sees.
        """
        seed = derive_seed(self.options.run.seed, 203)
        further = [UserCandidate(own, seed, taught_by) for own in self.users]
        teacher = Teacher(pairs, derive_seed(seed, 0), further, taught_by)
        of_users: dict[str, Candidate] = {
            own.name + STUDENT: UserStudent(teacher, own, self._seed_of(own)) for own in self.users
        }
        return students(teacher, task, seed) | of_users

    def _beside_columns(self, name: str) -> LinearCandidate:
        return LinearCandidate((name, COLUMNS) if self.architecture.n_columns else (name,))

    def _seed_of(self, own: UserEstimator) -> int:
        return derive_seed(self.options.run.seed, 220 + list(self.users).index(own))

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
