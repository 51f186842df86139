from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tabimg.nn import (
    MaskPredictionHead,
    MLPEncoder,
    MultiModalNet,
    ProjectionHead,
    ResNet,
    ResNet1dCBAM,
    RowEmbedding,
    output_width,
)


def network() -> MultiModalNet:
    row_embedding = RowEmbedding(2, [True, False], [5])
    return MultiModalNet(
        row_embedding,
        ResNet1dCBAM(row_embedding.out_features, 12, channels=16, length=4, n_blocks=1),
        ResNet(layers=(1, 1, 1, 1), width=2),
        {"table": ProjectionHead(12, 8, 6), "image": ProjectionHead(16, 8, 6)},
        MaskPredictionHead(12, 2, [5]),
    )


def table(n_rows: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(n_rows, 2, generator=generator)
    numeric[0, 0] = math.nan
    return numeric, torch.randint(0, 5, (n_rows, 1), generator=generator)


def test_each_modality_goes_through_its_own_networks():
    net = network()
    embedding = net.embed_table(*table())
    picture = net.embed_image(torch.randn(8, 3, 32, 32))
    numeric, logits = net.predict_cells(embedding)
    assert embedding.shape == (8, 12)
    assert picture.shape == (8, 16)
    assert net.project_table(embedding).shape == net.project_image(picture).shape == (8, 6)
    assert numeric.shape == (8, 2)
    assert logits[0].shape == (8, 3)


def test_gradients_of_both_tasks_reach_every_parameter_and_hold_no_nan():
    net = network()
    embedding = net.embed_table(*table(64))
    picture = net.embed_image(torch.randn(64, 3, 32, 32))
    numeric, logits = net.predict_cells(embedding)
    outputs = [net.project_table(embedding), net.project_image(picture), numeric, *logits]
    sum(output.square().sum() for output in outputs).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_call_embeds_the_table():
    net = network().eval()
    assert torch.equal(net(*table()), net.embed_table(*table()))


def test_absent_parts_raise_and_name_the_part():
    row_embedding = RowEmbedding(2, [True, False], [5])
    net = MultiModalNet(row_embedding, MLPEncoder(row_embedding.out_features, 12, width=8))
    embedding = net.embed_table(*table())
    with pytest.raises(RuntimeError, match="without an image encoder"):
        net.embed_image(torch.zeros(1, 3, 32, 32))
    with pytest.raises(RuntimeError, match="projection head for the table"):
        net.project_table(embedding)
    with pytest.raises(RuntimeError, match="projection head for the image"):
        net.project_image(embedding)
    with pytest.raises(RuntimeError, match="mask-prediction head"):
        net.predict_cells(embedding)


def test_unknown_projection_key_raises():
    with pytest.raises(ValueError, match="photo"):
        MultiModalNet(nn.Identity(), nn.Identity(), projections={"photo": nn.Identity()})


class Custom(nn.Module):
    """A module with batch norm, dropout and a buffer that moves in every call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.layer = nn.Linear(4, 9)
        self.norm = nn.BatchNorm1d(9)
        self.norm.eval()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.norm(self.layer(features)) + torch.rand(1)


def test_output_width_finds_the_width_and_changes_no_state():
    module = Custom()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    stream = torch.random.get_rng_state()
    assert output_width(module, torch.randn(3, 4, generator=torch.Generator())) == 9
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert module.training
    assert not module.norm.training
    assert all(parameter.grad is None for parameter in module.parameters())


def test_output_width_leaves_batch_norm_statistics_of_an_encoder():
    encoder = ResNet(layers=(1, 1, 1, 1), width=2)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert output_width(encoder, torch.randn(1, 3, 32, 32)) == encoder.embedding_dim
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert all(part.training for part in encoder.modules())


def test_output_width_takes_several_arguments():
    assert output_width(RowEmbedding(2, [True, False], [5]), *table(1)) == 8


def test_output_width_of_a_module_that_returns_something_else_raises():
    class Pair(nn.Module):
        def forward(self, features):
            return features, features

    with pytest.raises(TypeError, match="Pair must return a tensor, got tuple"):
        output_width(Pair(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"\(B, width\).*\(2, 3, 4\)"):
        output_width(nn.Identity(), torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"\(6,\)"):
        output_width(nn.Flatten(0), torch.zeros(2, 3))
