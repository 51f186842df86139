"""The members that an estimator predicts with: fitted, continued and described."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tabimg.training.architectures import TaskArchitecture
from tabimg.training.blending import N_FOLDS, Blend, Candidate, Member, blend
from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.candidates import Candidates, source_of
from tabimg.training.finetuning import FinetuningOptions, continue_training
from tabimg.training.fitted_module import FittedModule
from tabimg.training.networks import NetworkModel, reseeded, seen_rows
from tabimg.training.optimise import History
from tabimg.training.report import FitReport, MemberReport, Stopwatch
from tabimg.training.runtime import derive_seed
from tabimg.training.tasks import Task


def fit_members(
    candidates: Candidates,
    finetune: str,
    rows: LabelledRows,
    pairs: Blocks | None,
    task: Task,
    watch: Stopwatch,
) -> tuple[list[Member], Blend | None]:
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
    watch : Stopwatch

    Returns
    -------
    members : list of Member
    blended : Blend or None
        None if networks alone were fitted.
    """
    if finetune == "auto":
        candidates = candidates.within(1.0 / (candidates.n_members * N_FOLDS))
        with watch("blend"):
            found = candidates.all(rows, pairs, task)
            prior = prior_of(found, is_pretrained=candidates.pretrained is not None)
            blended = blend(found, rows, task, candidates.options.run.seed, prior)
        return blended.members, blended
    candidates = candidates.within(1.0 / candidates.n_members)
    with watch("fine-tuning"):
        models = candidates.network(finetune).fit_members(rows, task)
    return [Member(finetune, 1.0 / len(models), model) for model in models], None


def prior_of(names: Iterable[str], is_pretrained: bool) -> dict[str, float]:
    """Give half of the prior to what learns from labelled columns, half to what photos taught.

    With few labels the blend is close to it: were it even, the many members that photos taught
    would outvote the others, whether or not photos help.
    """
    sources = {name: source_of(name, is_pretrained) for name in names}
    own = [name for name, source in sources.items() if source == "columns"]
    taught = [name for name in sources if name not in own]
    share = 0.5 if taught else 1.0
    return {name: share / len(half) for half in (own, taught) for name in half}


def control_losses(
    blended: Blend | None,
    candidates: Candidates,
    rows: LabelledRows,
    pairs: Blocks | None,
    shuffled: tuple[LabelledRows, Blocks | None],
    task: Task,
) -> dict[str, float]:
    """Compute the loss of a blend if its photos were others, or its teacher saw none.

    Parameters
    ----------
    blended : Blend or None
        Without one there is nothing to compare.
    candidates : Candidates
    rows, pairs
        What was blended.
    shuffled : rows and pairs
        The same with shuffled photos.
    task : Task

    Returns
    -------
    dict of str to float
        By control; without pairs there is no teacher.
    """
    if blended is None:
        return {}
    other_rows, other_pairs = shuffled
    others = candidates.of_photos(other_rows, other_pairs, task)
    taught = {name for name in blended.held_out if source_of(name) == "photos"}
    losses = {"shuffled photos": _loss_with(others, taught, blended, other_rows, task)}
    if pairs is not None:
        own = candidates.students(pairs, task, (COLUMNS,))
        blind = {name: each for name, each in own.items() if name in taught}
        losses["a teacher without photos"] = _loss_with(blind, set(blind), blended, rows, task)
    return losses


def _loss_with(
    others: Mapping[str, Candidate],
    replaced: set[str],
    blended: Blend,
    rows: LabelledRows,
    task: Task,
) -> float:
    """Mean loss of a blend with other candidates in place of some."""
    held_out = {name: part for name, part in blended.held_out.items() if name not in replaced}
    for name, candidate in others.items():
        held_out[name], _ = candidate.cross_fit(rows, blended.folds, task)
    return replace(blended, held_out=held_out).loss(rows, task)


def report_of(
    blended: Blend | None,
    rows: LabelledRows,
    pairs: Blocks | None,
    task: Task,
    is_pretrained: bool,
    seconds: Mapping[str, float],
    controls: Mapping[str, float],
) -> FitReport:
    """Say what a fit found out."""
    n_pairs = 0 if pairs is None else len(pairs)
    if blended is None:
        return FitReport(math.nan, math.nan, len(rows), n_pairs, (), dict(seconds))
    shares = shares_of(blended.members)
    members = tuple(
        MemberReport(
            name,
            float(shares[name]),
            blended.losses.get(name, math.nan),
            source_of(name, is_pretrained),
            blended.seconds[name],
        )
        for name in blended.held_out
    )
    alone = [member.name for member in members if member.learned_from == "columns"]
    losses = (blended.loss(rows, task), blended.loss(rows, task, alone))
    return FitReport(*losses, len(rows), n_pairs, members, dict(seconds), dict(controls))


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
