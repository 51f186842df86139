"""Choosing how to fine-tune by inner validation, training from scratch among the choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tabimg.nn.task import TaskNet
from tabimg.training.finetuning import FIT_MODES, FinetuningOptions, LabelledRows, row_losses
from tabimg.training.run import History
from tabimg.training.splits import grouped_folds
from tabimg.training.tasks import Task

N_FOLDS = 3
# With many rows one fold already tells the candidates apart.
ONE_FOLD_ROWS = 3000


@dataclass(frozen=True)
class Candidate:
    """A way to fit: a fine-tuning mode, and where its network starts.

    Parameters
    ----------
    mode : str
        A key of ``FIT_MODES``.
    start : callable
        Gives a new network to fit; the pre-trained or a random encoder.
    """

    mode: str
    start: Callable[[], TaskNet]

    def fit(
        self, rows: LabelledRows, task: Task, options: FinetuningOptions
    ) -> tuple[TaskNet, History]:
        """Fit a new network on rows; give it with the history of its training."""
        net = self.start()
        return net, FIT_MODES[self.mode](net, rows, task, options)


def n_selection_runs(n_candidates: int, n_rows: int) -> int:
    """Count the networks that a selection trains; a single candidate needs none."""
    if n_candidates < 2:
        return 0
    return n_candidates * (N_FOLDS if n_rows < ONE_FOLD_ROWS else 1)


def validation_losses(
    candidates: dict[str, Candidate],
    rows: LabelledRows,
    task: Task,
    options: FinetuningOptions,
) -> dict[str, float]:
    """Mean loss of each candidate on validation rows that its fit did not see.

    Parameters
    ----------
    candidates : dict of str to Candidate
    rows : LabelledRows
        Training rows; folds keep their groups together.
    task : Task
    options : FinetuningOptions

    Returns
    -------
    losses : dict of str to float
        Empty where the rows cannot be split.
    """
    quiet = replace(options, run=replace(options.run, verbose=0, callbacks=()))
    folds = grouped_folds(rows.groups, N_FOLDS, options.run.seed, task.classes(rows.target))
    if len(rows) >= ONE_FOLD_ROWS:
        folds = folds[:1]
    if not folds:
        return {}
    totals = dict.fromkeys(candidates, 0.0)
    total_weight = 0.0
    for train, valid in folds:
        held_out = rows.take(valid)
        total_weight += float(held_out.weight.sum())
        for name, candidate in candidates.items():
            net, _ = candidate.fit(rows.take(train), task, quiet)
            losses = row_losses(net, held_out, task, quiet)
            totals[name] += float(np.sum(losses * held_out.weight))
    return {name: total / total_weight for name, total in totals.items()}
