"""Networks: torch modules only."""

from __future__ import annotations

import warnings
from typing import Any

from tabimg.nn.cbam import CBAM
from tabimg.nn.cell_tokens import CellTokens, ColumnLayout, pad_tokens
from tabimg.nn.efficientnet_lite import EfficientNetLite, efficientnet_lite0, efficientnet_lite2
from tabimg.nn.fusion import FusionEncoder, image_tokens
from tabimg.nn.gate_statistics import GateStatistics, gate_statistics, record_gates
from tabimg.nn.heads import MaskPredictionHead, ProjectionHead, TaskHead
from tabimg.nn.locked import LockedEncoder, TunedEncoder
from tabimg.nn.masked_values import MaskedValueHead
from tabimg.nn.mlp import MLPEncoder
from tabimg.nn.molin import PrototypeMixture, equal_width
from tabimg.nn.multimodal import MultiModalNet, output_width
from tabimg.nn.public_weights import load_public_weights
from tabimg.nn.resnet import ResNet, resnet18
from tabimg.nn.resnet1d_cbam import ResNet1dCBAM
from tabimg.nn.row_embedding import RowEmbedding
from tabimg.nn.tabular_transformer import TabularTransformer, with_cls
from tabimg.nn.transformer_block import FeedForward, TransformerBlock, key_mask

__all__ = [
    "CBAM",
    "CellTokens",
    "ColumnLayout",
    "EfficientNetLite",
    "FeedForward",
    "FusionEncoder",
    "GateStatistics",
    "LockedEncoder",
    "MLPEncoder",
    "MaskPredictionHead",
    "MaskedValueHead",
    "MultiModalNet",
    "ProjectionHead",
    "PrototypeMixture",
    "ResNet",
    "ResNet1dCBAM",
    "RowEmbedding",
    "TabularTransformer",
    "TaskHead",
    "TransformerBlock",
    "TunedEncoder",
    "efficientnet_lite0",
    "efficientnet_lite2",
    "equal_width",
    "gate_statistics",
    "image_tokens",
    "key_mask",
    "load_public_weights",
    "output_width",
    "pad_tokens",
    "record_gates",
    "resnet18",
    "with_cls",
]


def __getattr__(name: str) -> Any:
    if name != "load_torchvision_weights":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "tabimg.nn.load_torchvision_weights is called load_public_weights now",
        DeprecationWarning,
        stacklevel=2,
    )
    return load_public_weights
