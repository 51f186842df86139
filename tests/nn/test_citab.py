"""The whole CITab network: cohorts of any columns in one batch, photos, heads."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from tabimg.nn import FeedForward, ProjectionHead
from tabimg.nn.cell_tokens import CellTokens, ColumnLayout
from tabimg.nn.citab import CITabNet
from tabimg.nn.fusion import FusionEncoder
from tabimg.nn.masked_values import MaskedValueHead
from tabimg.nn.molin import PrototypeMixture
from tabimg.nn.resnet import ResNet
from tabimg.nn.tabular_transformer import TabularTransformer

TEXT, DIM = 6, 8


def layout(n_numeric: int, n_categories: tuple[int, ...], seed: int) -> ColumnLayout:
    generator = torch.Generator().manual_seed(seed)
    headers = torch.randn(n_numeric + len(n_categories), TEXT, generator=generator)
    return ColumnLayout(headers, [torch.randn(n, TEXT, generator=generator) for n in n_categories])


def make_net(layouts: list[ColumnLayout], **parts: nn.Module) -> CITabNet:
    torch.manual_seed(0)
    transformer = TabularTransformer(DIM, 2, 2, partial(PrototypeMixture, n_experts=2))
    return CITabNet(CellTokens(TEXT, DIM), transformer, layouts, **parts).eval()


@pytest.fixture
def layouts() -> list[ColumnLayout]:
    return [layout(3, (2, 4), 1), layout(1, (), 2), layout(0, (3,), 3)]


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Twelve rows of three cohorts, mixed, padded with missing cells; some cells missing."""
    torch.manual_seed(4)
    cohorts = torch.tensor([0, 2, 1, 0, 1, 2, 2, 0, 0, 1, 2, 0])
    numeric, codes = torch.randn(12, 3), torch.randint(2, 4, (12, 2))
    numeric[cohorts == 1, 1:] = torch.nan
    numeric[cohorts == 2] = torch.nan
    codes[cohorts == 1] = 1
    codes[cohorts == 2, 1:] = 1
    numeric[3, 1], codes[7, 0] = torch.nan, 0
    return numeric, codes, cohorts


def test_row_of_a_mixed_batch_is_encoded_as_among_its_own(
    layouts: list[ColumnLayout], batch: tuple[torch.Tensor, ...]
) -> None:
    net = make_net(layouts)
    numeric, codes, cohorts = batch
    tokens, present = net.encode_rows(numeric, codes, cohorts)
    assert tokens.shape == (12, 1 + 5, DIM) and present.shape == (12, 5)
    for number, own in enumerate(layouts):
        rows = cohorts == number
        p, q = own.n_numeric, len(own.n_categories)
        alone, there = net.encode(numeric[rows, :p], codes[rows, :q], own)
        torch.testing.assert_close(tokens[rows, : 1 + p + q], alone, atol=1e-6, rtol=1e-6)
        assert torch.equal(present[rows, : p + q], there)
        assert not present[rows, p + q :].any()


def test_batch_is_as_wide_as_its_widest_row(
    layouts: list[ColumnLayout], batch: tuple[torch.Tensor, ...]
) -> None:
    net = make_net(layouts)
    numeric, codes, cohorts = batch
    narrow = cohorts > 0
    tokens, present = net.encode_rows(numeric[narrow], codes[narrow], cohorts[narrow])
    assert tokens.shape == (7, 1 + 1, DIM) and present.shape == (7, 1)
    whole, _ = net.encode_rows(numeric, codes, cohorts)
    torch.testing.assert_close(tokens[:, 0], whole[narrow, 0], atol=1e-6, rtol=1e-6)


def test_rows_follow_their_order_and_padding_is_not_looked_at(
    layouts: list[ColumnLayout], batch: tuple[torch.Tensor, ...]
) -> None:
    net = make_net(layouts)
    numeric, codes, cohorts = batch
    expected, _ = net.encode_rows(numeric, codes, cohorts)
    order = torch.randperm(12)
    turned, _ = net.encode_rows(numeric[order], codes[order], cohorts[order])
    torch.testing.assert_close(turned, expected[order], atol=1e-6, rtol=1e-6)
    rubbish, wild = numeric.clone(), codes.clone()
    rubbish[cohorts == 1, 1:] = 1e6
    rubbish[cohorts == 2] = -1e6
    wild[cohorts == 1] = 3
    again, _ = net.encode_rows(rubbish, wild, cohorts)
    torch.testing.assert_close(again, expected)


def test_forward_gives_the_cls_of_the_only_cohort(layouts: list[ColumnLayout]) -> None:
    net = make_net(layouts[:1])
    numeric, codes = torch.randn(4, 3), torch.randint(2, 4, (4, 2))
    torch.testing.assert_close(net(numeric, codes), net.encode(numeric, codes, layouts[0])[0][:, 0])
    with pytest.raises(ValueError, match="unpack"):
        make_net(layouts)(numeric, codes)


def test_state_holds_nothing_that_belongs_to_a_column(layouts: list[ColumnLayout]) -> None:
    first, second = make_net(layouts), make_net(layouts[1:2])
    assert first.state_dict().keys() == second.state_dict().keys()
    assert not any("layout" in name for name in first.state_dict())
    second.load_state_dict(first.state_dict())


def test_gradients_are_finite_with_missing_cells_and_reach_every_parameter(
    layouts: list[ColumnLayout], batch: tuple[torch.Tensor, ...]
) -> None:
    net = make_net(layouts).train()
    tokens, _ = net.encode_rows(*batch)
    tokens.square().sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_image_tokens_are_the_positions_of_a_feature_map() -> None:
    encoder = ResNet(layers=(1, 1, 1, 1), width=4)
    net = make_net([layout(1, (), 0)], image_encoder=encoder)
    pixels = torch.rand(2, 3, 64, 64)
    tokens = net.image_tokens(pixels)
    assert tokens.shape == (2, 4, 32)
    torch.testing.assert_close(net.embed_image(pixels), encoder(pixels))


def test_encoder_without_feature_map_gives_one_token() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = make_net([layout(1, (), 0)], image_encoder=encoder)
    pixels = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(net.image_tokens(pixels), encoder(pixels).unsqueeze(1))
    vectors = make_net([layout(1, (), 0)], image_encoder=nn.BatchNorm1d(5))
    assert vectors.image_tokens(torch.rand(3, 5)).shape == (3, 1, 5)
    assert vectors.embed_image(torch.rand(3, 5)).shape == (3, 5)


def test_fused_pair_depends_on_row_and_photo_but_not_on_missing_cells() -> None:
    net = make_net(
        [layout(2, (), 0)],
        image_encoder=nn.Identity(),
        fusion=FusionEncoder(DIM, 5, 2, 1),
        matching_head=nn.Linear(DIM, 2),
    )
    with torch.no_grad():
        tokens, present = net.encode(
            torch.randn(2, 2), torch.empty(2, 0, dtype=torch.long), layout(2, (), 0)
        )
        photos = torch.randn(2, 3, 5)
        fused = net.fuse(tokens, present, photos)
        assert fused.shape == (2, DIM)
        assert net.matching_logits(fused).shape == (2, 2)
        assert not torch.allclose(net.fuse(tokens, present, photos.flip(0)), fused)
        assert not torch.allclose(net.fuse(tokens.flip(0), present, photos), fused)
        present[:, 1] = False
        hidden = net.fuse(tokens, present, photos)
        tokens[:, 2] = 7.0
        torch.testing.assert_close(net.fuse(tokens, present, photos), hidden)


def test_cells_are_predicted_by_the_columns_of_their_cohort(
    layouts: list[ColumnLayout], batch: tuple[torch.Tensor, ...]
) -> None:
    net = make_net(layouts, value_head=MaskedValueHead(DIM, TEXT))
    tokens, _ = net.encode_rows(*batch)
    numeric, logits = net.predict_cells(tokens[batch[2] == 0], 0)
    assert numeric.shape == (5, 3) and [each.shape[1] for each in logits] == [2, 4]
    numeric, logits = net.predict_cells(tokens[batch[2] == 2], 2)
    assert numeric.shape == (4, 0) and [each.shape[1] for each in logits] == [3]


def test_parts_that_are_not_there_are_told() -> None:
    net = make_net([layout(1, (), 0)])
    tokens, present = torch.zeros(1, 2, DIM), torch.ones(1, 1, dtype=torch.bool)
    for call, part in (
        (lambda: net.image_tokens(torch.zeros(1, 3, 8, 8)), "an image encoder"),
        (lambda: net.project_table(tokens[:, 0]), "a projection head for the table"),
        (lambda: net.fuse(tokens, present, torch.zeros(1, 1, 4)), "a fusion encoder"),
        (lambda: net.matching_logits(torch.zeros(1, DIM)), "a matching head"),
        (lambda: net.predict_cells(tokens, 0), "a head that predicts cells"),
    ):
        with pytest.raises(RuntimeError, match=f"without {part}"):
            call()


def test_dropping_the_image_leaves_the_table_alone() -> None:
    net = make_net(
        [layout(1, (), 0)],
        image_encoder=nn.Identity(),
        projections={"table": ProjectionHead(DIM, DIM, 4), "image": ProjectionHead(5, 5, 4)},
        fusion=FusionEncoder(DIM, 5, 2, 1, FeedForward),
        matching_head=nn.Linear(DIM, 2),
    )
    row = torch.randn(1, 1), torch.empty(1, 0, dtype=torch.long)
    assert net.project_table(net(*row)).shape == net.project_image(torch.rand(1, 5)).shape == (1, 4)
    before = net(*row)
    net.drop_image()
    assert {name.split(".")[0] for name in net.state_dict()} == {"cells", "transformer"}
    torch.testing.assert_close(net(*row), before)
