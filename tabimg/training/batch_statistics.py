"""Batch normalisation where a batch is seen in parts, by several processes or in several passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tabimg.objectives.gathering import Gathering
from tabimg.objectives.precision import at_least_float32

Layer = Any  # a batch normalisation of any dimension


@contextmanager
def synchronised(module: nn.Module, gathering: Gathering) -> Iterator[None]:
    """Normalise, in training mode, by the mean and variance of all processes' values together.

    torch's `SyncBatchNorm` does the same on GPUs; it does not run on CPUs.
    """
    layers = [
        layer
        for layer in _layers(module)
        if gathering.size > 1 and not isinstance(layer, nn.SyncBatchNorm)
    ]
    for layer in layers:
        layer.forward = partial(_joint_forward, layer, gathering)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def updated_once(module: nn.Module, gathering: Gathering) -> Iterator[Callable[[], None]]:
    """Update running statistics once for several forward passes, as one pass over all would.

    Parameters
    ----------
    module : torch.nn.Module
    gathering : Gathering
        Of the processes whose values are normalised together.

    Yields
    ------
    callable
        To be called after each pass.
    """
    layers = [layer for layer in _layers(module) if layer.training and layer.track_running_stats]
    momenta = [layer.momentum for layer in layers]
    before = [_copy(layer) for layer in layers]
    counts: list[list[int]] = [[] for _ in layers]
    passes: list[list[tuple[Tensor, Tensor]]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_pre_hook(partial(_note_count, seen))
        for layer, seen in zip(layers, counts, strict=True)
    ]
    for layer in layers:
        layer.momentum = 1.0  # the running statistics are then those of the last pass

    def note() -> None:
        for layer, found, seen in zip(layers, passes, counts, strict=True):
            if len(seen) > len(found):  # a pass may leave a layer out
                found.append((layer.running_mean.clone(), layer.running_var.clone()))

    try:
        yield note
    finally:
        for hook in hooks:
            hook.remove()
        for layer, momentum, state in zip(layers, momenta, before, strict=True):
            layer.momentum = momentum
            _restore(layer, state)
    for layer, found, seen in zip(layers, passes, counts, strict=True):
        if found:
            _update(layer, found, seen, gathering)


@contextmanager
def not_updated(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are."""
    layers = _layers(module)
    before = [_copy(layer) for layer in layers]
    try:
        yield
    finally:
        for layer, state in zip(layers, before, strict=True):
            _restore(layer, state)


def _layers(module: nn.Module) -> list[Layer]:
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def _joint_forward(layer: Layer, gathering: Gathering, values: Tensor) -> Tensor:
    if not layer.training:
        return type(layer).forward(layer, values)
    layer._check_input_dim(values)
    axes = [axis for axis in range(values.ndim) if axis != 1]
    wide = at_least_float32(values)
    variance, mean = torch.var_mean(wide, dim=axes, correction=0)
    count = wide.new_full((1,), wide.numel() / wide.shape[1])
    own = torch.cat([mean, variance, count]).unsqueeze(0)
    all_parts = gathering.gather(own, [1] * gathering.size)
    n_channels = len(mean)
    means, variances, counts = all_parts.split([n_channels, n_channels, 1], dim=1)
    share = counts.detach() / counts.detach().sum()
    joint_mean = (share * means).sum(dim=0)
    joint_variance = (share * (variances + (means - joint_mean) ** 2)).sum(dim=0)
    _note_joint(layer, joint_mean.detach(), joint_variance.detach(), counts.detach().sum())
    shape = [1, -1] + [1] * (values.ndim - 2)
    scale = torch.rsqrt(joint_variance + layer.eps)
    shift = -joint_mean * scale
    if layer.affine:
        scale, shift = scale * layer.weight, shift * layer.weight + layer.bias
    return (wide * scale.view(shape) + shift.view(shape)).to(values.dtype)


@torch.no_grad()
def _note_joint(layer: Layer, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    if layer.track_running_stats:
        _move(layer, mean, variance * count / (count - 1))


def _move(layer: Layer, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards new ones, as torch does."""
    layer.num_batches_tracked += 1
    momentum = layer.momentum
    if momentum is None:
        momentum = 1.0 / float(layer.num_batches_tracked)
    layer.running_mean.lerp_(mean.to(layer.running_mean), momentum)
    layer.running_var.lerp_(variance.to(layer.running_var), momentum)


@torch.no_grad()
def _update(
    layer: Layer, passes: list[tuple[Tensor, Tensor]], counts: list[int], gathering: Gathering
) -> None:
    """Pool the means and unbiased variances of several passes."""
    n = torch.tensor(counts, dtype=torch.float64, device=passes[0][0].device).unsqueeze(1)
    n = gathering.average(n) * gathering.size
    means = torch.stack([mean for mean, _ in passes]).double()
    variances = torch.stack([variance for _, variance in passes]).double()
    mean = (n * means).sum(dim=0) / n.sum()
    squares = (n - 1) * variances + n * (means - mean) ** 2
    _move(layer, mean, squares.sum(dim=0) / (n.sum() - 1))


def _note_count(seen: list[int], layer: Layer, inputs: tuple[Tensor, ...]) -> None:
    seen.append(inputs[0].numel() // inputs[0].shape[1])


def _copy(layer: Layer) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in layer.named_buffers()}


@torch.no_grad()
def _restore(layer: Layer, state: dict[str, Tensor]) -> None:
    for name, buffer in layer.named_buffers():
        buffer.copy_(state[name])
