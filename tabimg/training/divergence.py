"""Training that diverges is begun again at a lower learning rate, and said."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from tabimg.messages import warn
from tabimg.training.callbacks import DivergenceError, State, copy_state
from tabimg.training.optimise import History

# The learning rate of each attempt as a share of the one that was asked for.
LR_FACTORS = (1.0, 0.1, 0.01)
# How many times the loss of a constant prediction is no longer a matter of chance.
CLEARLY_WORSE = 3.0


def train_without_diverging(
    net: nn.Module,
    train: Callable[[float], History],
    loss_of_net: Callable[[], float],
    constant_loss: float,
) -> History:
    """Train a network; where that diverges, again from its start at a lower rate.

    Clipping the gradient does not keep AdamW from diverging, whose steps have the size of the
    learning rate whatever the gradient's norm is.

    Parameters
    ----------
    net : nn.Module
        Changed in place. If no attempt goes well it ends with the weights that it came with.
    train : callable
        Trains the net at that share of the learning rate.
    loss_of_net : callable
        Mean loss of the net as it stands, without dropout, on the rows whose loss ends the history.
    constant_loss : float
        What the same prediction for every row loses there.

    Returns
    -------
    history : list of dict
        Of the last attempt that ended with finite losses, which may be none; from the second
        attempt on each entry has ``lr_factor``, the share of the learning rate.

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
        what = "the weights stay as they were" if lower is None else f"again at {lower:g} * lr"
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
    """Tell how a finished run diverged, or None if it did not."""
    if not history:
        return None
    name = "valid_loss" if "valid_loss" in history[-1] else "train_loss"
    loss = history[-1][name]
    if name == "valid_loss" and not _equal(net.state_dict(), start):
        return None  # some epoch was better than the start, and is kept
    if name == "train_loss" and loss > CLEARLY_WORSE * constant_loss:
        # Dropout makes the loss of a large head on few rows bad; it has no part in predictions.
        name, loss = "the loss", loss_of_net()
    if math.isfinite(loss) and loss <= CLEARLY_WORSE * constant_loss:
        return None
    return f"{name} ended at {loss:.3g}, where a constant prediction has {constant_loss:.3g}"


def _equal(state: State, other: State) -> bool:
    return all(torch.equal(tensor.cpu(), other[name].cpu()) for name, tensor in state.items())
