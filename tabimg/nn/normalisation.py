"""How images come: normalised with the mean and standard deviation of ImageNet's pixels."""

from __future__ import annotations

# Of RGB values in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
