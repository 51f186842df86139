"""How the gradient of a batch is computed: in one pass, or in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.objectives.gathering import Gathering
from tabimg.training.batch_statistics import not_updated, updated_once
from tabimg.training.streams import LayerStreams

Batch = dict[str, Any]
Terms = dict[str, Tensor]
Total = Callable[[Terms], Tensor]


@dataclass(frozen=True)
class Encoder:
    """A part of an objective that sees one entry of a batch at a time, whatever the others are.

    Parameters
    ----------
    inputs : tuple of str
        The entries of a batch that it takes.
    outputs : tuple of str
        What it makes of them.
    encode : callable
        Maps tensors of the inputs to a tuple of tensors of as many entries.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    encode: Callable[..., tuple[Tensor, ...]]

    def applies_to(self, batch: Batch) -> bool:
        """Return whether a batch has what it takes."""
        return all(name in batch for name in self.inputs)


class EncodingObjective(nn.Module):
    """An objective that first encodes the entries of a batch, and then compares them."""

    def encoders(self) -> Sequence[Encoder]:
        """Return the parts whose outputs the terms depend on."""
        raise NotImplementedError

    def terms(self, encoded: dict[str, Tensor], batch: Batch) -> Terms:
        """Compute the loss terms from what the encoders made of the whole batch."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Terms:
        encoded: dict[str, Tensor] = {}
        for encoder in self.encoders():
            if encoder.applies_to(batch):
                outputs = encoder.encode(*(batch[name] for name in encoder.inputs))
                encoded.update(zip(encoder.outputs, outputs, strict=True))
        return self.terms(encoded, batch)


def direct_gradients(objective: nn.Module, batch: Batch, total: Total) -> tuple[Tensor, Terms]:
    """Compute the gradient of a batch's total loss in one pass; returns the loss and its terms."""
    terms = objective(batch)
    loss = total(terms)
    if not loss.requires_grad:
        raise _nothing_to_train()
    loss.backward()
    return loss, terms


@dataclass(frozen=True)
class CachedGradients:
    """Compute the gradient of a batch while a few rows' activations are held at a time.

    Everything is encoded without a graph, in parts. The loss of the whole batch then gives the
    gradients of the encodings. Each part is encoded once more, with the same dropout, and its
    encodings' gradients are propagated to the weights. Two passes forward and one back take about
    a third longer than the direct way.

    Parameters
    ----------
    micro_batch_size : int
        Rows, and photos, that are encoded together.
    streams : LayerStreams
        What the layers draw from.
    gathering : Gathering
        Of the processes that see the batch.

    Notes
    -----
    Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv
    2101.06983 (GradCache). The gradients are those of the whole batch, up to rounding, unless
    layers depend on the batch: batch normalisation in training mode takes the statistics of the
    part. Its running statistics are updated once in each step, from all parts together.
    """

    micro_batch_size: int
    streams: LayerStreams
    gathering: Gathering

    def __call__(
        self, objective: EncodingObjective, batch: Batch, total: Total
    ) -> tuple[Tensor, Terms]:
        """Compute the gradient of a batch's total loss; returns the loss and its terms."""
        if not any(parameter.requires_grad for parameter in objective.parameters()):
            raise _nothing_to_train()
        encoded: dict[str, Tensor] = {}
        replays = []
        for encoder in objective.encoders():
            if encoder.applies_to(batch):
                replay = self._encode(objective, encoder, batch)
                encoded.update(replay.leaves)
                replays.append(replay)
        terms = objective.terms(encoded, batch)
        loss = total(terms)
        loss.backward()
        ended = self.streams.state()
        with not_updated(objective):
            for replay in replays:
                replay.run(self.streams)
        self.streams.restore(ended)
        return loss, terms

    def _encode(self, objective: nn.Module, encoder: Encoder, batch: Batch) -> _Replay:
        inputs = [batch[name] for name in encoder.inputs]
        longest = max(self.gathering.lengths(len(inputs[0]), inputs[0].device))
        n_parts = max(1, -(-longest // self.micro_batch_size))
        parts = list(zip(*(each.tensor_split(n_parts) for each in inputs), strict=True))
        states, outputs = [], []
        with torch.no_grad(), updated_once(objective, self.gathering) as note:
            for part in parts:
                states.append(self.streams.state())
                outputs.append(encoder.encode(*part))
                note()
        joined = map(_join, zip(*outputs, strict=True))
        leaves = {
            name: each.requires_grad_(each.is_floating_point())
            for name, each in zip(encoder.outputs, joined, strict=True)
        }
        return _Replay(encoder, parts, states, leaves)


@dataclass(frozen=True)
class _Replay:
    """What is needed to encode the parts of a batch again."""

    encoder: Encoder
    parts: list[tuple[Tensor, ...]]
    states: list[Any]
    leaves: dict[str, Tensor]

    def run(self, streams: LayerStreams) -> None:
        """Propagate the gradients of the encodings to the weights, part by part."""
        start = 0
        for part, state in zip(self.parts, self.states, strict=True):
            streams.restore(state)
            stop = start + len(part[0])
            outputs, gradients = [], []
            for output, leaf in zip(self.encoder.encode(*part), self.leaves.values(), strict=True):
                if output.requires_grad and leaf.grad is not None:
                    outputs.append(output)
                    gradients.append(_cut_like(leaf.grad[start:stop], output))
            if outputs:
                torch.autograd.backward(outputs, gradients)
            start = stop


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate encodings; sequences of tokens are padded to the longest."""
    if parts[0].ndim < 2:
        return torch.cat(list(parts))
    longest = max(part.shape[1] for part in parts)
    return torch.cat([_pad(part, longest) for part in parts])


def _pad(part: Tensor, length: int) -> Tensor:
    if part.shape[1] == length:
        return part
    behind = [0, 0] * (part.ndim - 2) + [0, length - part.shape[1]]
    return F.pad(part, behind)


def _cut_like(gradient: Tensor, output: Tensor) -> Tensor:
    return gradient[:, : output.shape[1]] if output.ndim > 1 else gradient


def _nothing_to_train() -> ValueError:
    return ValueError("nothing is left to train: a callback froze every parameter")
