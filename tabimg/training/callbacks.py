"""Callbacks: guards against divergence, the best weights, early stopping, progress."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn
from tqdm.auto import tqdm

from tabimg.training.streams import LayerStreams

State = dict[str, Tensor]


class DivergenceError(FloatingPointError):
    """Training produced a loss or a gradient that is not finite.

    Parameters
    ----------
    message : str
    reason : str, default=""
        What is not finite, and since when.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def copy_state(module: nn.Module) -> State:
    """Copy all weights and buffers of a module."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


class FreshStreams(Callback):
    """Seed the streams that layers draw from with the number of the epoch."""

    def __init__(self, streams: LayerStreams) -> None:
        self.streams = streams

    def on_epoch_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        self.streams.start_epoch(len(net.history))


class ClipGradients(Callback):
    """Scale the gradient to a norm of at most ``max_norm`` and record the epoch's mean norm."""

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def on_epoch_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        self.norms_: list[Tensor] = []

    def on_grad_computed(
        self, net: Any, named_parameters: Iterable[tuple[str, nn.Parameter]], **kwargs: Any
    ) -> None:
        parameters = [parameter for _, parameter in named_parameters]
        self.norms_.append(nn.utils.clip_grad_norm_(parameters, self.max_norm))

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        net.history.record("gradient_norm", float(torch.stack(self.norms_).mean()))


class FiniteGuard(Callback):
    """Stop with an error that names epoch and term as soon as a recorded value is not finite."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_epoch_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        self.finite_: dict[str, Tensor] = {}
        self.sound_batches_: dict[str, Tensor] = {}

    def on_batch_end(
        self, net: Any, y_pred: dict[str, Tensor], training: bool = False, **kwargs: Any
    ) -> None:
        """Count the batches before each term's first bad one, without waiting for the device."""
        for term, value in y_pred.items():
            name = f"{'train' if training else 'valid'}_{term}"
            finite = torch.isfinite(value.detach()).long()
            self.finite_[name] = finite * self.finite_.get(name, 1)
            self.sound_batches_[name] = self.finite_[name] + self.sound_batches_.get(name, 0)

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        epoch = net.history[-1]
        recorded = (*self.finite_, "gradient_norm", "train_loss", "valid_loss")
        bad = [name for name in recorded if not math.isfinite(epoch.get(name, 0.0))]
        if bad:
            # One step after the first bad term all terms are bad: the first one is the cause.
            name = min(bad, key=lambda n: (n.startswith("valid_"), self._batches_before(n)))
            number, value = epoch["epoch"], epoch[name]
            raise DivergenceError(
                f"{self.stage} diverged in epoch {number}: {name} is {value}. Lower lr, or check "
                "the table for extreme values.",
                f"{name} is {value} in epoch {number}",
            )

    def _batches_before(self, name: str) -> float:
        return float(self.sound_batches_.get(name, math.inf))


class BestWeights(Callback):
    """Keep the weights with the lowest validation loss, including those before the first epoch."""

    def on_train_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        if not hasattr(self, "state_"):
            self.loss_ = _or_infinity(net.validation_loss())
            self.epoch_ = 0
            self.state_ = copy_state(net.module_)

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        loss = net.history[-1].get("valid_loss", -math.inf)
        # Without a validation split the last weights are the ones to keep.
        if loss < self.loss_ or loss == -math.inf:
            self.loss_ = loss
            self.epoch_ = len(net.history)
            self.state_ = copy_state(net.module_)

    def on_train_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        net.module_.load_state_dict(self.state_)


def _or_infinity(loss: float | None) -> float:
    return math.inf if loss is None or math.isnan(loss) else loss


class EarlyStop(Callback):
    """Stop training after ``patience`` epochs without a lower validation loss."""

    def __init__(self, best: BestWeights, patience: int) -> None:
        self.best = best
        self.patience = patience

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        if len(net.history) - self.best.epoch_ >= self.patience:
            raise KeyboardInterrupt  # skorch's signal for the end of training


class Progress(Callback):
    """A progress bar over the epochs, with the losses of the last one."""

    def __init__(self, description: str) -> None:
        self.description = description

    def on_train_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        self.bar_ = tqdm(total=net.max_epochs, initial=len(net.history), desc=self.description)

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        epoch = net.history[-1]
        shown = {
            name.removeprefix("train_"): f"{value:.3f}"
            for name, value in epoch.items()
            if name.startswith("train_") and not name.endswith(("weighted", "best"))
        }
        if "valid_loss" in epoch:
            shown["valid"] = f"{epoch['valid_loss']:.3f}"
        self.bar_.set_postfix(shown, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        self.bar_.close()
