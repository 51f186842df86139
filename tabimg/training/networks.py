"""Fine-tuned networks as members of a blend: one per fold, averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from joblib import Parallel, delayed

from tabimg.nn.task import TaskNet
from tabimg.serialization import register
from tabimg.serialization.checks import check_items, check_type
from tabimg.training.architectures import TaskArchitecture
from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.finetuning import FIT_MODES, FinetuningOptions
from tabimg.training.fitted_module import FittedModule
from tabimg.training.inference import apply_to_table
from tabimg.training.optimise import History
from tabimg.training.runtime import derive_seed
from tabimg.training.splits import Split
from tabimg.training.tasks import Task


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A fine-tuned network.

    Parameters
    ----------
    module : FittedModule
    history : list of dict
        One entry per epoch of its training.
    """

    module: FittedModule[TaskArchitecture, TaskNet]
    history: History

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        """Predict in blocks of one size; see `Model`."""
        net = self.module.on(device)
        columns = blocks[COLUMNS][:, : self.module.architecture.n_columns]

        def apply(*inputs: torch.Tensor) -> torch.Tensor:
            return task.predictions(net.predict(*inputs))

        return apply_to_table(apply, blocks.table, columns, device=device)


def check_network(model: NetworkModel) -> None:
    """Raise a ValueError for anything but a fine-tuned network."""
    check_type("module", model.module, FittedModule)
    check_type("architecture", model.module.architecture, TaskArchitecture)
    check_items("history", model.history, list, dict)


register(NetworkModel, check=check_network)


@dataclass(frozen=True)
class NetworkCandidate:
    """A way to fine-tune: a mode and an initial network.

    Parameters
    ----------
    mode : str
        A key of ``FIT_MODES``.
    architecture : TaskArchitecture
    start : callable
        Maps a seed to a new network to fit, with the pre-trained or a random encoder.
    options : FinetuningOptions
    n_members : int
        Networks from different seeds; in a blend, per fold.
    """

    mode: str
    architecture: TaskArchitecture
    start: Callable[[int], TaskNet]
    options: FinetuningOptions
    n_members: int

    def fit_members(self, rows: LabelledRows, task: Task) -> list[NetworkModel]:
        """Fit new networks from different seeds on the same rows."""
        seen, models = seen_rows(rows, self.architecture), []
        for number in range(self.n_members):
            options = reseeded(self.options, derive_seed(self.options.run.seed, number))
            net = self.start(options.run.seed)
            history = FIT_MODES[self.mode](net, seen, task, options)
            models.append(NetworkModel(FittedModule.from_module(self.architecture, net), history))
        return models

    def cross_fit(
        self, rows: LabelledRows, folds: Sequence[Split], task: Task
    ) -> tuple[np.ndarray, list[NetworkModel]]:
        """Fit networks on each fold and keep them all, so that none is trained in vain.

        With only one fold, or none, networks are fitted on all rows. Folds are fitted side by side
        in as many threads as joblib is configured for. See `tabimg.training.blending.Candidate`.
        """
        held_out = np.full((len(rows), task.n_outputs), np.nan)
        models: list[NetworkModel] = []
        fits = (
            delayed(self._reseeded(derive_seed(self.options.run.seed, 100, number)).fit_members)(
                rows.take(train), task
            )
            for number, (train, _) in enumerate(folds)
        )
        by_fold = Parallel(require="sharedmem")(fits)
        for fitted, (_, valid) in zip(by_fold, folds, strict=True):
            blocks, device = rows.blocks.take(valid), self.options.run.device
            held_out[valid] = np.mean([m.predict(blocks, task, device) for m in fitted], axis=0)
            models += fitted
        return held_out, models if len(folds) > 1 else self.fit_members(rows, task)

    def _reseeded(self, seed: int) -> NetworkCandidate:
        return replace(self, options=reseeded(self.options, seed))


def seen_rows(rows: LabelledRows, architecture: TaskArchitecture) -> LabelledRows:
    """Leave out the columns that a network's head does not see."""
    columns = rows.columns[:, : architecture.n_columns]
    return replace(rows, blocks=rows.blocks.having(columns=columns))


def reseeded(options: FinetuningOptions, seed: int) -> FinetuningOptions:
    """Return the same options with another seed."""
    return replace(options, run=replace(options.run, seed=seed))
