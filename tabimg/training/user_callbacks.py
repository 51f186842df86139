"""Callbacks given by a user: which of skorch's work here, and copies for each run."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    PassthroughScoring,
    SacredLogger,
    TensorBoard,
    WandbLogger,
    WarmRestartLR,
)

from tabimg.messages import shorten

_LOSSES = (
    "the losses of every epoch are already in the history ('train_loss', 'valid_loss' and each "
    "term): monitor these, or score the fitted estimator"
)
_RATE = (
    "the learning rate follows a one-cycle schedule that sets it before every batch: set lr, "
    "max_epochs or time_limit"
)
# Callbacks that would fail inside skorch or have no effect, and what to use instead.
REFUSED: dict[type, str] = {
    EpochScoring: f"it scores skorch data sets, and there are none; {_LOSSES}",
    BatchScoring: f"it scores skorch data sets, and there are none; {_LOSSES}",
    PassthroughScoring: f"losses of single batches are not kept; {_LOSSES}",
    LRScheduler: _RATE,
    WarmRestartLR: _RATE,
    LoadInitState: "checkpoint_dir= resumes an interrupted fit, warm_start= a finished one",
    InputShapeSetter: "networks get their shapes from the table",
}
# They write to objects of the user, which are never copied.
_LOGGERS = (MlflowLogger, NeptuneLogger, SacredLogger, TensorBoard, WandbLogger)


def check_callbacks(callbacks: Any) -> tuple[Any, ...]:
    """Check the parameter ``callbacks``; classes become instances, as in skorch.

    Parameters
    ----------
    callbacks : None or list of skorch callbacks
        Instances, classes, or tuples of a name and either.

    Returns
    -------
    tuple of Callback, or of tuples of str and Callback

    Raises
    ------
    TypeError
        For anything but a list of callbacks.
    ValueError
        For a skorch callback that cannot work here, or a name given twice; names it.
    """
    if callbacks is not None and not isinstance(callbacks, (list, tuple)):
        raise TypeError(
            f"callbacks must be None or a list of skorch callbacks, got {shorten(callbacks)}"
        )
    checked = tuple(_check_one(item) for item in callbacks or ())
    names = [item[0] for item in checked if isinstance(item, tuple)]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"callbacks: the name {shorten(doubled[0])} is given to more than one")
    return checked


def copies(callbacks: Sequence[Any]) -> list[Any]:
    """Copy checked callbacks for one run: they have state, and the user's stay unchanged."""
    return [
        (item[0], _copy(item[1])) if isinstance(item, tuple) else _copy(item) for item in callbacks
    ]


def _check_one(item: Any) -> Any:
    if isinstance(item, tuple):
        if len(item) != 2 or not isinstance(item[0], str) or isinstance(item[1], tuple):
            raise TypeError(f"callbacks: a tuple must be (name, callback), got {shorten(item)}")
        return item[0], _check_one(item[1])
    kind = item if isinstance(item, type) else type(item)
    for refused, reason in REFUSED.items():
        if issubclass(kind, refused):
            raise ValueError(f"callbacks: {kind.__name__} does not work in tabimg: {reason}")
    if getattr(item, "log_on_batch_end", False):
        raise ValueError(
            f"callbacks: {kind.__name__} does not work in tabimg with log_on_batch_end=True: "
            f"losses of single batches are not kept; {_LOSSES}"
        )
    if not issubclass(kind, Callback):
        raise TypeError(
            "callbacks must be None or a list of skorch callbacks, their classes or (name, "
            f"callback) tuples; got {shorten(item)}"
        )
    if not isinstance(item, type):
        return item
    try:
        return item()
    except TypeError as error:
        raise TypeError(f"callbacks: give an instance of {kind.__name__}: {error}") from error


def _copy(callback: Any) -> Any:
    if isinstance(callback, _LOGGERS):
        return copy.copy(callback)
    try:
        return copy.deepcopy(callback)
    except TypeError:
        # It holds something that cannot be copied, such as a writer with a lock.
        return copy.copy(callback)
