"""Progress of training: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from skorch.callbacks import Callback

from tabimg.cli.console import notes, say
from tabimg.evaluation.cost.words import seconds_in_words

SECONDS_BETWEEN_LINES = 10.0


class Epochs(Callback):
    """Show stage, epoch, loss, epochs per second and the time left of each network.

    Parameters
    ----------
    stage : str
    time_limit : float or None
        Seconds, after which the training ends whatever the epoch.
    """

    def __init__(self, stage: str, time_limit: float | None = None) -> None:
        self.stage = stage
        self.time_limit = time_limit

    # Estimators copy callbacks for each network; all of them share the one display.
    def __deepcopy__(self, memo: Any) -> Epochs:
        return Epochs(self.stage, self.time_limit)

    def on_train_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.began, self.first = time.monotonic(), len(net.history)
        _DISPLAY.start(self.stage, net.max_epochs)

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        """Show the epoch that ended."""
        done, seconds = len(net.history), time.monotonic() - self.began
        rate = (done - self.first) / max(seconds, 1e-9)
        left = (net.max_epochs - done) / rate
        if self.time_limit is not None:
            left = min(left, max(self.time_limit - seconds, 0.0))
        loss = net.history[-1].get("valid_loss", net.history[-1]["train_loss"])
        _DISPLAY.show(done, loss, rate, left)

    def on_train_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        """Close the display of this network."""
        _DISPLAY.end(len(net.history))


class _Display:
    """One bar or one line at a time."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.stage, self.total, self.last = "", 0, 0.0

    def start(self, stage: str, total: int) -> None:
        self.stage, self.total, self.last = stage, total, time.monotonic()
        if notes.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} epochs{task.fields[told]}"),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=notes, transient=True)
            self.bar.add_task(stage, total=total, told="")
            self.bar.start()

    def show(self, done: int, loss: float, rate: float, left: float) -> None:
        told = f", loss {loss:.3f}, {rate:.1f} epochs/s"
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done, told=told)
        elif time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            say(f"{self.stage}: epoch {done} of {self.total}{told}, {seconds_in_words(left)} left")

    def end(self, done: int) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


_DISPLAY = _Display()


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Say that a stage begins, and how long it took."""
    say(f"{name} ...")
    began = time.monotonic()
    try:
        yield
    finally:
        _DISPLAY.close()
    say(f"{name}: done in {seconds_in_words(time.monotonic() - began)}")
