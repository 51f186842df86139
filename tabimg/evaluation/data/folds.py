"""The folds and label budgets of a study: which rows are trained on, labelled and tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tabimg.evaluation.foundation import derive_seed, grouped_folds, labelled_rows
from tabimg.messages import bounded_errors, shorten


@dataclass(frozen=True, eq=False)
class Fold:
    """One outer split.

    Parameters
    ----------
    repeat, number : int
        Both count from 0.
    train, test : int arrays
        Row positions, sorted. Rows of one group are on one side.
    """

    repeat: int
    number: int
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Budget:
    """How many of the training rows may be used with their label.

    Parameters
    ----------
    fraction : float in (0, 1]
        Share of the training rows; the smallest of those that select the same rows.
    text : str
        "5 %", or "5 % = 10 %" if both fractions select the same rows.
    n_draws : int
        How many times rows are drawn.
    """

    fraction: float
    text: str
    n_draws: int


def outer_folds(
    groups: np.ndarray,
    classes: np.ndarray | None,
    n_folds: int,
    n_repeats: int,
    random_state: int,
) -> list[Fold]:
    """Split rows into folds, several times.

    Parameters
    ----------
    groups : int array of shape (n_rows,)
        Rows of one group never cross a split.
    classes : int array of shape (n_rows,), or None
        Keeps classes in proportion. A class with a single row is in the training rows of every
        fold and in no test rows.
    n_folds : int, at least 2
    n_repeats : int, at least 1
    random_state : int

    Returns
    -------
    list of Fold

    Raises
    ------
    ValueError
        If that many folds cannot be formed.
    """
    if n_folds < 2 or n_repeats < 1:
        raise ValueError(
            f"n_folds must be at least 2 and n_repeats at least 1, got {n_folds} and {n_repeats}"
        )
    folds = []
    for repeat in range(n_repeats):
        splits = grouped_folds(groups, n_folds, derive_seed(random_state, repeat), classes)
        if len(splits) < n_folds:
            raise ValueError(
                f"only {len(splits)} of n_folds={n_folds} folds can be formed from "
                f"{len(np.unique(groups))} groups"
                + ("" if classes is None else f" and {len(np.unique(classes))} classes")
                + ": lower n_folds"
            )
        folds += [
            Fold(repeat, number, np.sort(train), np.sort(test))
            for number, (train, test) in enumerate(splits)
        ]
    return folds


def plan_budgets(
    folds: Sequence[Fold],
    groups: np.ndarray,
    classes: np.ndarray | None,
    fractions: Sequence[float],
    n_draws: int | Mapping[float, int],
    random_state: int,
) -> list[Budget]:
    """Turn label fractions into budgets; those that select the same rows everywhere are merged.

    With few rows or many classes, two labels per class may be more than several fractions ask for.
    A budget of all rows has one draw.

    Parameters
    ----------
    folds : sequence of Fold
    groups : int array of shape (n_rows,)
    classes : int array of shape (n_rows,), or None
    fractions : sequence of float in (0, 1]
    n_draws : int, or mapping of fraction to int
        Merged budgets get the largest number.
    random_state : int

    Returns
    -------
    list of Budget
        The smallest first.

    Raises
    ------
    ValueError
        If a fraction or a number of draws is out of range or missing.
    """
    draws = {fraction: _draws_of(fraction, n_draws) for fraction in _checked(fractions)}
    same: dict[tuple[int, ...], list[float]] = {}
    for fraction in draws:
        # Draws are nested, so equal sizes are equal rows.
        sizes = tuple(
            len(labelled_rows(fold.train, groups, classes, fraction, seed))
            for fold in folds
            for seed in draw_seeds(random_state, fold, 1)
        )
        same.setdefault(sizes, []).append(fraction)
    everything = tuple(len(fold.train) for fold in folds)
    return [
        Budget(
            merged[0],
            " = ".join(f"{100 * fraction:g} %" for fraction in merged),
            1 if sizes == everything else max(draws[fraction] for fraction in merged),
        )
        for sizes, merged in same.items()
    ]


def draw_seeds(random_state: int, fold: Fold, n_draws: int) -> list[int]:
    """Return the seeds of the draws in a fold; the same for all methods and budgets."""
    keys = (fold.repeat, fold.number)
    return [derive_seed(random_state, *keys, draw) % 2**31 for draw in range(n_draws)]


def place_of(fold: Fold, budget: Budget, draw: int, n_labels: int) -> dict[str, Any]:
    """Say where scores belong, in the columns of a table of scores."""
    return {
        "repeat": fold.repeat,
        "fold": fold.number,
        "fraction": budget.fraction,
        "budget": budget.text,
        "draw": draw,
        "n_labels": n_labels,
        "n_train": len(fold.train),
        "n_test": len(fold.test),
    }


def _checked(fractions: Sequence[float]) -> list[float]:
    with bounded_errors():
        values = sorted({float(fraction) for fraction in fractions})
    if not values or values[0] <= 0 or values[-1] > 1:
        raise ValueError(f"label_fractions must be numbers in (0, 1], got {list(fractions)}")
    return values


def _draws_of(fraction: float, n_draws: int | Mapping[float, int]) -> int:
    wanted = n_draws.get(fraction) if isinstance(n_draws, Mapping) else n_draws
    if wanted is None and fraction == 1.0:
        return 1
    if wanted is None or wanted < 1:
        raise ValueError(
            f"n_draws must be at least 1 for the label fraction {fraction:g}, got "
            f"{shorten(n_draws)}"
        )
    return int(wanted)
