"""Checkpoints after each epoch, from which an interrupted run resumes as if never stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor

from tabimg.serialization import ARRAYS_FILE, STATE_FILE, read_directory, write_directory
from tabimg.training.callbacks import BestWeights
from tabimg.training.checkpoint_folder import FitFolder
from tabimg.training.processes import ONE_PROCESS, Processes
from tabimg.training.schedule import OneCycle

PLAIN = (bool, int, float, str, type(None))
# skorch's own list of batches is empty here.
_NOT_KEPT = "batches"


class Checkpoint(Callback):
    """Weights, optimiser, best weights and history, written after each epoch.

    Parameters
    ----------
    folder : FitFolder or None
        None in all processes but the first, which neither write nor read.
    fingerprint : str
        Of the run's data and parameters. It names the run's place in the folder and is also
        written into the checkpoint, so that a checkpoint that was moved is not resumed.
    best : BestWeights
    schedule : OneCycle
    others : sequence of Callback
        The user's; their attributes with names ending in ``_`` are stored too, if they are numbers,
        text or weights.
    processes : Processes
        All of them resume from what the first one reads.
    """

    def __init__(
        self,
        folder: FitFolder | None,
        fingerprint: str,
        best: BestWeights,
        schedule: OneCycle,
        others: Sequence[Any] = (),
        processes: Processes = ONE_PROCESS,
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.best = best
        self.schedule = schedule
        self.others = others
        self.processes = processes
        self.place_ = folder.stage(fingerprint) if folder and processes.is_first else None
        self.kept_: list[dict[str, Any]] = []

    def on_train_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        """Restore the state of the user's callbacks, which their own ``on_train_begin`` resets."""
        for callback, kept in zip(self.others, self.kept_, strict=False):
            vars(callback).update(
                {k: _to_torch(v) if isinstance(v, dict) else v for k, v in kept.items()}
            )

    def write(self, net: Any) -> None:
        """Write the state of a net between two epochs."""
        seconds = self.schedule.seconds  # which all processes ask for together
        if self.place_ is None:
            return
        optimizer = net.optimizer_.state_dict()
        state = {
            "fingerprint": self.fingerprint,
            "module": _to_numpy(net.module_.state_dict()),
            "optimizer": {str(k): _to_numpy(v) for k, v in optimizer["state"].items()},
            "best": _to_numpy(self.best.state_),
            "best_loss": self.best.loss_,
            "best_epoch": self.best.epoch_,
            "step": self.schedule.step_,
            "seconds": seconds,
            "frozen": [n for n, p in net.module_.named_parameters() if not p.requires_grad],
            "callbacks": [_kept_by(callback) for callback in self.others],
            "history": _plain(net.history),
        }
        write_directory(self.place_, state)

    def finish(self, net: Any) -> None:
        """Write the weights that a complete run ends with."""
        if self.place_ is None:
            return
        state = {
            "fingerprint": self.fingerprint,
            "finished": True,
            "module": _to_numpy(net.module_.state_dict()),
            "history": _plain(net.history),
        }
        write_directory(self.place_, state)

    def resume(self, net: Any) -> int | None:
        """Put an earlier run's state into an initialised net.

        Returns
        -------
        int or None
            The number of the next epoch, or None if the run is complete.

        Warns
        -----
        UserWarning
            If the checkpoint found cannot be used; the run then starts from the beginning.
        """
        saved = self.processes.from_first(lambda: self._read(net))
        if saved is None:
            return 0
        net.module_.load_state_dict(saved.module)
        for epoch in saved.history:
            net.history.new_epoch()
            for name, value in epoch.items():
                net.history.record(name, value)
        if saved.progress is None:
            return None
        self._restore(net, saved.progress)
        return len(saved.history)

    def _read(self, net: Any) -> _Saved | None:
        """Read what an earlier run has left; None if there is nothing that can be used."""
        if self.folder is None or self.place_ is None or not os.path.lexists(self.place_):
            return None
        try:
            return _Saved.read(self.place_, self.fingerprint, net)
        except Exception as error:  # the content may be wrong in any way
            self.place_ = self.folder.put_aside(self.place_, str(error)[:200])
            return None

    def _restore(self, net: Any, progress: _Progress) -> None:
        # torch renumbers the parameters on loading; groups and learning rates are the net's own.
        optimizer = net.optimizer_.state_dict()
        optimizer["state"] = progress.optimizer
        net.optimizer_.load_state_dict(optimizer)
        self.best.state_ = progress.best
        self.best.loss_ = progress.best_loss
        self.best.epoch_ = progress.best_epoch
        self.schedule.first_step = progress.step
        self.schedule.seconds_before = progress.seconds
        self.kept_ = progress.callbacks
        for name, parameter in net.module_.named_parameters():
            parameter.requires_grad_(name not in progress.frozen)


@dataclass(frozen=True)
class _Progress:
    """What an incomplete run needs besides weights and history."""

    optimizer: dict[int, dict[str, Tensor]]
    best: dict[str, Tensor]
    best_loss: float
    best_epoch: int
    step: int
    seconds: float
    frozen: frozenset[str]
    callbacks: list[dict[str, Any]]


@dataclass(frozen=True)
class _Saved:
    """A checkpoint, checked in full before any of it is used."""

    module: dict[str, Tensor]
    history: list[dict[str, Any]]
    progress: _Progress | None

    @classmethod
    def read(cls, place: Path, fingerprint: str, net: Any) -> _Saved:
        state = read_directory(place)
        if not isinstance(state, dict) or "fingerprint" not in state:
            raise ValueError("it is not a checkpoint")
        if state["fingerprint"] != fingerprint:
            raise ValueError("it is from another run")
        foreign = sorted({path.name for path in place.iterdir()} - {STATE_FILE, ARRAYS_FILE})
        if foreign:  # a folder that is replaced as a whole must not hold anything else
            raise ValueError(f"it also holds {foreign[0]!r}, which is not part of a checkpoint")
        wanted = net.module_.state_dict()
        module = _like(wanted, state["module"])
        history = [dict(epoch) for epoch in state["history"]]
        if state.get("finished"):
            return cls(module, history, None)
        parameters = [p for group in net.optimizer_.param_groups for p in group["params"]]
        optimizer = {int(k): _to_torch(v) for k, v in state["optimizer"].items()}
        for number, values in optimizer.items():
            if any(v.shape not in (parameters[number].shape, ()) for v in values.values()):
                raise ValueError("the optimiser's state has another shape")
        progress = _Progress(
            optimizer=optimizer,
            best=_like(wanted, state["best"]),
            best_loss=float(state["best_loss"]),
            best_epoch=int(state["best_epoch"]),
            step=int(state["step"]),
            seconds=float(state["seconds"]),
            frozen=frozenset(state["frozen"]),
            callbacks=[dict(kept) for kept in state["callbacks"]],
        )
        return cls(module, history, progress)


def _like(wanted: Mapping[str, Tensor], arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Turn arrays into tensors, whose names, shapes and dtypes must be those wanted."""
    found = _to_torch(arrays)
    shapes = [{k: (t.shape, t.dtype) for k, t in each.items()} for each in (wanted, found)]
    if shapes[0] != shapes[1]:
        raise ValueError("its tensors differ from those of this run")
    return found


def _kept_by(callback: Any) -> dict[str, Any]:
    """Return the plain values and weights that a callback keeps."""
    kept: dict[str, Any] = {}
    for name, value in vars(callback).items():
        if not name.endswith("_"):
            continue
        if isinstance(value, PLAIN):
            kept[name] = value
        elif isinstance(value, Mapping) and all(isinstance(v, Tensor) for v in value.values()):
            kept[name] = _to_numpy(value)
    return kept


def _to_numpy(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _to_torch(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _plain(history: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in epoch.items() if k != _NOT_KEPT} for epoch in history]
