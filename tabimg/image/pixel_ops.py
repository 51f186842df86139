"""Batched pixel operations with explicit parameters: nothing here draws random numbers.

Images are float32 tensors of shape (B, 3, H, W) with values in 0..255 up to :func:`recolour`,
which normalises them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Mean and standard deviation of ImageNet's RGB values in [0, 1]: what public weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Share of red, green and blue in the luma of ITU-R BT.601, as Pillow and torchvision use it.
LUMA = (0.299, 0.587, 0.114)
MAX_VALUE = 255.0


def to_planes(pixels: Tensor) -> Tensor:
    """Turn uint8 pixels (B, H, W, 3) into float32 planes (B, 3, H, W), values unchanged."""
    planes = pixels.permute(0, 3, 1, 2)
    return planes.to(torch.float32, memory_format=torch.contiguous_format)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize to ``size`` x ``size``, bilinear and antialiased; the same size is left alone."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(
        images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )


def crop_and_flip(images: Tensor, window: Tensor, flip: Tensor, size: int) -> Tensor:
    """Cut a window out of each image, resize it and mirror it, in one bilinear resampling.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W)
    window : Tensor of shape (B, 4), float32
        Left, top, width and height as fractions of the image, inside [0, 1].
    flip : Tensor of shape (B,), bool
        Which images are mirrored left to right.
    size : int
        Height and width of the result in pixels.

    Returns
    -------
    Tensor of shape (B, 3, size, size)
    """
    left, top, width, height = (part[:, None] for part in window.unbind(1))
    centres = (torch.arange(size, device=images.device, dtype=torch.float32) + 0.5) / size
    along = torch.where(flip[:, None], 1.0 - centres, centres)
    # grid_sample counts from -1 (left or upper edge of the image) to 1.
    x = (left + width * along) * 2 - 1
    y = (top + height * centres) * 2 - 1
    grid = images.new_empty((len(images), size, size, 2))
    grid[..., 0] = x[:, None, :]
    grid[..., 1] = y[:, :, None]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image with a Gaussian of its own; borders weigh only what is inside.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, H)
    sigma : Tensor of shape (B,), float32
        Standard deviation in pixels, positive.

    Returns
    -------
    Tensor of shape (B, 3, H, H)
    """
    places = torch.arange(images.shape[-1], device=images.device)
    # One exponential per distance, not per pair: distant ones underflow, and denormals are slow.
    by_distance = torch.exp(-0.5 * (places / sigma[:, None]) ** 2)
    weights = by_distance[:, (places[:, None] - places[None, :]).abs()]
    operator = (weights / weights.sum(dim=2, keepdim=True))[:, None]
    return operator @ images @ operator.transpose(2, 3)


def recolour(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Change the colours of each image, clamp to 0..255, and normalise for ImageNet weights.

    With gray(x) the luma of x: brightness b gives ``b x``; contrast c then gives
    ``c x + (1 - c) mean(gray(x))``; saturation s then gives ``s x + (1 - s) gray(x)``, so that
    s = 0 is grayscale. All three and the normalisation are one 3 x 3 matrix and one offset per
    image; values are clamped once, at the end.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W)
        Values in 0..255.
    brightness, contrast, saturation : Tensor of shape (B,), float32
        Factors, not negative; 1 changes nothing.

    Returns
    -------
    Tensor of shape (B, 3, H, W)
        ``(x / 255 - mean) / std`` per channel.
    """
    luma, mean, std = map(images.new_tensor, (LUMA, IMAGENET_MEAN, IMAGENET_STD))

    desaturate = luma.expand(3, 3)
    s = saturation[:, None, None]
    matrix = (brightness * contrast)[:, None, None] * (
        s * torch.eye(3, dtype=images.dtype, device=images.device) + (1 - s) * desaturate
    )
    # The saturation step does not change grey, so the contrast's share is added as it is.
    offset = (1 - contrast) * brightness * (images.mean(dim=(2, 3)) @ luma)

    matrix = matrix / (MAX_VALUE * std)[None, :, None]
    shift = (offset[:, None] / MAX_VALUE - mean) / std
    mixed = torch.baddbmm(shift[:, :, None], matrix, images.flatten(2)).view(images.shape)
    for channel in range(3):
        low = -IMAGENET_MEAN[channel] / IMAGENET_STD[channel]
        high = (1 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        mixed[:, channel].clamp_(low, high)
    return mixed


def crop_windows(draws: Tensor, area: tuple[float, float], max_ratio: float) -> Tensor:
    """Turn uniform draws into windows of random area, aspect ratio and place.

    Parameters
    ----------
    draws : Tensor of shape (B, 4)
        Uniform on [0, 1).
    area : tuple of two floats
        Smallest and largest share of the image's area, in (0, 1].
    max_ratio : float
        Largest width over height, and height over width; drawn log-uniformly, and
        bounded so that the window fits at its area.

    Returns
    -------
    Tensor of shape (B, 4)
        Left, top, width and height as fractions of the image.
    """
    share = area[0] + (area[1] - area[0]) * draws[:, 0]
    reach = torch.clamp(-torch.log(share), max=math.log(max_ratio))
    half = 0.5 * reach * (2 * draws[:, 1] - 1)
    side = torch.sqrt(share)
    width, height = side * torch.exp(half), side * torch.exp(-half)
    return torch.stack([(1 - width) * draws[:, 2], (1 - height) * draws[:, 3], width, height], 1)
