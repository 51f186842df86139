"""Which processes train together: their number, what they agree on, and who owns which rows."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from tabimg.objectives.gathering import ALONE, Gathering, answering
from tabimg.training.runtime import derive_seed

_SHARES, _OWN = 400, 500
# Gradients are averaged in pieces of about this many numbers: it bounds the copy that is sent.
_NUMBERS_AT_ONCE = 2**24

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes of one data-parallel run. One alone sends nothing.

    Parameters
    ----------
    gathering : Gathering, default=ALONE
        How they exchange tensors, and this one's rank.
    """

    gathering: Gathering = ALONE

    @property
    def rank(self) -> int:
        """Number of this process."""
        return self.gathering.rank

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.gathering.size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes checkpoints and shows progress."""
        return self.rank == 0

    def from_first(self, make: Callable[[], T]) -> T:
        """Call a function in the first process, and return its result in all of them."""
        if self.size == 1:
            return make()
        held: list[Any] = [make() if self.is_first else None]
        with answering():
            dist.broadcast_object_list(held, src=0)
        return held[0]

    def all_of(self, value: T) -> list[T]:
        """Return the value of each process, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with answering():
            dist.all_gather_object(values, value)
        return values

    def require_equal(self, digest: Callable[[], str], what: str) -> None:
        """Raise an error in all processes if they were not given the same."""
        if self.size > 1 and len(set(self.all_of(digest()))) > 1:
            raise ValueError(
                f"{what} differ between the processes of this run: each has to call fit with the "
                "same rows, in the same order, and with the same parameters; fit shares the rows "
                "out by itself"
            )

    def average_number(self, value: float) -> float:
        """Return the mean over the processes."""
        if self.size == 1:
            return value
        return float(np.mean(self.all_of(value)))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes.

        `DistributedDataParallel` fixes in advance which parameters have a gradient. Here loss terms
        are absent from batches without photos, callbacks may freeze and unfreeze, and gradients may
        come from several passes.
        """
        if self.size == 1:
            return
        piece: list[Tensor] = []
        for gradient in [p.grad for p in parameters if p.grad is not None]:
            piece.append(gradient)
            if sum(each.numel() for each in piece) >= _NUMBERS_AT_ONCE:
                self._average(piece)
                piece = []
        self._average(piece)

    def _average(self, tensors: list[Tensor]) -> None:
        if not tensors:
            return
        joined = self.gathering.average(torch.cat([each.reshape(-1) for each in tensors]))
        for each, mean in zip(
            tensors, joined.split([each.numel() for each in tensors]), strict=True
        ):
            each.copy_(mean.view_as(each))

    def share(self, has_image: np.ndarray, seed: int) -> np.ndarray:
        """Choose the rows of this process: a random share, and the same share of the photos.

        Parameters
        ----------
        has_image : bool array of shape (n_rows,)
        seed : int
            The same in all processes.

        Returns
        -------
        int64 array
            Ascending. Every row belongs to exactly one process.
        """
        rng = np.random.default_rng(derive_seed(seed, _SHARES))
        order = rng.permutation(len(has_image))
        order = order[np.argsort(~has_image[order], kind="stable")]
        return np.sort(order[self.rank :: self.size])

    def own_seed(self, seed: int) -> int:
        """Derive a seed of this process's own; the first one keeps the run's."""
        return seed if self.is_first else derive_seed(seed, _OWN, self.rank)

    def first_of(self, value: T) -> T:
        """Return the first process's value."""
        return self.from_first(lambda: value)

    def own_device(self, device: torch.device) -> torch.device:
        """Choose this process's GPU where several processes share a machine."""
        if self.size == 1 or str(device) != "cuda":
            return device
        number = int(os.environ.get("LOCAL_RANK", self.rank))
        return torch.device("cuda", number % torch.cuda.device_count())


ONE_PROCESS = Processes()


def current_processes() -> Processes:
    """Return the processes that this one trains with.

    They are those of torch's default process group. Under ``torchrun`` it is made here, unless the
    script has done so. Worker processes and threads, such as joblib's, train alone: in them fits
    are called in no fixed order.
    """
    if not dist.is_available() or not _is_main():
        return ONE_PROCESS
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
            return ONE_PROCESS
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave)
    return Processes(Gathering(dist.get_rank(), dist.get_world_size()))


def _is_main() -> bool:
    return (
        multiprocessing.current_process().name == "MainProcess"
        and threading.current_thread() is threading.main_thread()
    )


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
