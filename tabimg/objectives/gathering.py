"""What the processes of one run computed on their shares of a batch, brought together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


class LostProcessError(RuntimeError):
    """Another process of the run has ended, or does not answer."""


@dataclass(frozen=True)
class Gathering:
    """Exchanges tensors with the other processes of the default process group.

    With one process everything is returned as it is. All processes have to call the same methods
    in the same order.

    Parameters
    ----------
    rank : int, default=0
        Number of this process.
    size : int, default=1
        Number of processes.

    Notes
    -----
    A loss over several processes is the mean of their local losses, as in data-parallel training,
    whose gradients are averaged. Local losses that compare a share of the anchors with gathered
    candidates, through which gradients flow back to where these were computed, and that divide by
    the average of the processes' weights, average to the loss of the joint batch, and so do their
    gradients.
    """

    rank: int = 0
    size: int = 1

    def gather(self, tensor: Tensor, lengths: list[int] | None = None) -> Tensor:
        """Concatenate the processes' tensors; gradients flow back to each of them.

        Parameters
        ----------
        tensor : tensor of shape (b, ...)
            ``b`` may differ between processes; the rest of the shape may not.
        lengths : list of int, optional
            The processes' ``b``, which are asked for if they are not given.

        Returns
        -------
        tensor of shape (sum of b, ...)
            In the order of the ranks.
        """
        if self.size == 1:
            return tensor
        if lengths is None:
            lengths = self.lengths(len(tensor), tensor.device)
        return _Gather.apply(tensor, lengths, self.rank)

    def lengths(self, length: int, device: torch.device | None = None) -> list[int]:
        """Return the length that each process names, in the order of the ranks."""
        if self.size == 1:
            return [length]
        own = torch.tensor([length], device=device)
        return torch.cat(_all_gather(own, self.size)).tolist()

    def average(self, value: Tensor) -> Tensor:
        """Return the mean over the processes, without a gradient."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        with answering():
            dist.all_reduce(total)
        return total / self.size


ALONE = Gathering()


class _Gather(torch.autograd.Function):
    """All-gather whose gradient is the sum of what all processes ask of this one's tensor."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, lengths: list[int], rank: int) -> Tensor:
        ctx.start, ctx.length = sum(lengths[:rank]), lengths[rank]
        # All tensors of one collective have one shape, and not every backend knows bool.
        padded = tensor.new_zeros((max(lengths), *tensor.shape[1:]), dtype=_sendable(tensor.dtype))
        padded[: len(tensor)] = tensor
        parts = _all_gather(padded, len(lengths))
        joined = torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])
        return joined.to(tensor.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        with answering():
            dist.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.length], None, None


def _sendable(dtype: torch.dtype) -> torch.dtype:
    return torch.uint8 if dtype == torch.bool else dtype


def _all_gather(tensor: Tensor, size: int) -> list[Tensor]:
    parts = [torch.empty_like(tensor) for _ in range(size)]
    with answering():
        dist.all_gather(parts, tensor)
    return parts


@contextmanager
def answering() -> Iterator[None]:
    """Turn the error of a collective that cannot be completed into a `LostProcessError`."""
    try:
        yield
    except LostProcessError:
        raise
    except RuntimeError as error:
        raise LostProcessError(
            "another process of this run has ended, or has not answered within the timeout of the "
            "process group. Its own message, if any, says why. Start all processes again: with "
            f"checkpoint_dir, the run resumes after its last epoch. ({error})"
        ) from error
