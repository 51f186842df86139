"""The plan of a study: all cells, known before the first is computed.

Methods that share their pre-training in a fold form a unit of work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone

from tabimg.estimators import Unlabeled
from tabimg.evaluation.data import (
    Budget,
    Fold,
    StudyData,
    describe_pairs,
    draw_seeds,
    labelled_rows,
    outer_folds,
    place_of,
    plan_budgets,
)
from tabimg.evaluation.fingerprints import fingerprint
from tabimg.evaluation.foundation import PhotoPretrainer, derive_seed
from tabimg.evaluation.study.methods import StudyMethod
from tabimg.messages import shorten


@dataclass(frozen=True)
class Protocol:
    """How often rows are split and labels drawn; parameters as in `ablation_study`."""

    label_fractions: Sequence[float]
    n_folds: int
    n_repeats: int
    n_draws: int | Mapping[float, int]
    random_state: int
    folds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check_whole(self.random_state)
        if np.ndim(self.label_fractions) != 1:
            raise TypeError(
                f"label_fractions must be a sequence of numbers, got "
                f"{shorten(self.label_fractions)}"
            )


@dataclass(frozen=True, eq=False)
class PlannedCell:
    """A method, fitted on one draw of labels and scored on one fold."""

    method: StudyMethod
    fold: Fold
    budget: Budget
    draw: int
    labelled: np.ndarray
    seed: int
    fingerprint: str

    def place(self) -> dict[str, Any]:
        """The entries of the table of scores that are known before the cell is computed."""
        return {
            "method": self.method.name,
            **place_of(self.fold, self.budget, self.draw, len(self.labelled)),
            **self.method.settings,
        }


@dataclass(frozen=True, eq=False)
class WorkUnit:
    """Cells of one fold that share their pre-training, if there is one.

    Parameters
    ----------
    fold : Fold
    seed : int
        Of the pre-training, and of the shuffling.
    pretrainer : PhotoPretrainer or None
        Unfitted, with the seed as its random state.
    shuffles_photos : bool
    encoder_fingerprint : str
    cells : list of PlannedCell
    further : Unlabeled or None
        Pairs for pre-training in addition to the fold's.
    """

    fold: Fold
    seed: int
    pretrainer: PhotoPretrainer | None
    shuffles_photos: bool
    encoder_fingerprint: str
    cells: list[PlannedCell]
    further: Unlabeled | None = None


def plan_units(
    data: StudyData, methods: Sequence[StudyMethod], protocol: Protocol
) -> list[WorkUnit]:
    """List everything that a study will compute, fold by fold."""
    rule = (data.groups, data.classes)
    seed = protocol.random_state
    folds = outer_folds(*rule, protocol.n_folds, protocol.n_repeats, seed)
    budgets = plan_budgets(folds, *rule, protocol.label_fractions, protocol.n_draws, seed)
    units: list[WorkUnit] = []
    for fold in _chosen(folds, protocol):
        draws = [
            (budget, draw, labelled_rows(fold.train, *rule, budget.fraction, own_seed), own_seed)
            for budget in budgets
            for draw, own_seed in enumerate(draw_seeds(seed, fold, budget.n_draws))
        ]
        in_fold: dict[str, WorkUnit] = {}
        for method in methods:
            unit = _unit_of(method, fold, data, seed)
            unit = in_fold.setdefault(unit.encoder_fingerprint, unit)
            for budget, draw, labelled, own_seed in draws:
                name = _cell_fingerprint(method, unit, labelled, own_seed, data)
                unit.cells.append(PlannedCell(method, fold, budget, draw, labelled, own_seed, name))
        units += in_fold.values()
    return units


def describe_unit(unit: WorkUnit) -> str:
    """Name a unit in messages."""
    names = ", ".join(dict.fromkeys(cell.method.name for cell in unit.cells))
    return f"repeat {unit.fold.repeat}, fold {unit.fold.number}, {names}"


def _check_whole(random_state: Any) -> None:
    if not isinstance(random_state, Integral):
        raise TypeError(
            "random_state must be an int, which determines folds and draws and allows a study to "
            f"be resumed, got {shorten(random_state)}"
        )


def _chosen(folds: Sequence[Fold], protocol: Protocol) -> list[Fold]:
    """Return the folds to run, in every repeat."""
    if protocol.folds is None:
        return list(folds)
    unknown = [n for n in protocol.folds if n not in range(protocol.n_folds)]
    if unknown or not len(protocol.folds):
        raise ValueError(
            f"folds must name some of the folds 0 to {protocol.n_folds - 1}, got {protocol.folds}"
        )
    return [fold for fold in folds if fold.number in protocol.folds]


def _unit_of(method: StudyMethod, fold: Fold, data: StudyData, seed: int) -> WorkUnit:
    """Return the unit, still empty, to which a method belongs in a fold."""
    own_seed = derive_seed(seed, fold.repeat, fold.number) % 2**31
    if method.pretrainer is None:
        return WorkUnit(fold, own_seed, None, False, f"no pre-training: {method.name}", [])
    pretrainer = clone(method.pretrainer).set_params(random_state=own_seed)
    shuffles = method.shuffles_photos
    parts = [data.pairs_fingerprint, fold.train, pretrainer, shuffles]
    if method.further is not None:
        parts.append(describe_pairs(method.further.frame))
    return WorkUnit(fold, own_seed, pretrainer, shuffles, fingerprint(*parts), [], method.further)


def _cell_fingerprint(
    method: StudyMethod, unit: WorkUnit, labelled: np.ndarray, seed: int, data: StudyData
) -> str:
    encoder = None if unit.pretrainer is None else unit.encoder_fingerprint
    rows = (unit.fold.train, labelled, unit.fold.test)
    # Otherwise the cells of earlier studies keep their names.
    further = ("photos at test",) if method.sees_test_photos else ()
    return fingerprint(data.fingerprint, *rows, encoder, method.estimator, seed, *further)
