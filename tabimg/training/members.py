"""The members that an estimator predicts with: fitted, continued and described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tabimg.training.architectures import TaskArchitecture
from tabimg.training.blending import N_FOLDS, Member, blend
from tabimg.training.blocks import Blocks, LabelledRows
from tabimg.training.candidates import Candidates
from tabimg.training.finetuning import FinetuningOptions, continue_training
from tabimg.training.fitted_module import FittedModule
from tabimg.training.networks import NetworkModel, reseeded, seen_rows
from tabimg.training.optimise import History
from tabimg.training.runtime import derive_seed
from tabimg.training.tasks import Task


def fit_members(
    candidates: Candidates, finetune: str, rows: LabelledRows, pairs: Blocks | None, task: Task
) -> tuple[list[Member], dict[str, float]]:
    """Fit networks only, or everything that is blended.

    Parameters
    ----------
    candidates : Candidates
        Their time limit is for all networks together.
    finetune : {"auto", "full", "frozen", "gradual"}
    rows : LabelledRows
    pairs : Blocks or None
        Unlabeled rows with photos, to distil from with "auto".
    task : Task

    Returns
    -------
    members : list of Member
    validation_losses : dict of str to float
        By candidate; empty unless it is a blend.
    """
    if finetune == "auto":
        candidates = candidates.within(1.0 / (candidates.n_members * N_FOLDS))
        return blend(candidates.all(pairs), rows, task, candidates.options.run.seed)
    candidates = candidates.within(1.0 / candidates.n_members)
    models = candidates.network(finetune).fit_members(rows, task)
    return [Member(finetune, 1.0 / len(models), model) for model in models], {}


def continue_members(
    members: Sequence[Member],
    architecture: TaskArchitecture,
    options: FinetuningOptions,
    rows: LabelledRows,
    task: Task,
) -> list[Member]:
    """Continue training the networks of an earlier fit.

    Parameters
    ----------
    members : sequence of Member
    architecture : TaskArchitecture
        As the parameters currently describe it.
    options : FinetuningOptions
        Their time limit is for all networks together.
    rows : LabelledRows
    task : Task

    Raises
    ------
    ValueError
        If a member is not a network, or has another architecture.
    """
    if not all(isinstance(member.model, NetworkModel) for member in members):
        raise ValueError(
            "warm_start continues networks, but the last fit made a blend (finetune='auto'): set "
            "warm_start=False"
        )
    if any(architecture != member.model.module.architecture for member in members):
        raise ValueError(
            "warm_start continues the networks of the last fit, but head, dropout or the encoder's "
            "parameters have changed since: set them back, or set warm_start=False"
        )
    seen, options = seen_rows(rows, architecture), options.within(1.0 / len(members))
    continued = []
    for number, member in enumerate(members):
        net = member.model.module.build()
        own = reseeded(options, derive_seed(options.run.seed, number))
        history = continue_training(net, seen, task, own)
        model = NetworkModel(FittedModule.from_module(architecture, net), history)
        continued.append(replace(member, model=model))
    return continued


def shares_of(members: Sequence[Member]) -> dict[str, float]:
    """Sum the weights in the prediction by name."""
    shares: dict[str, float] = {}
    for member in members:
        shares[member.name] = shares.get(member.name, 0.0) + member.weight
    return shares


def history_of(members: Sequence[Member]) -> History:
    """List the epochs of all networks, each with the number of its member."""
    return [
        {"member": number, **epoch}
        for number, member in enumerate(members)
        for epoch in getattr(member.model, "history", [])
    ]
