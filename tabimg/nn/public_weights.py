"""Published weights, read from a file into a network of the same names and shapes."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

# Under the names of torchvision and of efficientnet-lite-pytorch.
_CLASSIFIERS = ("fc.", "_fc.")


def load_public_weights(module: nn.Module, path: str | Path) -> None:
    """Load a local file of published weights into a network, in place.

    Parameters
    ----------
    module : torch.nn.Module
        A network with the parameter names of the publication, such as ``resnet18()``.
    path : str or Path
        A ``.safetensors`` file, or a file written by ``torch.save`` (``.pth``), which is read with
        ``weights_only=True``: no code in it is run. A classifier (``fc.*``, ``_fc.*``) is ignored.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read as weights, or its names or shapes are not the network's. The
        network is then left unchanged.
    """
    weights = _read_weights(Path(path))
    weights = {name: w for name, w in weights.items() if not name.startswith(_CLASSIFIERS)}
    own = module.state_dict()
    # Files saved by early versions of torch have no batch counts; torch then keeps its own.
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    faults = {
        "missing": sorted(needed - weights.keys()),
        "unexpected": sorted(weights.keys() - own.keys()),
        "of a different shape": sorted(
            f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own.keys() & weights.keys()
            if own[name].shape != weights[name].shape
        ),
    }
    if any(faults.values()):
        told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
        raise ValueError(f"the weights in {path} do not fit {type(module).__name__}: {told}")
    module.load_state_dict({**own, **weights})


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read as weights ({error}); "
            "give a .safetensors file or a state dict saved by torch.save"
        ) from error
    if not isinstance(weights, Mapping) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise ValueError(f"{path} does not hold a state dict (a mapping from names to tensors)")
    return weights
