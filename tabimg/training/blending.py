"""Blending: several models, weighted by how well they predict held-out rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from scipy.optimize import minimize

from tabimg.serialization import register
from tabimg.serialization.checks import check_type
from tabimg.training.blocks import Blocks, LabelledRows
from tabimg.training.runtime import own_warning_filters
from tabimg.training.splits import Split, grouped_folds
from tabimg.training.tasks import Task

N_FOLDS = 4
# With many rows one fold is enough to compare the candidates.
ONE_FOLD_ROWS = 10_000
# The prior counts as much as this many rows that have nothing in common.
PRIOR_ROWS = 5.0
# The prior's slope is unbounded at 0.
MIN_WEIGHT = 1e-9
TOLERANCE = 1e-10


class Model(Protocol):
    """A fitted model."""

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        """Predict class probabilities or standardised targets, float64 (n_rows, n_outputs)."""
        ...


class Candidate(Protocol):
    """A kind of model that takes part in a blend."""

    def cross_fit(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[np.ndarray, Sequence[Model]]:
        """Fit models, and predict each held-out row by models that have not seen it.

        Returns
        -------
        held_out : float64 array of shape (n_rows, n_outputs)
            NaN for rows that no fold holds out.
        models : sequence of Model
            Their mean is the candidate's prediction.
        """
        ...


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a blend.

    Parameters
    ----------
    name : str
        Of the candidate that it came from.
    weight : float
        Its weight in the prediction; the weights of all members sum to 1.
    model : Model
    """

    name: str
    weight: float
    model: Any


def check_member(member: Member) -> None:
    """Raise a ValueError for an invalid weight."""
    check_type("name", member.name, str)
    check_type("weight", member.weight, float, int)
    if not 0 <= member.weight <= 1 + TOLERANCE:
        raise ValueError(f"a member's weight is {member.weight}")


register(Member, check=check_member)


@dataclass(frozen=True, eq=False)
class Blend:
    """Fitted candidates and their weights.

    Parameters
    ----------
    members : list of Member
    losses : dict of str to float
        Mean loss of each candidate on held-out rows; empty if the rows cannot be split.
    seconds : dict of str to float
        That each candidate took.
    held_out : dict of str to float64 array of shape (n_rows, n_outputs)
        What each candidate predicts of rows that it has not seen; NaN where it has seen all.
    folds : list of (train, valid)
    prior : mapping of str to float
        What the weights would be without a held-out row, up to a factor; 1 for those not named.
    """

    members: list[Member]
    losses: dict[str, float]
    seconds: dict[str, float]
    held_out: dict[str, np.ndarray]
    folds: list[Split]
    prior: Mapping[str, float] = field(default_factory=dict)

    def loss(self, rows: LabelledRows, task: Task, names: Collection[str] | None = None) -> float:
        """Mean loss of a blend of all, or some, candidates; weights come from other folds' rows.

        NaN if nothing was held out from all of them, or none is named.
        """
        kept = [name for name in self.held_out if names is None or name in names]
        if not kept or not len(self.folds):
            return float("nan")
        stacked = np.stack([self.held_out[name] for name in kept])
        prior = _shares([self.prior.get(name, 1.0) for name in kept])
        known = _known(stacked)
        losses, weight = np.zeros(len(rows)), rows.weight.astype(np.float64).copy()
        weight[np.setdiff1d(np.arange(len(rows)), known)] = 0.0
        for _, valid in self.folds:
            own = np.intersect1d(valid, known)
            others = np.setdiff1d(known, valid) if len(self.folds) > 1 else own
            shares = held_out_weights(stacked[:, others], rows.take(others), task, prior)
            mixed = np.einsum("m,mno->no", shares, stacked[:, own])
            losses[own] = task.losses(mixed, rows.target[own])
        return float(np.average(losses, weights=weight)) if weight.any() else float("nan")


def blend(
    candidates: Mapping[str, Candidate],
    rows: LabelledRows,
    task: Task,
    seed: int,
    prior: Mapping[str, float] | None = None,
) -> Blend:
    """Fit candidates and weight them by their predictions of held-out rows.

    Parameters
    ----------
    candidates : mapping of str to Candidate
    rows : LabelledRows
        Folds keep groups together.
    task : Task
    seed : int
    prior : mapping of str to float, optional
        What the weights are without a held-out row, up to a factor; even if not given.

    Returns
    -------
    Blend
    """
    prior = prior or {}
    folds = grouped_folds(rows.groups, N_FOLDS, seed, task.classes(rows.target))
    if len(rows) >= ONE_FOLD_ROWS:
        folds = folds[:1]
    fitted, seconds = {}, {}
    for name, candidate in candidates.items():
        began = time.perf_counter()
        fitted[name] = candidate.cross_fit(rows, folds, task)
        seconds[name] = time.perf_counter() - began
    parts = np.stack([held_out for held_out, _ in fitted.values()])
    even = _shares([prior.get(name, 1.0) for name in fitted])
    weights = held_out_weights(parts, rows, task, even)
    losses = {}
    known = _known(parts)
    if len(known):
        target, weight = rows.target[known], rows.weight[known]
        losses = {
            name: float(np.average(task.losses(part[known], target), weights=weight))
            for name, part in zip(fitted, parts, strict=True)
        }
    members = [
        Member(name, float(share) / len(models), model)
        for (name, (_, models)), share in zip(fitted.items(), weights, strict=True)
        for model in models
    ]
    held_out = {name: part for name, (part, _) in fitted.items()}
    return Blend(members, losses, seconds, held_out, folds, prior)


def held_out_weights(
    parts: np.ndarray, rows: LabelledRows, task: Task, prior: np.ndarray | None = None
) -> np.ndarray:
    """Weight members by the rows that were held out from all of them; by the prior without any.

    Parameters
    ----------
    parts : float64 array of shape (n_members, n_rows, n_outputs)
        NaN for rows that no fold held out.
    rows : LabelledRows of n_rows rows
    task : Task
    prior : float64 array of shape (n_members,), positive, sum 1, optional
        None is even.

    Returns
    -------
    float64 array of shape (n_members,), non-negative, sum 1
    """
    prior = np.full(len(parts), 1.0 / len(parts)) if prior is None else prior
    known = _known(parts)
    if len(known) == 0:
        return prior
    rows = rows.take(known)
    # A group says little more than one of its rows.
    n_independent = len(np.unique(rows.groups))
    return blend_weights(parts[:, known], rows.target, rows.weight, task, n_independent, prior)


def blend_weights(
    parts: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    task: Task,
    n_independent: int | None = None,
    prior: np.ndarray | None = None,
) -> np.ndarray:
    """Find the weights that minimise the loss of the mixed predictions of held-out rows.

    Parameters
    ----------
    parts : float64 array of shape (n_members, n_rows, n_outputs)
        Predictions of rows that the members have not seen.
    target, weight : arrays of n_rows rows
    task : Task
    n_independent : int, optional
        How many of the rows have nothing in common; None is all of them.
    prior : float64 array of shape (n_members,), positive, sum 1, optional
        None is even.

    Returns
    -------
    float64 array of shape (n_members,), non-negative, sum 1

    Notes
    -----
    Minimises the mean loss plus ``PRIOR_ROWS / n_independent`` times the Kullback-Leibler
    divergence from the prior, so that few rows, or many of few groups, can shift the weights
    only a little. The sum is convex, and sequential quadratic programming finds its minimum.
    Without the prior it is stacking with convex weights (Breiman, "Stacked regressions", 1996).
    """
    n_members = len(parts)
    share, strength = weight / weight.sum(), PRIOR_ROWS / (n_independent or len(target))
    start = np.full(n_members, 1.0 / n_members) if prior is None else prior

    def value_and_slope(weights: np.ndarray, scale: float = 1.0) -> tuple[float, np.ndarray]:
        mixed = np.einsum("m,mno->no", weights, parts)
        surprise = np.log(weights / start)
        value = task.losses(mixed, target) @ share + strength * (weights @ surprise)
        slope = task.mixing_slope(parts, mixed, target) @ share + strength * (surprise + 1.0)
        return float(value) / scale, slope / scale

    with own_warning_filters():
        # SciPy before 1.16 exceeds the bounds by rounding, and warns that it corrects that.
        warnings.filterwarnings("ignore", "Values in x were outside bounds", RuntimeWarning)
        found = minimize(
            value_and_slope,
            start,
            # A member that is far off makes the first value huge, on which the search fails.
            args=(max(1.0, value_and_slope(start)[0]),),
            method="SLSQP",
            jac=True,
            bounds=[(MIN_WEIGHT, 1.0)] * n_members,
            constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1.0},
            options={"ftol": TOLERANCE},
        ).x
    return found / found.sum()


def predict(
    members: Sequence[Member], blocks: Blocks, task: Task, device: torch.device
) -> np.ndarray:
    """Mix the members' predictions, float64 (n_rows, n_outputs)."""
    total = np.zeros((len(blocks), task.n_outputs))
    for member in members:
        total += member.weight * member.model.predict(blocks, task, device)
    return total


def _shares(values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, dtype=np.float64) / sum(values)


def _known(parts: np.ndarray) -> np.ndarray:
    """Find the rows that were held out from all members."""
    return np.flatnonzero(~np.isnan(parts).any(axis=(0, 2)))
