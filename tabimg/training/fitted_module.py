"""A trained module at rest: the architecture that builds it, and its weights as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from tabimg.nn.isolation import isolated
from tabimg.serialization import register
from tabimg.training.loaded_modules import check_fitted

M = TypeVar("M", bound=nn.Module)
M_co = TypeVar("M_co", bound=nn.Module, covariant=True)


class Architecture(Protocol[M_co]):
    """Plain parameters that build an untrained module."""

    def build(self) -> M_co: ...


R = TypeVar("R", bound=Architecture[Any])


class FittedModule(Generic[R, M]):
    """A trained module that pickles, hashes and saves as plain arrays.

    Parameters
    ----------
    architecture : Architecture
    arrays : mapping of str to ndarray
        The module's ``state_dict``.

    Notes
    -----
    A live module in an estimator's state breaks joblib's hashing and skops, so the live module is
    only a cache here, rebuilt when it is missing.
    """

    def __init__(self, architecture: R, arrays: Mapping[str, np.ndarray]) -> None:
        self.architecture = architecture
        self.arrays = dict(arrays)
        self._live: M | None = None

    @classmethod
    def from_module(cls, architecture: R, module: M) -> FittedModule[R, M]:
        """Take a copy of a module's weights."""
        arrays = {
            name: tensor.detach().cpu().numpy().copy()
            for name, tensor in module.state_dict().items()
        }
        return cls(architecture, arrays)

    def build(self) -> M:
        """Build a new module with these weights, on the CPU, in evaluation mode."""
        # The weights drawn here are overwritten at once; the global stream must not change.
        with isolated(0):
            module = self.architecture.build()
        module.load_state_dict({name: torch.tensor(a) for name, a in self.arrays.items()})
        return module.eval()

    def on(self, device: torch.device) -> M:
        """Return the shared live module, moved to a device; for inference only."""
        if self._live is None:
            self._live = self.build()
        return self._live.to(device)

    def __getstate__(self) -> dict[str, Any]:
        return {"architecture": self.architecture, "arrays": self.arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In older files the architecture was a recipe.
        names = {"recipe": "architecture"}
        self.__dict__.update({names.get(name, name): value for name, value in state.items()})
        self._live = None


register(FittedModule, check=check_fitted)
