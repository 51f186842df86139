"""Random changes of photos for pre-training: batched, each switchable, one random stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from tabimg.image import pixel_ops
from tabimg.messages import listing, shorten

DEFAULT_CROP = (0.5, 1.0)
MAX_CROP_RATIO = 4 / 3
# Standard deviation of the blur as a share of the image's side: 0.1 to 2 pixels at 128.
BLUR_SIGMA = (0.1 / 128, 2.0 / 128)
# Small chunks stay in the processor's cache and below the allocator's mmap threshold (16 images are
# 1.7 times as fast as 64); an accelerator prefers a few large ones.
CPU_CHUNK = 16
ACCELERATOR_CHUNK = 512

# Every draw has its own column, so that switching one change off leaves the others as they were.
WINDOW, FLIP, BRIGHTNESS, CONTRAST, SATURATION, GRAYSCALE, BLUR, SIGMA = (
    slice(0, 4), 4, 5, 6, 7, 8, 9, 10,
)  # fmt: skip
N_DRAWS = 11


@dataclass(frozen=True)
class Augmentation:
    """Which random changes photos go through during pre-training.

    None, False and 0 switch a change off; True is its default strength. Switch off what would
    destroy what the photo says: ``flip`` where left and right differ, ``color_jitter`` and
    ``grayscale`` where colour is the evidence, ``crop`` where size or position is.

    Parameters
    ----------
    crop : tuple of two floats, float or None, default=(0.5, 1.0)
        Smallest and largest share of the image's area that a random crop keeps, in (0, 1]; one
        number is the smallest. The aspect ratio varies from 3/4 to 4/3.
    flip : float or bool, default=0.5
        Probability of a left-right flip.
    color_jitter : float or None, default=0.4
        Brightness, contrast and saturation are each multiplied by a factor from
        [1 - color_jitter, 1 + color_jitter]. In [0, 1].
    grayscale : float or bool, default=0.2
        Probability of turning the image grey.
    blur : float or bool, default=0.5
        Probability of a Gaussian blur, with a standard deviation of 0.1 to 2 pixels for images of
        128 pixels, and in proportion for others.

    Raises
    ------
    ValueError
        If a value is out of range.
    TypeError
        If a value is not a number.

    Notes
    -----
    The set of changes is that of SimCLR (arXiv 2002.05709, section 3) without hue, as in MMCL
    (arXiv 2303.14080).
    """

    crop: tuple[float, float] | None = DEFAULT_CROP
    flip: float = 0.5
    color_jitter: float = 0.4
    grayscale: float = 0.2
    blur: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "crop", _crop_range(self.crop))
        for name in ("flip", "color_jitter", "grayscale", "blur"):
            # The class attribute is the field's default.
            value = _share(name, getattr(self, name), default=getattr(type(self), name))
            object.__setattr__(self, name, value)

    @classmethod
    def none(cls) -> Augmentation:
        """Switch every change off."""
        return cls(crop=None, flip=0, color_jitter=0, grayscale=0, blur=0)

    @classmethod
    def from_param(cls, param: object) -> Augmentation:
        """Read an estimator's ``augmentation`` parameter.

        Parameters
        ----------
        param : {"default", "none"}, None, dict or Augmentation
            None is "none". A dict changes the defaults: ``{"flip": False}``.

        Returns
        -------
        Augmentation

        Raises
        ------
        ValueError
            If the string or a key of the dict is unknown, or a value is out of range.
        TypeError
            If ``param`` is of another type.
        """
        if isinstance(param, Augmentation):
            return param
        if param is None or (isinstance(param, str) and param == "none"):
            return cls.none()
        if isinstance(param, str) and param == "default":
            return cls()
        if isinstance(param, str):
            raise ValueError(
                f"augmentation must be 'default', 'none' or a dict, got {shorten(param)}"
            )
        if not isinstance(param, Mapping):
            raise TypeError(
                "augmentation must be 'default', 'none', None, a dict or an Augmentation, "
                f"got {type(param).__name__}"
            )
        valid = [field.name for field in fields(cls)]
        unknown = [key for key in param if key not in valid]
        if unknown:
            raise ValueError(f"unknown augmentation [{listing(unknown)}]; valid keys are {valid}")
        return cls(**param)


class Augmenter:
    """Turns stored pixels into randomly changed, normalised images.

    Parameters
    ----------
    augmentation : Augmentation
    size : int
        Height and width of the result in pixels, at least 1.
    """

    def __init__(self, augmentation: Augmentation, size: int) -> None:
        _check_size(size)
        self.augmentation = augmentation
        self.size = size

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Change each image at random.

        Parameters
        ----------
        pixels : Tensor of shape (B, H, W, 3), dtype uint8
            On any device. About :func:`stored_size` high and wide: much larger ones would alias
            under the crop.
        generator : torch.Generator
            On any device. The same state gives bit-equal results on the same machine. It advances
            by the same amount whatever is switched on.

        Returns
        -------
        Tensor of shape (B, 3, size, size), dtype float32
            On the device of ``pixels``, normalised with ImageNet's mean and standard deviation.
        """
        _check_pixels(pixels)
        draws = torch.rand(
            (len(pixels), N_DRAWS),
            generator=generator,
            device=generator.device,
            dtype=torch.float32,
        ).to(pixels.device, non_blocking=True)
        return _in_chunks(pixels, self.size, lambda part: self._change(pixels[part], draws[part]))

    def _change(self, pixels: Tensor, draws: Tensor) -> Tensor:
        chosen = self.augmentation
        images = self._cut(pixel_ops.to_planes(pixels), draws)
        if chosen.blur:
            blurred = (draws[:, BLUR] < chosen.blur).nonzero().squeeze(1)
            low, high = (share * self.size for share in BLUR_SIGMA)
            sigma = low + (high - low) * draws[blurred, SIGMA]
            images[blurred] = pixel_ops.blur(images[blurred], sigma)
        saturation = self._factor(draws[:, SATURATION])
        gray = draws[:, GRAYSCALE] < chosen.grayscale
        return pixel_ops.recolour(
            images,
            brightness=self._factor(draws[:, BRIGHTNESS]),
            contrast=self._factor(draws[:, CONTRAST]),
            saturation=torch.where(gray, 0.0, saturation),
        )

    def _cut(self, images: Tensor, draws: Tensor) -> Tensor:
        chosen = self.augmentation
        flip = draws[:, FLIP] < chosen.flip
        if chosen.crop is not None:
            window = pixel_ops.crop_windows(draws[:, WINDOW], chosen.crop, MAX_CROP_RATIO)
            return pixel_ops.crop_and_flip(images, window, flip, self.size)
        images = pixel_ops.resize(images, self.size)
        return torch.where(flip[:, None, None, None], images.flip(3), images)

    def _factor(self, draw: Tensor) -> Tensor:
        return 1 + self.augmentation.color_jitter * (2 * draw - 1)


def plain(pixels: Tensor, size: int) -> Tensor:
    """Resize and normalise without any random change, as for prediction.

    Parameters
    ----------
    pixels : Tensor of shape (B, H, W, 3), dtype uint8
        On any device.
    size : int
        Height and width of the result in pixels, at least 1.

    Returns
    -------
    Tensor of shape (B, 3, size, size), dtype float32
        The whole image resized (bilinear, antialiased), normalised with ImageNet's mean and
        standard deviation.
    """
    _check_pixels(pixels)
    _check_size(size)
    return _in_chunks(pixels, size, lambda part: _plain_chunk(pixels[part], size))


def n_fixed_views(augmentation: Augmentation) -> int:
    """Count the views that `fixed_views` makes."""
    return 2 if augmentation.crop is not None or augmentation.flip > 0 else 1


def fixed_views(pixels: Tensor, size: int, augmentation: Augmentation) -> list[Tensor]:
    """Make the views of photos that are seen once, without anything random.

    Parameters
    ----------
    pixels : Tensor of shape (B, H, W, 3), dtype uint8
    size : int
        Height and width of the result in pixels.
    augmentation : Augmentation
        Says which changes leave what the photo says as it is.

    Returns
    -------
    list of Tensor of shape (B, 3, size, size), dtype float32
        The photo as in `plain` and, if it may be cropped or flipped, its middle, mirrored: as much
        of the area as a random crop keeps on average.
    """
    views = [plain(pixels, size)]
    if n_fixed_views(augmentation) == 1:
        return views
    side = math.sqrt(sum(augmentation.crop) / 2) if augmentation.crop else 1.0
    window = pixels.new_tensor([(1 - side) / 2, (1 - side) / 2, side, side], dtype=torch.float32)
    flip = torch.full((len(pixels),), augmentation.flip > 0, device=pixels.device)
    one = torch.ones(len(pixels), device=pixels.device)

    def middle(part: slice) -> Tensor:
        planes = pixel_ops.to_planes(pixels[part])
        windows = window.expand(len(planes), 4)
        images = pixel_ops.crop_and_flip(planes, windows, flip[part], size)
        return pixel_ops.recolour(images, one[part], one[part], one[part])

    return [*views, _in_chunks(pixels, size, middle)]


def stored_size(image_size: int) -> int:
    """Side in pixels at which images are stored for a target size: 9/8 of it, rounded up.

    A little more than the target, so that crops need little enlargement.
    """
    return -(-image_size * 9 // 8)


def _plain_chunk(pixels: Tensor, size: int) -> Tensor:
    images = pixel_ops.resize(pixel_ops.to_planes(pixels), size)
    one = images.new_ones(len(images))
    return pixel_ops.recolour(images, one, one, one)


def _in_chunks(pixels: Tensor, size: int, change: Callable[[slice], Tensor]) -> Tensor:
    on_cpu = pixels.device.type == "cpu"
    chunk = CPU_CHUNK if on_cpu else ACCELERATOR_CHUNK
    images = torch.empty((len(pixels), 3, size, size), device=pixels.device, dtype=torch.float32)
    # The caller's autocast would resample colours with 8 bits of precision.
    with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
        for start in range(0, len(pixels), chunk):
            part = slice(start, start + chunk)
            images[part] = change(part)
    return images


def _check_pixels(pixels: Tensor) -> None:
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise ValueError(
            "pixels must be a uint8 tensor of shape (images, height, width, 3), "
            f"got {pixels.dtype} of shape {tuple(pixels.shape)}"
        )


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")


def _share(name: str, value: object, default: float) -> float:
    if value is None or value is False:
        return 0.0
    if value is True:
        return default
    if not isinstance(value, Real):
        raise TypeError(
            f"augmentation {name} must be a number, a bool or None, got {shorten(value)}"
        )
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"augmentation {name} must be in [0, 1], got {shorten(value)}")
    return share


def _crop_range(value: Any) -> tuple[float, float] | None:
    if value is None or value is False or (isinstance(value, Real) and value == 0):
        return None
    if value is True:
        return DEFAULT_CROP
    bounds = (value, 1.0) if isinstance(value, Real) else value
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise ValueError(
            f"augmentation crop must be (smallest, largest) area, got {shorten(value)}"
        )
    if not all(isinstance(bound, Real) for bound in bounds):
        raise TypeError(f"augmentation crop must hold two numbers, got {shorten(value)}")
    low, high = float(bounds[0]), float(bounds[1])
    if not 0 < low <= high <= 1:
        raise ValueError(
            f"augmentation crop needs 0 < smallest <= largest <= 1, got {shorten(value)}"
        )
    return low, high
