"""Random streams for the layers of a network in training: for dropout masks and the like."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from tabimg.nn.dropout import Dropout
from tabimg.training.runtime import PROCESS_STATE, derive_seed

_MASKS = 300
_DRAWING_LAYERS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.MultiheadAttention,
    nn.RNNBase,
)


class LayerStreams:
    """The random streams of one training run, reseeded for each epoch.

    tabimg's layers draw from their own generator. Other layers draw from streams of the whole
    process: training a network with such layers, or with classes from outside torch and tabimg,
    which may draw, makes all other such runs wait, and restores the streams of torch, numpy and
    Python when it ends.

    Parameters
    ----------
    module : nn.Module
    seed : int
    device : torch.device
        Where the module is.
    """

    def __init__(self, module: nn.Module, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self._own = [layer for layer in module.modules() if isinstance(layer, Dropout)]
        self._generator = torch.Generator(device)
        self._needs_process = any(map(_may_draw_from_process, module.modules()))

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the streams to the layers."""
        with _process_streams(self._device) if self._needs_process else nullcontext():
            for layer in self._own:
                layer.generator = self._generator
            try:
                yield
            finally:
                for layer in self._own:
                    layer.generator = None

    def state(self) -> list[Any]:
        """Return where the streams stand."""
        states: list[Any] = [self._generator.get_state()]
        if self._needs_process:
            states += [torch.get_rng_state(), np.random.get_state(), random.getstate()]
            if self._device.type == "cuda":
                states.append(torch.cuda.get_rng_state(self._device))
        return states

    def restore(self, state: list[Any]) -> None:
        """Put the streams where they stood: the layers draw the same again."""
        self._generator.set_state(state[0])
        if self._needs_process:
            torch.set_rng_state(state[1])
            np.random.set_state(state[2])
            random.setstate(state[3])
            if self._device.type == "cuda":
                torch.cuda.set_rng_state(state[4], self._device)

    def start_epoch(self, epoch: int) -> None:
        """Seed the streams with the number of an epoch: a resumed run draws the same."""
        seed = derive_seed(self._seed, _MASKS, epoch)
        self._generator.manual_seed(seed)
        if self._needs_process:
            _seed_process(seed, self._device)


def _may_draw_from_process(layer: nn.Module) -> bool:
    if isinstance(layer, Dropout):
        return False
    known = type(layer).__module__.startswith(("torch.nn.", "tabimg."))
    return not known or isinstance(layer, _DRAWING_LAYERS)


@contextmanager
def _process_streams(device: torch.device) -> Iterator[None]:
    """Hold the streams of the process exclusively, and restore them."""
    with PROCESS_STATE, torch.random.fork_rng([device] if device.type == "cuda" else []):
        states = random.getstate(), np.random.get_state()
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _seed_process(seed: int, device: torch.device) -> None:
    # torch.manual_seed would also seed devices whose streams are not restored.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
