"""How long to train, and the one-cycle learning rate, which a time limit can shorten."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback

WARM_UP = 0.3
START_DIVISOR = 25.0
FINAL_DIVISOR = 1e4
BETA_RANGE = (0.85, 0.95)
# Rows that "auto" epochs of pre-training show in all, within so many epochs.
ROWS_SEEN = 40_000
EPOCHS_RANGE = (15, 100)


def auto_epochs(n_rows: int) -> int:
    """Choose the number of pre-training epochs by the number of rows.

    Few rows need many epochs to be seen often enough, many rows few: about ``ROWS_SEEN`` rows are
    shown in all, within ``EPOCHS_RANGE`` epochs.
    """
    low, high = EPOCHS_RANGE
    return min(max(round(ROWS_SEEN / n_rows), low), high)


def one_cycle(progress: float, max_lr: float) -> tuple[float, float]:
    """Learning rate and first AdamW beta at a point of the schedule.

    Parameters
    ----------
    progress : float in [0, 1]
        The share of the schedule that is done.
    max_lr : float

    Returns
    -------
    lr, beta1 : float

    Notes
    -----
    Smith and Topin, "Super-Convergence", arXiv 1708.07120, in the cosine form of
    ``torch.optim.lr_scheduler.OneCycleLR`` with its default constants. With n steps and progress
    step / (n - 1) it equals torch's for ``pct_start=(0.3 * (n - 1) + 1) / n``: the peak is at 0.3
    of the way, while torch's default puts it up to one step earlier. Torch's class needs the number
    of steps in advance, which is unknown under a time limit.
    """
    low_beta, high_beta = BETA_RANGE
    start, end = max_lr / START_DIVISOR, max_lr / START_DIVISOR / FINAL_DIVISOR
    if progress < WARM_UP:
        share = progress / WARM_UP
        return _cosine(start, max_lr, share), _cosine(high_beta, low_beta, share)
    share = (progress - WARM_UP) / (1 - WARM_UP)
    return _cosine(max_lr, end, share), _cosine(low_beta, high_beta, share)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))


class OneCycle(Callback):
    """Set the learning rate before every batch; stop when steps or time have run out.

    Every parameter group follows the cycle up to its own ``max_lr``; a group with ``unfreeze_at``
    stays at zero until that share of the schedule is done.

    Parameters
    ----------
    total_steps : int
        Number of training batches of the whole schedule.
    first_step : int
        Number of batches already done, when a run is resumed.
    time_limit : float, optional
        Seconds after which the cycle ends. Progress is then the larger of the share of the steps
        and the share of the time, so that the learning rate still decreases fully.
    agree : callable, optional
        Maps this process's time to the one that all processes of a run go by: they have to stop at
        the same batch.

    Attributes
    ----------
    seconds_before : float
        Seconds already spent, when a run is resumed; they count towards the limit.
    """

    def __init__(
        self,
        total_steps: int,
        first_step: int = 0,
        time_limit: float | None = None,
        agree: Callable[[float], float] = float,
    ) -> None:
        self.total_steps = total_steps
        self.first_step = first_step
        self.time_limit = time_limit
        self.agree = agree
        self.seconds_before = 0.0

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self.step_ = self.first_step
        self.started_ = self._now() - self.seconds_before

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if not training:
            return
        progress = self.progress
        for group in net.optimizer_.param_groups:
            max_lr = group["max_lr"] if progress >= group.get("unfreeze_at", 0.0) else 0.0
            group["lr"], beta1 = one_cycle(progress, max_lr)
            group["betas"] = (beta1, group["betas"][1])
        self.step_ += 1

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        net.history.record("lr", float(net.optimizer_.param_groups[0]["lr"]))

    @property
    def progress(self) -> float:
        """The share of the schedule that is done, in [0, 1]."""
        by_steps = self.step_ / max(1, self.total_steps - 1)
        return min(1.0, max(by_steps, self._share_of_time()))

    @property
    def exhausted(self) -> bool:
        """Whether the time limit has passed."""
        return self._share_of_time() >= 1.0

    @property
    def seconds(self) -> float:
        """Seconds spent on training so far."""
        return self._now() - self.started_

    def _now(self) -> float:
        return self.agree(time.monotonic())

    def _share_of_time(self) -> float:
        return 0.0 if self.time_limit is None else self.seconds / self.time_limit
