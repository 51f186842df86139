"""What is fixed in an image encoder stays as it is, bit by bit; the rest learns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tabimg.nn import EfficientNetLite, LockedEncoder, ResNet, TunedEncoder

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "resnet": partial(ResNet, layers=(1, 1, 1, 1), width=4),
    "efficientnet": partial(EfficientNetLite, width=0.25, depth=0.25),
}
WIDTHS = {"resnet": 32, "efficientnet": 1280}


@pytest.fixture(params=BACKBONES)
def locked(request: pytest.FixtureRequest) -> Callable[..., LockedEncoder]:
    """Lock each kind of encoder."""

    def make(**settings: int | float) -> LockedEncoder:
        return LockedEncoder(BACKBONES[request.param](), WIDTHS[request.param], **settings)

    return make


def photos(n_photos: int = 6) -> Tensor:
    return torch.randn(n_photos, 3, 64, 64)


def train(encoder: nn.Module, pixels: Tensor, n_steps: int = 3) -> None:
    """Take a few large steps, as a fit does."""
    encoder.train()
    head = nn.Linear(encoder(pixels).shape[1], 1)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=0.1)
    for _ in range(n_steps):
        optimiser.zero_grad()
        head(encoder(pixels)).square().mean().backward()
        optimiser.step()


def state(module: nn.Module) -> dict[str, Tensor]:
    """Copy weights and statistics."""
    return copy.deepcopy(module.state_dict())


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of weights and statistics that differ in any bit."""
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


# --- locked --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [1, 2])
def test_training_changes_no_weight_and_no_statistic_of_the_locked(
    grid: int, locked: Callable[..., LockedEncoder]
) -> None:
    encoder = locked(grid=grid)
    before = state(encoder)
    train(encoder, photos())
    learned = changed(before, encoder.state_dict())
    assert learned == {
        f"standardise.{name}"
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


def test_locked_backbone_stays_in_evaluation_whatever_the_mode_of_the_rest(
    locked: Callable[..., LockedEncoder],
) -> None:
    encoder = locked().eval().train()
    assert encoder.training and encoder.standardise.training
    assert not any(module.training for module in encoder.backbone.modules())
    assert not any(weight.requires_grad for weight in encoder.backbone.parameters())


@pytest.mark.parametrize("grid", [1, 2])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_features_seen_beforehand_are_encoded_as_their_photos(
    grid: int, mode: str, locked: Callable[..., LockedEncoder]
) -> None:
    encoder, pixels = locked(grid=grid), photos()
    getattr(encoder, mode)()
    features = encoder.features(pixels)
    assert features.shape == (6, grid**2, encoder.width) and not features.requires_grad
    for encode in (encoder.tokens, encoder):
        torch.manual_seed(1)
        of_photos = encode(pixels)
        torch.manual_seed(1)
        torch.testing.assert_close(encode(features), of_photos, rtol=0, atol=0)


def test_grid_of_regions_averages_to_the_whole_photo(locked: Callable[..., LockedEncoder]) -> None:
    encoder, pixels = locked(), photos()
    whole = encoder.features(pixels)
    # The last map has two rows and two columns: each region is one position.
    encoder.grid = 2
    regions = encoder.features(pixels)
    torch.testing.assert_close(regions.mean(dim=1, keepdim=True), whole, rtol=1e-4, atol=1e-5)
    position = encoder.backbone.feature_map(pixels)[:, :, 0, 1]  # type: ignore[operator]
    torch.testing.assert_close(regions[:, 1], position)


def test_dropout_sets_features_to_their_mean_in_training_only(
    locked: Callable[..., LockedEncoder],
) -> None:
    encoder, features = locked(dropout=0.5), torch.randn(64, 1, 1)
    features = features.expand(64, 1, encoder.width)
    drawn = encoder.tokens(features)
    assert 0.4 < (drawn == 0).float().mean() < 0.6
    assert not torch.equal(encoder.tokens(features), drawn)
    encoder.eval()
    first = encoder.tokens(features)
    assert torch.equal(encoder.tokens(features), first) and (first != 0).all()


def test_standardised_features_have_mean_zero_and_variance_one(
    locked: Callable[..., LockedEncoder],
) -> None:
    encoder = locked(dropout=0.0)
    tokens = encoder.tokens(5 + 3 * torch.randn(200, 1, encoder.width))
    assert tokens.mean(dim=0).abs().max() < 1e-4
    assert (tokens.var(dim=0, unbiased=False) - 1).abs().max() < 1e-3


# --- tuned ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKBONES)
def test_only_the_last_parts_are_tuned_and_hold_enough_weights(name: str) -> None:
    encoder = TunedEncoder(BACKBONES[name](), share=0.5)
    weights = list(encoder.backbone.parameters())
    trained = [weight.requires_grad for weight in weights]
    assert trained == sorted(trained) and not trained[0] and trained[-1]
    n_trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    assert n_trained >= 0.5 * sum(weight.numel() for weight in weights)


@pytest.mark.parametrize("name", BACKBONES)
def test_training_changes_no_weight_and_no_statistic_of_what_is_not_tuned(name: str) -> None:
    encoder = TunedEncoder(BACKBONES[name](), share=0.5)
    tuned = {key for key, weight in encoder.named_parameters() if weight.requires_grad}
    folders = {key.rpartition(".")[0] for key in tuned}
    before = state(encoder)
    train(encoder, photos())
    learned = changed(before, encoder.state_dict())
    assert tuned <= learned
    # Batch statistics move where weights do, and nowhere else.
    assert {key.rpartition(".")[0] for key in learned} == folders


def test_tuned_encoder_sees_what_its_backbone_sees() -> None:
    encoder = TunedEncoder(BACKBONES["resnet"]()).eval()
    pixels = photos()
    assert torch.equal(encoder(pixels), encoder.backbone(pixels))
    assert torch.equal(encoder.feature_map(pixels), encoder.backbone.feature_map(pixels))  # type: ignore[operator]


def test_copy_of_a_tuned_encoder_keeps_fixed_parts_and_looks_through_its_own() -> None:
    encoder = copy.deepcopy(TunedEncoder(BACKBONES["resnet"]()))
    before = state(encoder)
    train(encoder, photos())
    assert {key.split(".")[1] for key in changed(before, encoder.state_dict())} < {
        key.split(".")[1] for key in before
    }
    encoder.eval()
    pixels = photos()
    assert torch.equal(encoder.feature_map(pixels).mean(dim=(2, 3)), encoder(pixels))
