"""What columns and photos say, and what photos teach a model of the table, in one fold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

from tabimg.evaluation.data import (
    Budget,
    Fold,
    StudyData,
    components,
    draw_seeds,
    labelled_rows,
    place_of,
)
from tabimg.evaluation.foundation import (
    COLUMNS,
    PHOTOS,
    Blocks,
    BoostingCandidate,
    Candidate,
    Classification,
    ForestCandidate,
    LabelledRows,
    LinearCandidate,
    Member,
    Model,
    Regression,
    Split,
    Task,
    Teacher,
    blend,
    can_boost,
    derive_seed,
    own_warning_filters,
    predict,
    prior_of,
    related_rows,
    single_thread,
    students,
)
from tabimg.evaluation.metrics import score_predictions
from tabimg.table import TableCodec

SOURCES = {"columns": (COLUMNS,), "photos": (PHOTOS,), "both": (COLUMNS, PHOTOS)}
ALL_LABELS = Budget(1.0, "100 %", 1)
CPU = torch.device("cpu")


def measure_fold(
    data: StudyData,
    numbers: np.ndarray,
    fold: Fold,
    budgets: Sequence[Budget],
    curve: Sequence[Budget],
    n_components: int,
    random_state: int,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure in one fold what sources say, what columns carry and what photos teach.

    Parameters
    ----------
    data : StudyData
        Rows that all have a photo.
    numbers : float32 array of shape (n_rows, n_numbers)
        The photos, as from `photo_numbers`.
    fold : Fold
    budgets : sequence of Budget
        Each leaves some rows without a label.
    curve : sequence of Budget
        Further points of the learning curve of the columns alone.
    n_components : int
        Of the photos.
    random_state : int

    Returns
    -------
    scores : list of dict
        Rows of a table of scores as in `StudyResult`. With all labels the methods are "constant",
        "columns", "photos" and "both", by what they predict from; with a budget's labels "columns"
        and "both" again, and "taught" (by photos of the other rows) and "shuffled" (the same with
        shuffled photos), which predict from the columns.
    carried : dict
        R2 of what the columns predict: "photos", the components, and "message", the target as
        predicted by a model of photos.
    """
    with single_thread(), threadpool_limits(1), own_warning_filters():
        # The whole table was checked before.
        warnings.simplefilter("ignore", UserWarning)
        seed = derive_seed(random_state, fold.number, 301)
        rows = _FoldRows.of(data, numbers, fold, n_components, seed)
        scores, message = _what_sources_say(rows)
        carried = {
            "fold": fold.number,
            "n_train": len(fold.train),
            "n_test": len(fold.test),
            "photos": _share_carried(rows, rows.blocks[PHOTOS].astype(np.float64), fold.train),
            "message": _share_carried(rows, *message),
        }
        for budget in (*curve, *budgets):
            for draw, own_seed in enumerate(draw_seeds(random_state, fold, budget.n_draws)):
                few = _FewLabels(rows, draw_labelled(data, fold, budget, own_seed), own_seed)
                found = few.alone() if budget in curve else few.with_photos()
                scores += [few.score(method, made, budget, draw) for method, made in found.items()]
    return scores, carried


def draw_labelled(data: StudyData, fold: Fold, budget: Budget, seed: int) -> np.ndarray:
    """Draw the training rows whose label a budget allows; their positions."""
    return labelled_rows(fold.train, data.groups, data.classes, budget.fraction, seed)


@dataclass(frozen=True, eq=False)
class _Goal:
    """What models predict: class numbers, or one or more columns of standardised numbers."""

    task: Task
    values: np.ndarray
    mean: np.ndarray | float = 0.0
    scale: float = 1.0

    @classmethod
    def of_target(cls, data: StudyData, labelled: np.ndarray) -> _Goal:
        """Use the target; only labelled rows determine mean and scale."""
        if data.classes is None:
            return cls.of_numbers(data.target[:, None], labelled)
        return cls(Classification(int(data.classes.max()) + 1), data.classes)

    @classmethod
    def of_numbers(cls, values: np.ndarray, known: np.ndarray) -> _Goal:
        """Standardise columns by one scale, so that each keeps its share of the variance."""
        mean = values[known].mean(axis=0)
        scale = float(values[known].std(axis=0).max()) or 1.0
        standardised = ((values - mean) / scale).astype(np.float32)
        return cls(Regression(values.shape[1], "mse"), standardised, mean, scale)

    def restored(self, outputs: np.ndarray) -> np.ndarray:
        """Undo the standardisation."""
        return outputs * self.scale + self.mean


@dataclass(frozen=True, eq=False)
class _FoldRows:
    """The rows of a fold as numbers; photos as components that its training rows define."""

    data: StudyData
    fold: Fold
    blocks: Blocks
    related: np.ndarray
    seed: int

    @classmethod
    def of(
        cls, data: StudyData, numbers: np.ndarray, fold: Fold, n_components: int, seed: int
    ) -> _FoldRows:
        codec = TableCodec().fit(data.table.iloc[fold.train])
        encoded = codec.encode(data.table)
        photos = components(numbers, fold.train, n_components, seed)
        blocks = Blocks(encoded, {COLUMNS: codec.to_matrix(encoded), PHOTOS: photos})
        return cls(data, fold, blocks, related_rows(encoded.row_keys(), data.groups), seed)

    def seen_as_columns(self, names: tuple[str, ...]) -> Blocks:
        """Put blocks in the columns' place: trees see nothing else."""
        return self.blocks.having(columns=self.blocks.matrix(names))

    def fit(
        self, candidates: Mapping[str, Candidate], blocks: Blocks, goal: _Goal, known: np.ndarray
    ) -> list[Member]:
        """Blend candidates that learn from the known rows."""
        weight = np.ones(len(known), dtype=np.float32)
        rows = LabelledRows(blocks.take(known), goal.values[known], weight, self.related[known])
        prior = prior_of(candidates, is_pretrained=True)
        return blend(candidates, rows, goal.task, self.seed, prior).members

    def predict(self, members: Sequence[Member], blocks: Blocks, goal: _Goal) -> np.ndarray:
        """Predict the test rows: probabilities or numbers, float64 (n_test, n_outputs)."""
        outputs = predict(members, blocks.take(self.fold.test), goal.task, CPU)
        return goal.restored(outputs)

    def score(
        self,
        method: str,
        predicted: np.ndarray,
        labelled: np.ndarray,
        budget: Budget,
        draw: int = 0,
    ) -> dict[str, Any]:
        """Score predictions of the test rows, as a row of a study's scores."""
        test = self.fold.test
        if self.data.classes is None:
            truth = self.data.target[test]
            scores = score_predictions("regression", truth, predicted[:, 0])
            values = truth[:, None]
        else:
            truth, labels = self.data.classes[test], np.arange(predicted.shape[1])
            given = (predicted.argmax(axis=1), predicted, labels)
            scores = score_predictions("classification", truth, *given)
            values = truth[:, None] == labels
        place = place_of(self.fold, budget, draw, len(labelled))
        return {"method": method, **place, **scores, "explained": _explained(values, predicted)}


@dataclass
class _Remembered:
    """A candidate that is fitted only once for several blends of the same rows."""

    candidate: Candidate
    fitted: tuple[np.ndarray, Sequence[Model]] | None = None

    def cross_fit(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[np.ndarray, Sequence[Model]]:
        """See `tabimg.training.blending.Candidate`."""
        if self.fitted is None:
            self.fitted = self.candidate.cross_fit(rows, folds, task)
        return self.fitted

    @property
    def held_out(self) -> np.ndarray:
        """The predictions of held-out rows."""
        assert self.fitted is not None
        return self.fitted[0]


def _what_sources_say(
    rows: _FoldRows,
) -> tuple[list[dict[str, Any]], tuple[np.ndarray, np.ndarray]]:
    """Score columns, photos and both with all labels.

    The second result is what photos say about the target: the predictions of a model of photos, for
    test rows and for training rows while held out, and the positions of the training rows with such
    a prediction, which may be learned from.
    """
    train, test = rows.fold.train, rows.fold.test
    goal = _Goal.of_target(rows.data, train)
    share = goal.restored(goal.task.soft(goal.values[train]).mean(axis=0))
    constant = np.broadcast_to(share, (len(test), goal.task.n_outputs))
    scores = [rows.score("constant", constant, train, ALL_LABELS)]
    message = np.full((len(rows.data), goal.task.n_outputs), np.nan)
    for source, names in SOURCES.items():
        blocks = rows.seen_as_columns(names)
        models = _table_models(rows.seed, len(train), goal.task)
        candidates = {name: _Remembered(model) for name, model in models.items()}
        members = rows.fit(candidates, blocks, goal, train)
        predicted = rows.predict(members, blocks, goal)
        scores.append(rows.score(source, predicted, train, ALL_LABELS))
        if source == "photos":
            message[test] = predicted
            held_out = [m.weight * candidates[m.name].held_out for m in members]
            message[train] = goal.restored(np.sum(held_out, axis=0))
    known = train[np.isfinite(message[train]).all(axis=1)]
    return scores, (message, known)


def _share_carried(rows: _FoldRows, values: np.ndarray, known: np.ndarray) -> float:
    """Variance of values (n_rows, n_values) of test rows that the columns explain."""
    goal = _Goal.of_numbers(values, known)
    models = _table_models(rows.seed, len(known), goal.task)
    members = rows.fit(models, rows.blocks, goal, known)
    return _explained(values[rows.fold.test], rows.predict(members, rows.blocks, goal))


@dataclass(frozen=True, eq=False)
class _FewLabels:
    """Models of the table that learn from a few labels of a fold, by name of the method."""

    rows: _FoldRows
    labelled: np.ndarray
    seed: int

    def alone(self) -> dict[str, np.ndarray]:
        """Predict the test rows by a model of the labelled columns."""
        blocks = self.rows.blocks
        return {"columns": self._predicted(self._table_models(), blocks, blocks)}

    def with_photos(self) -> dict[str, np.ndarray]:
        """Predict also as taught by photos, by shuffled photos, and with the photo itself."""
        rows, train = self.rows, self.rows.fold.train
        photos = rows.blocks[PHOTOS]
        shuffled = photos.copy()
        shuffled[train] = photos[np.random.default_rng(self.seed).permutation(train)]
        table_models = {name: _Remembered(model) for name, model in self._table_models().items()}
        found = {"columns": self._predicted(table_models, rows.blocks, rows.blocks)}
        others = np.setdiff1d(train, self.labelled)
        for method, given in {"taught": photos, "shuffled": shuffled}.items():
            blocks = rows.blocks.having(photos=given)
            teacher = Teacher(blocks.take(others), self.seed)
            taught = students(teacher, self._goal.task, self.seed)
            found[method] = self._predicted({**table_models, **taught}, blocks, rows.blocks)
        seen = rows.seen_as_columns((COLUMNS, PHOTOS))
        found["both"] = self._predicted(self._table_models(), seen, seen)
        return found

    def score(
        self, method: str, predicted: np.ndarray, budget: Budget, draw: int
    ) -> dict[str, Any]:
        """Score predictions, as a row of a study's scores."""
        return self.rows.score(method, predicted, self.labelled, budget, draw)

    @cached_property
    def _goal(self) -> _Goal:
        return _Goal.of_target(self.rows.data, self.labelled)

    def _table_models(self) -> dict[str, Candidate]:
        return _table_models(self.seed, len(self.labelled), self._goal.task)

    def _predicted(
        self, candidates: Mapping[str, Candidate], fitted_on: Blocks, tested_on: Blocks
    ) -> np.ndarray:
        members = self.rows.fit(candidates, fitted_on, self._goal, self.labelled)
        return self.rows.predict(members, tested_on, self._goal)


def _explained(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the variance of test rows that predictions explain, of all outputs together."""
    return float(r2_score(truth, predicted, multioutput="variance_weighted"))


def _table_models(seed: int, n_rows: int, task: Task) -> dict[str, Candidate]:
    """Return strong models of labelled columns, which take seconds."""
    models: dict[str, Candidate] = {
        "columns": LinearCandidate((COLUMNS,)),
        "extra_trees": ForestCandidate("extra_trees", derive_seed(seed, 302)),
    }
    if can_boost(n_rows, task):
        models["boosting"] = BoostingCandidate(derive_seed(seed, 304))
    return models
