"""Networks: torch modules only."""

from __future__ import annotations

from tabimg.nn.cbam import CBAM
from tabimg.nn.heads import MaskPredictionHead, ProjectionHead, TaskHead
from tabimg.nn.mlp import MLPEncoder
from tabimg.nn.multimodal import MultiModalNet, output_width
from tabimg.nn.resnet import ResNet, load_torchvision_weights, resnet18
from tabimg.nn.resnet1d_cbam import ResNet1dCBAM
from tabimg.nn.row_embedding import RowEmbedding

__all__ = [
    "CBAM",
    "MLPEncoder",
    "MaskPredictionHead",
    "MultiModalNet",
    "ProjectionHead",
    "ResNet",
    "ResNet1dCBAM",
    "RowEmbedding",
    "TaskHead",
    "load_torchvision_weights",
    "output_width",
    "resnet18",
]
