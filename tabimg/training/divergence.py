"""Training that diverges restarts at a lower learning rate, with a warning."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from tabimg.messages import warn
from tabimg.training.callbacks import DivergenceError, State, copy_state
from tabimg.training.optimise import History

# The learning rate of each attempt as a share of the requested one.
LR_FACTORS = (1.0, 0.1, 0.01)
# From this multiple of a constant prediction's loss on, a loss is no longer due to chance.
CLEARLY_WORSE = 3.0


def train_without_diverging(
    net: nn.Module,
    train: Callable[[float], History],
    loss_of_net: Callable[[], float],
    constant_loss: float,
) -> History:
    """Train a network; if training diverges, restart it at a lower learning rate.

    Clipping the gradient does not keep AdamW from diverging: its steps have the size of the
    learning rate, whatever the gradient's norm.

    Parameters
    ----------
    net : nn.Module
        Changed in place. If all attempts diverge, it keeps its initial weights.
    train : callable
        Trains the net at the given share of the learning rate.
    loss_of_net : callable
        Mean loss of the current net, without dropout, on the rows whose loss ends the history.
    constant_loss : float
        Loss of a constant prediction on these rows.

    Returns
    -------
    history : list of dict
        Of the last attempt that ended with finite losses, if any; from the second attempt on, each
        entry has ``lr_factor``, the share of the learning rate.

    Raises
    ------
    DivergenceError
        If no attempt ends with finite losses, and the net's loss was not finite before either.

    Warns
    -----
    UserWarning
        For each attempt that diverged.
    """
    start, history = copy_state(net), []
    for factor, lower in zip(LR_FACTORS, (*LR_FACTORS[1:], None), strict=True):
        cause = None
        try:
            history = _marked(train(factor), factor)
            failure = _failure(net, start, history, loss_of_net, constant_loss)
        except DivergenceError as error:
            cause, failure = error, error.reason
        if failure is None:
            return history
        net.load_state_dict(start)
        if cause is not None and lower is None and not math.isfinite(loss_of_net()):
            raise cause
        what = "the weights are left unchanged" if lower is None else f"retrying at {lower:g} * lr"
        warn(f"fine-tuning diverged: {failure}; {what}")
    return history


def _marked(history: History, factor: float) -> History:
    return history if factor == 1.0 else [{**epoch, "lr_factor": factor} for epoch in history]


def _failure(
    net: nn.Module,
    start: State,
    history: History,
    loss_of_net: Callable[[], float],
    constant_loss: float,
) -> str | None:
    """Say how a finished run diverged; None if it did not."""
    if not history:
        return None
    name = "valid_loss" if "valid_loss" in history[-1] else "train_loss"
    loss = history[-1][name]
    if name == "valid_loss" and not _equal(net.state_dict(), start):
        return None  # the weights of some epoch were better than the start
    if name == "train_loss" and loss > CLEARLY_WORSE * constant_loss:
        # Dropout makes the loss of a large head on few rows bad, but does not affect predictions.
        name, loss = "the loss", loss_of_net()
    if math.isfinite(loss) and loss <= CLEARLY_WORSE * constant_loss:
        return None
    return f"{name} ended at {loss:.3g}, that of a constant prediction is {constant_loss:.3g}"


def _equal(state: State, other: State) -> bool:
    return all(torch.equal(tensor.cpu(), other[name].cpu()) for name, tensor in state.items())
