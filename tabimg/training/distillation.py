"""Distillation over unlabelled pairs: photos teach models that see only the table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tabimg.training.blending import Candidate, held_out_weights
from tabimg.training.blocks import (
    COLUMNS,
    EMBEDDING,
    IMPUTED,
    PHOTOS,
    Blocks,
    LabelledRows,
)
from tabimg.training.boosting import BoostingCandidate, can_boost, fit_boosting
from tabimg.training.cross_fitting import SimpleCandidate, held_out_by
from tabimg.training.forest import ForestCandidate, fit_forest
from tabimg.training.linear import LinearCandidate, LinearModel, standardisation
from tabimg.training.runtime import derive_seed
from tabimg.training.splits import Split
from tabimg.training.tasks import Regression, Task

STUDENT_BLOCKS = (COLUMNS, EMBEDDING, IMPUTED)
# Soft targets are smooth; small leaves would only follow their noise.
STUDENT_TREES: dict[str, Any] = {"min_samples_leaf": 3, "max_features": 0.5}
STUDENT_ROUNDS = 60
# A boosted student has one model for each class.
MAX_OUTPUTS = 3
CPU = torch.device("cpu")


class Teacher:
    """Models of columns and photo, and of the columns alone, mixed as they predict held-out rows.

    Parameters
    ----------
    pairs : Blocks of n_pairs rows
        Unlabelled rows, each with a photo.
    further : sequence of SimpleCandidate
        Models that take part beside those that are always there.
    names : tuple of str
        The blocks that it sees; without photos it is a control.
    seed : int

    Notes
    -----
    The models of the columns alone keep a teacher from being worse than they are: students of a
    teacher that the photos mislead would be worse than no students.
    """

    def __init__(
        self,
        pairs: Blocks,
        seed: int,
        further: Sequence[SimpleCandidate] = (),
        names: tuple[str, ...] = (COLUMNS, PHOTOS),
    ) -> None:
        self.pairs = pairs
        self._names = names
        self._further = further
        self._seed = seed
        self._taught: tuple[LabelledRows, list[np.ndarray | None], np.ndarray | None] | None = None

    def teach(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[list[np.ndarray | None], np.ndarray | None]:
        """Predict the pairs, by the training rows of each fold and by all rows.

        Returns
        -------
        by_fold : list of float64 arrays of shape (n_pairs, n_outputs), or None
            None for a fold without a training row that has a photo.
        by_all : float64 array of shape (n_pairs, n_outputs), or None
            None if no row has a photo.
        """
        # All students have the same rows and folds.
        if self._taught is None or self._taught[0] is not rows:
            self._taught = (rows, *self._teach(rows, folds, task))
        return self._taught[1:]

    def _teach(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[list[np.ndarray | None], np.ndarray | None]:
        seen = rows.blocks.has_photo()
        number = np.cumsum(seen) - 1  # of a row among those with a photo
        inner = [tuple(number[part[seen[part]]] for part in fold) for fold in folds]
        if not seen.any():
            return [None] * len(folds), None
        rows = rows.take(np.flatnonzero(seen))
        taught = [number for number, (train, _) in enumerate(inner) if len(train)]
        parts = [
            candidate.fit_folds(rows, [inner[number] for number in taught], task)
            for candidate in self._candidates(len(rows), task)
        ]
        shares = held_out_weights(np.stack([part.held_out for part in parts]), rows, task)
        by_all = self._mixed([part.fit(rows) for part in parts], shares, task)
        by_fold: list[np.ndarray | None] = [None] * len(folds)
        for place, fold in enumerate(taught):
            by_fold[fold] = self._mixed([part.models[place] for part in parts], shares, task)
        return by_fold, by_all

    def _mixed(self, models: list[Any], shares: np.ndarray, task: Task) -> np.ndarray:
        predictions = [model.predict(self.pairs, task, CPU) for model in models]
        return np.einsum("m,mno->no", shares, np.stack(predictions))

    def _candidates(self, n_rows: int, task: Task) -> list[SimpleCandidate]:
        # A held-out photo must not even shift the scale: linear models refer to the pairs.
        seen = dict.fromkeys([(self._names[-1],), self._names, (COLUMNS,)])
        candidates: list[SimpleCandidate] = [LinearCandidate(names, self.pairs) for names in seen]
        candidates += [
            ForestCandidate("extra_trees", derive_seed(self._seed, 1), self._names),
            ForestCandidate("random_forest", derive_seed(self._seed, 2)),
        ]
        if can_boost(n_rows, task):
            candidates.append(BoostingCandidate(derive_seed(self._seed, 3), self._names))
        return [*candidates, *self._further]


@dataclass(frozen=True)
class Student(ABC):
    """A model that sees the table, and learns from labels and from what a teacher says of pairs.

    Parameters
    ----------
    teacher : Teacher
        Shared by the students of one fit.

    Notes
    -----
    Generalised distillation (Lopez-Paz et al., arXiv 1511.03643) over unlabelled pairs, with photos
    as the privileged information. A held-out row never teaches the students that predict it, not
    even by its photo: prediction has no photo either.
    """

    teacher: Teacher

    @abstractmethod
    def _learn(self, blocks: Blocks, soft: np.ndarray, weight: np.ndarray, task: Task) -> Any:
        """Fit soft targets, float64 (n_rows, n_outputs)."""

    def cross_fit(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[np.ndarray, list[Any]]:
        """See `tabimg.training.blending.Candidate`."""
        by_fold, by_all = self.teacher.teach(rows, folds, task)
        models = [
            self._fit(rows.take(train), soft, task)
            for (train, _), soft in zip(folds, by_fold, strict=True)
        ]
        held_out = held_out_by(models, rows.blocks, folds, task)
        return held_out, [self._fit(rows, by_all, task)]

    def _fit(self, rows: LabelledRows, lesson: np.ndarray | None, task: Task) -> Any:
        blocks, soft, weight = rows.blocks, task.soft(rows.target), rows.weight
        if lesson is not None:
            pairs = self.teacher.pairs
            blocks = blocks.with_rows_of(pairs)
            soft = np.concatenate([soft, lesson])
            # An unlabelled pair counts as much as a row of average weight.
            weight = np.concatenate([weight, np.full(len(pairs), weight.mean())])
        return self._learn(blocks, soft, weight, task)


class LinearStudent(Student):
    """A linear model on the columns, their embedding and the imputed photo."""

    def _learn(self, blocks: Blocks, soft: np.ndarray, weight: np.ndarray, task: Task) -> Any:
        seen = tuple(name for name in STUDENT_BLOCKS if name in blocks)
        features = blocks.matrix(seen).astype(np.float64)
        mean, scale = standardisation(features, weight)
        head = task.soft_head((features - mean) / scale, soft, weight)
        return LinearModel(seen, mean, scale, *head)


@dataclass(frozen=True)
class ForestStudent(Student):
    """Extremely randomised trees on the columns."""

    seed: int

    def _learn(self, blocks: Blocks, soft: np.ndarray, weight: np.ndarray, task: Task) -> Any:
        numbers = Regression(task.n_outputs, "mse")
        features = blocks[COLUMNS]
        return fit_forest(
            "extra_trees", features, soft, weight, numbers, self.seed, **STUDENT_TREES
        )


@dataclass(frozen=True)
class BoostedStudent(Student):
    """Gradient boosting on the columns."""

    seed: int

    def _learn(self, blocks: Blocks, soft: np.ndarray, weight: np.ndarray, task: Task) -> Any:
        rows, target, weight = task.hardened(soft, weight)
        features = blocks[COLUMNS][rows]
        return fit_boosting(features, target, weight, task, self.seed, STUDENT_ROUNDS)


def students(teacher: Teacher, task: Task, seed: int) -> dict[str, Candidate]:
    """Return one student of each family, all taught by one teacher."""
    found: dict[str, Candidate] = {
        "linear_student": LinearStudent(teacher),
        "forest_student": ForestStudent(teacher, derive_seed(seed, 1)),
    }
    if task.n_outputs <= MAX_OUTPUTS:
        found["boosted_student"] = BoostedStudent(teacher, derive_seed(seed, 2))
    return found
