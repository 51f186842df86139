"""Pre-trained weights of the image encoder: those that its name stands for, or a user's file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from tabimg.nn import load_public_weights
from tabimg.training.architectures import ImageArchitecture
from tabimg.training.image_encoders import source_of


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
    # A locked or tuned encoder holds the one that has the weights.
    backbone = getattr(encoder, "backbone", encoder)
    if path is not None:
        load_public_weights(backbone, path)
    elif architecture.vector_width is None:
        source_of(architecture.encoder).load_weights(backbone)
