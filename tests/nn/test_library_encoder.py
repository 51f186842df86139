"""Photos reach a model of another library as it expects them; its positions average to its view."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tabimg.nn import LockedEncoder, TunedEncoder
from tabimg.nn.library_encoder import LibraryEncoder, token_map
from tabimg.nn.normalisation import IMAGENET_MEAN, IMAGENET_STD

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)


class Tokens(nn.Module):
    """A class token and four tokens of patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 8, stride=8)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
        self.norm = nn.BatchNorm2d(6)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.norm(self.patches(pixels)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return torch.cat([tokens.amax(dim=1, keepdim=True), tokens], dim=1)


def see(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    tokens = model(pixels)
    return tokens[:, 0], token_map(tokens)


def see_narrow(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Project the embedding, as CLIP does."""
    embedding, positions = see(model, pixels)
    return embedding[:, :3], positions


def encoder(how: object = see) -> LibraryEncoder:
    torch.manual_seed(0)
    return LibraryEncoder(Tokens(), how, 16, MEAN, STD).eval()


def test_pixels_are_normalised_as_the_model_expects() -> None:
    colours = torch.rand(2, 3, 16, 16)
    mean, std, ours, our_std = (
        torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD, IMAGENET_MEAN, IMAGENET_STD)
    )
    network = encoder()
    embedding = network((colours - ours) / our_std)
    torch.testing.assert_close(embedding, see(network.model, (colours - mean) / std)[0])


@pytest.mark.parametrize("side", [7, 32, 40])
def test_photos_of_any_size_are_seen_at_the_size_of_the_model(side: int) -> None:
    network = encoder()
    plain = torch.full((1, 3, side, side), 0.3)
    torch.testing.assert_close(network(plain), network(torch.full((1, 3, 16, 16), 0.3)))
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        network(torch.zeros(1, 1, 16, 16))


def test_mean_of_the_positions_is_the_embedding_also_of_a_copy() -> None:
    network = encoder()
    pixels = torch.randn(3, 3, 16, 16)
    twin = copy.deepcopy(network)
    nn.init.zeros_(network.model.patches.weight)
    for each in (network, twin):
        positions = each.feature_map(pixels)
        assert positions.shape == (3, 6, 2, 2)
        torch.testing.assert_close(positions.mean(dim=(2, 3)), each(pixels))
    assert not torch.allclose(network(pixels), twin(pixels))


def test_positions_of_another_width_than_the_embedding_are_not_offered() -> None:
    assert not hasattr(encoder(see_narrow), "feature_map")
    assert not hasattr(encoder(lambda model, x: (see(model, x)[0], None)), "feature_map")


def test_construction_leaves_statistics_and_mode_of_the_model_as_they_were() -> None:
    network = LibraryEncoder(Tokens(), see, 16, MEAN, STD)
    assert network.model.training and network.model.norm.num_batches_tracked == 0
    assert {name.partition(".")[0] for name in network.state_dict()} == {"model"}


def test_locked_encoder_sees_regions_and_tuned_one_trains_the_last_blocks() -> None:
    locked = LockedEncoder(encoder(), 6, grid=2)
    assert locked.features(torch.randn(2, 3, 16, 16)).shape == (2, 4, 6)
    tuned = TunedEncoder(encoder(), share=0.03)
    trained = {name for name, w in tuned.named_parameters() if w.requires_grad}
    assert trained == {
        f"backbone.model.{name}"
        for name in ("blocks.3.weight", "blocks.3.bias", "norm.weight", "norm.bias")
    }


def test_tokens_become_a_square_map_without_class_tokens() -> None:
    tokens = torch.arange(11.0).view(1, 11, 1)
    torch.testing.assert_close(token_map(tokens), torch.arange(2.0, 11.0).view(1, 1, 3, 3))
