"""BERT in NumPy against PyTorch's own layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tabimg.headers.bert import Bert

WIDTH, N_HEADS, N_LAYERS, N_WORDS = 12, 3, 2, 20
# What the published implementation calls PyTorch's parts.
NAMES = {
    "self_attn.out_proj": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm2": "output.LayerNorm",
}


@pytest.fixture
def reference() -> nn.ModuleDict:
    torch.manual_seed(0)
    layers = [
        nn.TransformerEncoderLayer(
            WIDTH, N_HEADS, 30, activation="gelu", batch_first=True, layer_norm_eps=1e-12
        )
        for _ in range(N_LAYERS)
    ]
    parts = {
        "word": nn.Embedding(N_WORDS, WIDTH),
        "position": nn.Embedding(16, WIDTH),
        "token_type": nn.Embedding(2, WIDTH),
        "norm": nn.LayerNorm(WIDTH, eps=1e-12),
        "layers": nn.ModuleList(layers),
    }
    net = nn.ModuleDict(parts).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net


def published(reference: nn.ModuleDict) -> dict[str, np.ndarray]:
    """The weights under the names of the published implementation."""
    weights = {}
    for kind in ("word", "position", "token_type"):
        weights[f"embeddings.{kind}_embeddings.weight"] = reference[kind].weight
    for end in ("weight", "bias"):
        weights[f"embeddings.LayerNorm.{end}"] = getattr(reference["norm"], end)
        for number, layer in enumerate(reference["layers"]):
            own = f"encoder.layer.{number}"
            parts = getattr(layer.self_attn, f"in_proj_{end}").chunk(3)
            for role, part in zip(("query", "key", "value"), parts, strict=True):
                weights[f"{own}.attention.self.{role}.{end}"] = part
            for name, theirs in NAMES.items():
                weights[f"{own}.{theirs}.{end}"] = getattr(layer.get_submodule(name), end)
    return {name: weight.detach().numpy() for name, weight in weights.items()}


@pytest.mark.parametrize("ids", [[3], [1, 7, 7, 19, 0, 2]])
def test_tokens_are_those_of_pytorchs_layers(reference: nn.ModuleDict, ids: list[int]) -> None:
    positions = torch.arange(len(ids))
    with torch.no_grad():
        tokens = reference["word"](torch.tensor(ids)) + reference["position"](positions)
        tokens = reference["norm"](tokens + reference["token_type"].weight[0])[None]
        for layer in reference["layers"]:
            tokens = layer(tokens)
    found = Bert(published(reference), N_HEADS)(ids)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tokens[0].numpy(), atol=2e-5)
