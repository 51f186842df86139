"""What the layers of a network draw from while it trains: dropout's masks and the like."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

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
    """The random streams of one training, seeded anew for each epoch.

    Our own layers draw from a generator that nobody else has. What other layers draw from belongs
    to the whole process: the training of a network with such layers, or with classes that are
    neither torch's nor ours and may draw, keeps all other such trainings waiting, and puts torch's,
    numpy's and Python's streams back when it ends.

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

    def start_epoch(self, epoch: int) -> None:
        """Seed the streams with the number of an epoch: a resumed training goes on alike."""
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
    """Have the streams of the process to oneself, and put them back."""
    with PROCESS_STATE, torch.random.fork_rng([device] if device.type == "cuda" else []):
        states = random.getstate(), np.random.get_state()
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _seed_process(seed: int, device: torch.device) -> None:
    # torch.manual_seed would also seed the devices that are not put back.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
