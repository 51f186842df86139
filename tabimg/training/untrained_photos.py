"""What the public weights of an image encoder see in photos, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tabimg.image import PhotoOptions, RowImages
from tabimg.messages import shorten
from tabimg.nn import LockedEncoder
from tabimg.nn.isolation import isolated
from tabimg.training.architectures import ImageArchitecture
from tabimg.training.image_encoders import check_image_encoder, described, source_of
from tabimg.training.image_weights import load_image_weights
from tabimg.training.photo_embedding import embed_in_rows
from tabimg.training.photo_inputs import open_photos


def public_encoder(
    image_encoder: str | Callable[[], nn.Module], image_size: int | str
) -> tuple[LockedEncoder, int]:
    """Build an image encoder with the weights that its name stands for.

    Parameters
    ----------
    image_encoder : str or callable
        As in `MultiModalPretrainer`; a callable returns a module with weights of its own.
    image_size : int or "auto"
        Height and width of the photos in pixels.

    Returns
    -------
    encoder : LockedEncoder
    image_size : int

    Raises
    ------
    ValueError
        If there is no such encoder, or its name stands for random weights.
    ImportError
        If a package that it needs is not installed.
    """
    check_image_encoder(image_encoder)
    encoder = described(image_encoder)
    source = source_of(encoder)
    if not callable(image_encoder) and not source.pretrained:
        raise ValueError(
            f"image_encoder={shorten(image_encoder)} has no pre-trained weights, so it sees "
            "nothing yet: take image_encoder='efficientnet_lite0'"
        )
    source.require()
    side = source.image_size if image_size == "auto" else int(image_size)
    architecture = ImageArchitecture(encoder, side, training="locked")
    with isolated(0):
        network = architecture.build()
    assert isinstance(network, LockedEncoder)
    load_image_weights(network, architecture, None)
    return network.eval(), side


def see_photos(
    images: RowImages, encoder: LockedEncoder, options: PhotoOptions, device: torch.device
) -> np.ndarray:
    """Return what a locked encoder sees in the first photo of each row.

    Parameters
    ----------
    images : RowImages of n_rows rows
        Photos, not vectors.
    encoder : LockedEncoder
    options : PhotoOptions
        A later fit with equal ones, and with the same encoder, finds the photos already seen.
    device : torch.device

    Returns
    -------
    float32 array of shape (n_rows, width), NaN for rows without a photo

    Raises
    ------
    tabimg.image.ImageReadError
        For a photo that cannot be read, unless ``on_bad_image`` allows it.
    """
    cpu = torch.device("cpu")
    with open_photos(images, encoder, options, device) as (photos, images):
        return embed_in_rows(
            images,
            encoder.width,
            lambda _, features: features.mean(axis=1),
            lambda ids: photos.plain(ids, cpu).numpy(),
        )
