"""Architectures of the networks: plain parameters in, untrained modules out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from tabimg.messages import shorten
from tabimg.nn import (
    EfficientNetLite,
    LockedEncoder,
    MaskPredictionHead,
    MLPEncoder,
    MultiModalNet,
    ProjectionHead,
    ResNet,
    ResNet1dCBAM,
    RowEmbedding,
    TunedEncoder,
    efficientnet_lite0,
    efficientnet_lite2,
    output_width,
    resnet18,
)
from tabimg.nn.task import TaskNet
from tabimg.serialization import register, register_code
from tabimg.serialization.checks import check_whole
from tabimg.training.image_encoders import IMAGE_ENCODERS, ModuleFactory, source_of
from tabimg.training.library_models import LibraryModel
from tabimg.training.loaded_modules import check_architecture

# Of photos, in pixels: a batch of larger ones would not fit into memory.
MAX_IMAGE_SIZE = 4096
EXAMPLE_SIZE = 32
IMAGE_TRAININGS = ("full", "tuned", "locked")
MAX_GRID = 64
MAX_HIDDEN = 65_536

TABULAR_ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "resnet1d_cbam": ResNet1dCBAM,
    "resnet1d": partial(ResNet1dCBAM, attention=lambda channels: nn.Identity()),
    "mlp": MLPEncoder,
}
for _encoder in (
    ResNet,
    resnet18,
    EfficientNetLite,
    efficientnet_lite0,
    efficientnet_lite2,
    ResNet1dCBAM,
    MLPEncoder,
):
    register_code(_encoder)


def check_encoder(name: str, value: object, known: dict[str, Callable[..., nn.Module]]) -> None:
    """Reject a value that is neither a known encoder's name nor a factory.

    Raises
    ------
    ValueError
    """
    if not (callable(value) or (isinstance(value, str) and value in known)):
        raise ValueError(
            f"{name} must be one of {sorted(known)} or a callable that returns a torch module, "
            f"got {shorten(value)}"
        )


@dataclass(frozen=True)
class TableArchitecture:
    """A row embedding and the encoder on top of it.

    Parameters
    ----------
    encoder : str or callable
        A name in ``TABULAR_ENCODERS``, or a factory without arguments whose module maps float32
        features (B, F) to embeddings (B, d).
    n_numeric, numeric_has_missing, cardinalities
        Columns, as in `RowEmbedding`.
    embedding_dim : int
        Width of the embedding; a factory's module determines its own.
    dropout : float
        Inside the named encoders.
    """

    encoder: str | ModuleFactory
    n_numeric: int
    numeric_has_missing: tuple[bool, ...]
    cardinalities: tuple[int, ...]
    embedding_dim: int
    dropout: float = 0.0

    def build(self) -> MultiModalNet:
        """Build the network of the table alone."""
        rows = RowEmbedding(self.n_numeric, self.numeric_has_missing, self.cardinalities)
        return MultiModalNet(rows, self._build_encoder(rows.out_features))

    def _build_encoder(self, in_features: int) -> nn.Module:
        if callable(self.encoder):
            encoder = _checked_module(self.encoder(), "tabular_encoder")
            return _materialised(encoder, torch.zeros(2, in_features))
        return TABULAR_ENCODERS[self.encoder](in_features, self.embedding_dim, dropout=self.dropout)

    def width(self, net: MultiModalNet) -> int:
        """Find the width of the embedding of a built network."""
        rows = net.row_embedding(
            torch.zeros(2, self.n_numeric, dtype=torch.float32, device="cpu"),
            torch.zeros(2, len(self.cardinalities), dtype=torch.long, device="cpu"),
        )
        return output_width(net.tabular_encoder, rows)


class VectorEncoder(nn.BatchNorm1d):
    """Replaces the image encoder if image cells are already embeddings: it standardises them."""


@dataclass(frozen=True)
class ImageArchitecture:
    """The image encoder.

    Parameters
    ----------
    encoder : str, LibraryModel or callable
        A name in ``IMAGE_ENCODERS``, a model of another library, or a factory without arguments
        whose module maps float32 images (B, 3, H, W) to embeddings (B, d').
    image_size : int
        Height and width that photos are resized to, in pixels.
    vector_width : int, optional
        Width of the image cells if these are embedding vectors, which need no encoder.
    training : {"full", "tuned", "locked"}
        How much of the encoder is trained: all, its last part, or nothing.
    grid : int
        A locked encoder sees ``grid * grid`` regions of each photo.
    hidden_features : int, optional
        Width of the hidden layer of the photos' projection head; None is that of the embedding.
    """

    encoder: str | LibraryModel | ModuleFactory
    image_size: int
    vector_width: int | None = None
    training: str = "full"
    grid: int = 1
    hidden_features: int | None = None

    def build(self) -> nn.Module:
        """Build the encoder without its public weights."""
        if self.vector_width is not None:
            return VectorEncoder(self.vector_width)
        encoder = self._backbone()
        if self.training == "locked":
            grid = self.grid if hasattr(encoder, "feature_map") else 1
            return LockedEncoder(encoder, output_width(encoder, self._example()), grid)
        return TunedEncoder(encoder) if self.training == "tuned" else encoder

    def _backbone(self) -> nn.Module:
        if callable(self.encoder):
            encoder = _checked_module(self.encoder(), "image_encoder")
            return _materialised(encoder, self._example())
        return source_of(self.encoder).build()

    def width(self, encoder: nn.Module) -> int:
        """Find the width of the embedding of a built encoder."""
        return self.vector_width or output_width(encoder, self._example())

    def _example(self) -> Tensor:
        # The width of a named encoder does not depend on the size.
        size = self.image_size if callable(self.encoder) else min(self.image_size, EXAMPLE_SIZE)
        return torch.zeros(2, 3, size, size, dtype=torch.float32, device="cpu")


def projection_heads(
    table_width: int, image: ImageArchitecture, image_width: int, out_features: int
) -> dict[str, nn.Module]:
    """Build the heads of the contrastive loss."""
    hidden = image.hidden_features or image_width
    return {
        "table": ProjectionHead(table_width, table_width, out_features),
        "image": ProjectionHead(image_width, hidden, out_features),
    }


@dataclass(frozen=True)
class PretrainingArchitecture:
    """The whole pre-training network; ``image`` is None if no photos are used."""

    table: TableArchitecture
    image: ImageArchitecture | None
    projection_dim: int

    def build(self) -> MultiModalNet:
        """Build encoders and heads."""
        table = self.table.build()
        width = self.table.width(table)
        image_encoder, projections = None, {}
        if self.image is not None:
            image_encoder = self.image.build()
            image_width = self.image.width(image_encoder)
            projections = projection_heads(width, self.image, image_width, self.projection_dim)
        mask_head = MaskPredictionHead(width, self.table.n_numeric, self.table.cardinalities)
        return MultiModalNet(
            table.row_embedding, table.tabular_encoder, image_encoder, projections, mask_head
        )

    def without_image(self) -> PretrainingArchitecture:
        """Return the architecture of what remains without the image encoder."""
        return replace(self, image=None)


@dataclass(frozen=True)
class TaskArchitecture:
    """A table encoder with a head on its embedding and on ``n_columns`` raw columns."""

    table: TableArchitecture
    n_columns: int
    n_outputs: int
    dropout: float

    def build(self) -> TaskNet:
        """Build encoder and head."""
        encoder = self.table.build()
        width = self.table.width(encoder)
        return TaskNet(encoder, width, self.n_columns, self.n_outputs, self.dropout)


def _check_image_architecture(architecture: ImageArchitecture) -> None:
    check_architecture(architecture)
    check_whole("image_size", architecture.image_size, 1, MAX_IMAGE_SIZE)
    check_whole("grid", architecture.grid, 1, MAX_GRID)
    if architecture.hidden_features is not None:
        check_whole("hidden_features", architecture.hidden_features, 1, MAX_HIDDEN)
    if architecture.training not in IMAGE_TRAININGS:
        raise ValueError(f"unknown way to train an image encoder: {architecture.training!r}")
    encoder = architecture.encoder
    if not (callable(encoder) or isinstance(encoder, LibraryModel) or encoder in IMAGE_ENCODERS):
        raise ValueError(f"unknown image encoder: {shorten(encoder)}")


register(ImageArchitecture, check=_check_image_architecture, formerly="ImageRecipe")
for _architecture in (TableArchitecture, PretrainingArchitecture, TaskArchitecture):
    _old_name = _architecture.__name__.replace("Architecture", "Recipe")
    register(_architecture, check=check_architecture, formerly=_old_name)


def _checked_module(module: object, name: str) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"the factory given as {name} must return a torch module, got {type(module).__name__}"
        )
    return module


def _materialised(module: nn.Module, example: Tensor) -> nn.Module:
    """Let lazy layers infer their sizes from an example."""
    if any(isinstance(p, UninitializedParameter) for p in module.parameters()):
        module.eval()
        with torch.no_grad():
            module(example)
    return module
