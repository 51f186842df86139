from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tabimg.nn import (
    CellTokens,
    ColumnLayout,
    FusionEncoder,
    MaskedValueHead,
    PrototypeMixture,
    ResNet,
    TabularTransformer,
    image_tokens,
    key_mask,
    with_cls,
)


def example() -> tuple[FusionEncoder, torch.Tensor, torch.Tensor, torch.Tensor]:
    encoder = FusionEncoder(8, 6, n_heads=2, n_layers=2)
    present = torch.rand(4, 3) < 0.6
    return encoder, torch.randn(4, 4, 8), present, torch.randn(4, 5, 6)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_fused_vector_is_cls_of_the_joined_sequence():
    encoder, rows, present, images = example()
    adapted = images @ encoder.image_adapter.weight.T + encoder.image_adapter.bias
    tokens = torch.cat([rows, F.layer_norm(adapted, (8,))], dim=1)
    seen = torch.cat([with_cls(present), torch.ones(4, 5, dtype=torch.bool)], dim=1)
    for block in encoder.blocks:
        tokens = block(tokens, key_mask(seen))
    fused = encoder(rows, present, images)
    assert fused.shape == (4, encoder.embedding_dim) == (4, 8)
    close(fused, encoder.norm(tokens)[:, 0])


def test_both_modalities_change_the_fused_vector():
    encoder, rows, present, images = example()
    fused = encoder(rows, present, images)
    assert (encoder(rows, present, images.roll(1, 0)) - fused).abs().amax(dim=1).min() > 1e-3
    assert (encoder(rows.roll(1, 0), present, images) - fused).abs().amax(dim=1).min() > 1e-3


def test_missing_cells_and_padding_change_nothing():
    encoder, rows, present, images = example()
    present[:, 1] = False
    garbage = rows.clone()
    garbage[:, 2] = 1e6 * torch.randn(4, 8)
    fused = encoder(rows, present, images)
    close(encoder(garbage, present, images), fused)
    close(encoder(rows[:, [0, 1, 3]], present[:, [0, 2]], images), fused)


def test_order_of_cells_and_of_image_tokens_changes_nothing():
    encoder, rows, present, images = example()
    fused = encoder(rows, present, images)
    permuted = encoder(rows[:, [0, 3, 1, 2]], present[:, [2, 0, 1]], images.flip(1))
    close(permuted, fused)


def test_row_without_any_cell_is_fused_from_the_photo():
    encoder, rows, present, images = example()
    fused = encoder(rows[:, :1], present[:, :0], images)
    assert torch.isfinite(fused).all()
    assert (fused[0] - encoder(rows[:1, :1], present[:1, :0], images[1:2])).abs().max() > 1e-3


def test_gradients_reach_every_parameter_the_rows_and_the_photos():
    encoder, rows, present, images = example()
    rows.requires_grad_()
    images.requires_grad_()
    encoder(rows, present, images).pow(3).sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert rows.grad.any()
    assert images.grad.any()


def test_feed_forward_may_be_a_mixture():
    encoder = FusionEncoder(8, 6, 2, 1, feed_forward=PrototypeMixture)
    assert isinstance(encoder.blocks[0].feed_forward, PrototypeMixture)


def test_image_tokens_are_the_positions_of_the_feature_map():
    network = ResNet((1, 1, 1, 1), width=4).eval()
    pixels = torch.randn(2, 3, 64, 96)
    feature_map = network.feature_map(pixels)
    tokens = image_tokens(feature_map)
    assert tokens.shape == (2, 2 * 3, network.embedding_dim)
    assert torch.equal(tokens[1, 4], feature_map[1, :, 1, 1])
    close(tokens.mean(dim=1), network(pixels))


def test_wrong_shapes_and_sizes_raise():
    encoder, rows, present, images = example()
    with pytest.raises(ValueError, match=r"row_tokens must have shape \(4, 1 \+ 3, D\)"):
        encoder(rows[:, 1:], present, images)
    with pytest.raises(ValueError, match=r"image_tokens must have shape \(4, S, C\)"):
        encoder(rows, present, images[:3])
    with pytest.raises(ValueError, match="at least 1"):
        FusionEncoder(8, 6, 2, 0)


def test_autocast_runs_from_cells_to_fused_vector_close_to_single_precision():
    columns = ColumnLayout(torch.randn(3, 12), [torch.randn(4, 12)])
    cells, transformer = CellTokens(12, 16), TabularTransformer(16, 2, 2)
    fusion, head = FusionEncoder(16, 6, 2), MaskedValueHead(16, 12)
    numeric, codes = torch.tensor([[0.5, float("nan")], [-1.0, 2.0]]), torch.tensor([[3], [1]])
    images = torch.randn(2, 4, 6)

    def run() -> list[torch.Tensor]:
        tokens, present = cells(numeric, codes, columns)
        tokens = transformer(tokens, present)
        predicted, (logits,) = head(tokens[:, 1:], columns)
        return [fusion(tokens, present, images), predicted, logits]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run()
    for ours, exact in zip(half, run(), strict=True):
        torch.testing.assert_close(ours.float(), exact, rtol=0.1, atol=0.1)
    sum(output.float().sum() for output in half).backward()
    assert all(torch.isfinite(p.grad).all() for p in cells.parameters() if p.grad is not None)
