"""Checkpoints after each epoch, from which an interrupted run goes on as if never stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tabimg.serialization import read_directory, write_directory
from tabimg.training.callbacks import BestWeights
from tabimg.training.schedule import OneCycle


class Checkpoint:
    """Weights, optimiser, best weights, history and random streams, written after each epoch.

    Parameters
    ----------
    directory : Path
        One run's own folder, named after a fingerprint of its data and parameters, so that folds
        and grid points do not meet. It is removed when the run is complete.
    best : BestWeights
    schedule : OneCycle
        Stored and restored with the rest.
    """

    def __init__(self, directory: Path, best: BestWeights, schedule: OneCycle) -> None:
        self.directory = directory
        self.best = best
        self.schedule = schedule

    def write(self, net: Any) -> None:
        """Write the state of a net between two epochs."""
        optimizer = net.optimizer_.state_dict()
        state = {
            "module": _to_numpy(net.module_.state_dict()),
            "optimizer": {str(k): _to_numpy(v) for k, v in optimizer["state"].items()},
            "best": _to_numpy(self.best.state_),
            "best_loss": self.best.loss_,
            "best_epoch": self.best.epoch_,
            "step": self.schedule.step_,
            "seconds": self.schedule.seconds,
            "random": _to_numpy(_random_states(net)),
            "history": [dict(epoch) for epoch in net.history],
        }
        write_directory(self.directory, _plain(state))

    def remove(self) -> None:
        """Remove the folder of a complete run."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def resume(self, net: Any) -> int:
        """Put an earlier run's state into an initialised net; return the next epoch's number."""
        if not self.directory.is_dir():
            return 0
        state = read_directory(self.directory)
        net.module_.load_state_dict(_to_torch(state["module"]))
        # torch numbers the parameters anew on loading; groups and learning rates are the net's own.
        optimizer = net.optimizer_.state_dict()
        optimizer["state"] = {int(k): _to_torch(v) for k, v in state["optimizer"].items()}
        net.optimizer_.load_state_dict(optimizer)
        self.best.state_ = _to_torch(state["best"])
        self.best.loss_ = state["best_loss"]
        self.best.epoch_ = state["best_epoch"]
        self.schedule.first_step = state["step"]
        self.schedule.seconds_before = state["seconds"]
        _restore_random_states(net, _to_torch(state["random"]))
        for epoch in state["history"]:
            net.history.new_epoch()
            for name, value in epoch.items():
                net.history.record(name, value)
        return len(state["history"])


def _random_states(net: Any) -> dict[str, Tensor]:
    """Give the streams that layers such as dropout draw from."""
    states = {"cpu": torch.get_rng_state()}
    if torch.device(net.device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(net.device)
    return states


def _restore_random_states(net: Any, states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], net.device)


def _to_numpy(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _to_torch(arrays: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Leave skorch's own per-batch list out of the history; it is empty here."""
    history = [{k: v for k, v in e.items() if k != "batches"} for e in state["history"]]
    return {**state, "history": history}
