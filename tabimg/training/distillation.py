"""Distillation over unlabelled pairs: photos teach a model that sees only the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tabimg.training.blending import held_out_weights
from tabimg.training.blocks import COLUMNS, EMBEDDING, PHOTOS, Blocks, LabelledRows
from tabimg.training.forest import ForestModel, fit_forest
from tabimg.training.linear import (
    LinearModel,
    choose_penalty,
    fit_head,
    standardisation,
)
from tabimg.training.splits import Split
from tabimg.training.tasks import Regression, Task

# With few labels many columns drown out the photos: one part of the teacher sees only photos.
TEACHER_BLOCKS = ((PHOTOS,), (COLUMNS, PHOTOS))
STUDENT_BLOCKS = (COLUMNS, EMBEDDING)
# Soft targets are smooth; small leaves would only follow their noise.
STUDENT_TREES: dict[str, Any] = {"min_samples_leaf": 3, "max_features": 0.5}


@dataclass(frozen=True)
class DistilledCandidate:
    """Students that see the table, taught by a teacher that sees photos as well.

    The teacher, a blend of penalised linear models on the photos, with and without the columns,
    learns from labelled rows and predicts the unlabelled pairs. The students, which see only the
    table, learn from these predictions and from the labels: a linear model on columns and
    embedding, and a forest on the columns.

    Parameters
    ----------
    pairs : Blocks of n_pairs rows
        Unlabelled rows, each with a photo.
    seed : int

    Notes
    -----
    Generalised distillation (Lopez-Paz et al., arXiv 1511.03643) over unlabelled pairs, with photos
    as the privileged information. A held-out row never teaches the students that predict it, not
    even by its photo: prediction has no photo either.
    """

    pairs: Blocks
    seed: int

    def cross_fit(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[np.ndarray, list[LinearModel | ForestModel]]:
        """See `tabimg.training.blending.Candidate`."""
        teacher = _Teacher.choose(rows, self.pairs, folds, task)
        held_out = np.full((len(rows), task.n_outputs), np.nan)
        for train, valid in folds:
            students = self._students(rows.take(train), teacher, task)
            held_out[valid] = _mean_prediction(students, rows.blocks.take(valid), task)
        return held_out, self._students(rows, teacher, task)

    def _students(
        self, rows: LabelledRows, teacher: _Teacher, task: Task
    ) -> list[LinearModel | ForestModel]:
        lessons, soft, weight = [rows.blocks], task.soft(rows.target), rows.weight
        if rows.blocks.has_photo().any():  # without one the teacher knows nothing
            lessons = [*lessons, self.pairs]
            soft = np.concatenate([soft, teacher.soft(rows, task)])
            # An unlabelled pair counts as much as a row of average weight.
            weight = np.concatenate([weight, np.full(len(self.pairs), weight.mean())])

        def matrix(names: Sequence[str]) -> np.ndarray:
            return np.concatenate([lesson.matrix(names) for lesson in lessons])

        # Without a pre-trained encoder there is no embedding.
        seen = tuple(name for name in STUDENT_BLOCKS if name in rows.blocks)
        features = matrix(seen).astype(np.float64)
        mean, scale = standardisation(features, weight)
        head = task.soft_head((features - mean) / scale, soft, weight)
        numbers = Regression(task.n_outputs, "mse")
        forest = fit_forest(
            "extra_trees", matrix((COLUMNS,)), soft, weight, numbers, self.seed, **STUDENT_TREES
        )
        return [LinearModel(seen, mean, scale, *head), forest]


@dataclass(frozen=True)
class _Teacher:
    """Learns from labelled rows with photos and predicts pairs: a mix of linear models."""

    parts: list[_TeacherPart]
    shares: np.ndarray

    @classmethod
    def choose(
        cls, rows: LabelledRows, pairs: Blocks, folds: Sequence[Split], task: Task
    ) -> _Teacher:
        """Choose penalties and shares on the labelled rows that have a photo."""
        seen = rows.blocks.has_photo()
        number = np.cumsum(seen) - 1  # of a row among those with a photo
        folds = [tuple(number[part[seen[part]]] for part in fold) for fold in folds]
        folds = [fold for fold in folds if all(len(part) for part in fold)]
        rows = rows.take(np.flatnonzero(seen))
        chosen = [_TeacherPart.choose(names, rows, pairs, folds, task) for names in TEACHER_BLOCKS]
        held_out = np.stack([predictions for predictions, _ in chosen])
        shares = held_out_weights(held_out, rows, task)
        return cls([part for _, part in chosen], shares)

    def soft(self, rows: LabelledRows, task: Task) -> np.ndarray:
        """Predict the pairs, float64 (n_pairs, n_outputs)."""
        rows = rows.take(np.flatnonzero(rows.blocks.has_photo()))
        predictions = [part.soft(rows, task) for part in self.parts]
        return np.einsum("m,mno->no", self.shares, predictions)


@dataclass(frozen=True)
class _TeacherPart:
    """A linear model on some blocks of the pairs."""

    names: tuple[str, ...]
    features: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    penalty: int

    @classmethod
    def choose(
        cls,
        names: tuple[str, ...],
        rows: LabelledRows,
        pairs: Blocks,
        folds: Sequence[Split],
        task: Task,
    ) -> tuple[np.ndarray, _TeacherPart]:
        features = pairs.matrix(names).astype(np.float64)
        mean, scale = standardisation(features, np.ones(len(features)))
        own = (rows.blocks.matrix(names) - mean) / scale
        held_out, penalty = choose_penalty(own, rows.target, rows.weight, folds, task)
        return held_out, cls(names, (features - mean) / scale, mean, scale, penalty)

    def soft(self, rows: LabelledRows, task: Task) -> np.ndarray:
        own = (rows.blocks.matrix(self.names) - self.mean) / self.scale
        weight, bias = fit_head(own, rows.target, rows.weight, self.penalty, task)
        return task.predictions(torch.from_numpy(self.features @ weight.T + bias)).numpy()


def _mean_prediction(
    models: Sequence[LinearModel | ForestModel], blocks: Blocks, task: Task
) -> np.ndarray:
    cpu = torch.device("cpu")
    return np.mean([model.predict(blocks, task, cpu) for model in models], axis=0)
