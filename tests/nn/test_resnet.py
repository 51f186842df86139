from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tabimg.nn import ResNet, load_public_weights, resnet18

# torchvision's resnet18, written out: each convolution with its shape, each batch norm with its
# width, and the classifier.
CONVOLUTIONS = {
    "conv1": (64, 3, 7, 7),
    "layer1.0.conv1": (64, 64, 3, 3),
    "layer1.0.conv2": (64, 64, 3, 3),
    "layer1.1.conv1": (64, 64, 3, 3),
    "layer1.1.conv2": (64, 64, 3, 3),
    "layer2.0.conv1": (128, 64, 3, 3),
    "layer2.0.conv2": (128, 128, 3, 3),
    "layer2.0.downsample.0": (128, 64, 1, 1),
    "layer2.1.conv1": (128, 128, 3, 3),
    "layer2.1.conv2": (128, 128, 3, 3),
    "layer3.0.conv1": (256, 128, 3, 3),
    "layer3.0.conv2": (256, 256, 3, 3),
    "layer3.0.downsample.0": (256, 128, 1, 1),
    "layer3.1.conv1": (256, 256, 3, 3),
    "layer3.1.conv2": (256, 256, 3, 3),
    "layer4.0.conv1": (512, 256, 3, 3),
    "layer4.0.conv2": (512, 512, 3, 3),
    "layer4.0.downsample.0": (512, 256, 1, 1),
    "layer4.1.conv1": (512, 512, 3, 3),
    "layer4.1.conv2": (512, 512, 3, 3),
}
NORMALISATIONS = {
    "bn1": 64,
    "layer1.0.bn1": 64,
    "layer1.0.bn2": 64,
    "layer1.1.bn1": 64,
    "layer1.1.bn2": 64,
    "layer2.0.bn1": 128,
    "layer2.0.bn2": 128,
    "layer2.0.downsample.1": 128,
    "layer2.1.bn1": 128,
    "layer2.1.bn2": 128,
    "layer3.0.bn1": 256,
    "layer3.0.bn2": 256,
    "layer3.0.downsample.1": 256,
    "layer3.1.bn1": 256,
    "layer3.1.bn2": 256,
    "layer4.0.bn1": 512,
    "layer4.0.bn2": 512,
    "layer4.0.downsample.1": 512,
    "layer4.1.bn1": 512,
    "layer4.1.bn2": 512,
}
CLASSIFIER = {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def torchvision_shapes() -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.weight": shape for name, shape in CONVOLUTIONS.items()}
    for name, width in NORMALISATIONS.items():
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{entry}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()
    return shapes | CLASSIFIER


def torchvision_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """A random file's worth of weights under torchvision's names."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.tensor(17)
        if name.endswith("num_batches_tracked")
        else torch.rand(shape, generator=generator) * 0.1
        for name, shape in torchvision_shapes().items()
    }


def small(**options) -> ResNet:
    return ResNet(layers=(1, 1, 1, 1), width=4, **options)


def test_names_and_shapes_are_those_of_torchvision():
    expected = torchvision_shapes()
    assert len(expected) == 122
    ours = {name: tuple(value.shape) for name, value in resnet18().state_dict().items()}
    assert ours == {name: s for name, s in expected.items() if not name.startswith("fc.")}


def test_parameter_count_is_that_of_resnet18_without_its_classifier():
    assert sum(parameter.numel() for parameter in resnet18().parameters()) == 11_176_512


@pytest.mark.parametrize(("side", "map_side"), [(32, 1), (64, 2), (65, 3), (224, 7)])
def test_feature_map_is_a_thirty_second_of_the_image(side, map_side):
    network = small().eval()
    pixels = torch.zeros(1, 3, side, side)
    assert network.feature_map(pixels).shape == (1, 32, map_side, map_side)
    assert network(pixels).shape == (1, network.embedding_dim) == (1, 32)


def test_resnet18_embeds_a_batch():
    network = resnet18().eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, 64, 64)).shape == (2, 512)


def test_output_equals_a_functional_evaluation_of_the_weights(tmp_path):
    network = resnet18().eval()
    path = tmp_path / "weights.pth"
    torch.save(torchvision_weights(), path)
    load_public_weights(network, path)
    # In float64: the order of float32 sums is the processor's own.
    network, weights = network.double(), {k: w.double() for k, w in torchvision_weights().items()}
    pixels = torch.randn(2, 3, 48, 40, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), functional_resnet18(weights, pixels))


def functional_resnet18(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """ResNet-18 as torchvision evaluates it, from the names alone."""

    def norm(x, name):
        return F.batch_norm(
            x,
            w[f"{name}.running_mean"],
            w[f"{name}.running_var"],
            w[f"{name}.weight"],
            w[f"{name}.bias"],
        )

    x = F.relu(norm(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = F.relu(norm(y, f"{name}.bn1"))
            y = norm(F.conv2d(y, w[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in w:
                x = F.conv2d(x, w[f"{name}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{name}.downsample.1")
            x = F.relu(x + y)
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def test_gradients_reach_every_parameter():
    network = small()
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    assert [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ] == []


def test_convolutions_start_with_the_variance_of_he_et_al():
    network = resnet18()
    for name in ("layer1.0.conv1", "layer3.0.conv2", "layer4.0.downsample.0"):
        weight = network.get_submodule(name).weight
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        assert weight.var().item() == pytest.approx(2 / fan_out, rel=0.05)


def test_zero_init_residual_starts_the_blocks_as_their_skip():
    network = small(zero_init_residual=True)
    features = torch.rand(2, 4, 8, 8)
    assert torch.equal(network.layer1(features), features)
    assert not torch.equal(small().layer1(features), features)


def test_channels_last_input_gives_the_same_embedding():
    network = small().eval()
    pixels = torch.randn(2, 3, 40, 40)
    last = pixels.contiguous(memory_format=torch.channels_last)
    assert torch.equal(network(last), network(pixels))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_load_from_either_file_format(tmp_path, suffix):
    weights = torchvision_weights()
    path = tmp_path / f"resnet18{suffix}"
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    network = resnet18()
    load_public_weights(network, str(path))
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in loaded)


def test_weights_without_batch_counts_load(tmp_path):
    weights = {
        name: value for name, value in torchvision_weights().items() if "num_batches" not in name
    }
    torch.save(weights, tmp_path / "old.pth")
    network = resnet18()
    load_public_weights(network, tmp_path / "old.pth")
    assert torch.equal(network.bn1.running_mean, weights["bn1.running_mean"])
    assert network.bn1.num_batches_tracked.item() == 0


def test_weights_that_do_not_fit_name_every_fault_and_change_nothing(tmp_path):
    weights = torchvision_weights()
    del weights["layer4.1.conv2.weight"]
    weights["layer5.0.conv1.weight"] = torch.zeros(1)
    weights["bn1.bias"] = torch.zeros(32)
    torch.save(weights, tmp_path / "other.pth")
    network = resnet18()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"other\.pth do not fit ResNet") as caught:
        load_public_weights(network, tmp_path / "other.pth")
    message = str(caught.value)
    assert "missing: layer4.1.conv2.weight" in message
    assert "unexpected: layer5.0.conv1.weight" in message
    assert "bn1.bias (32,) instead of (64,)" in message
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors", "empty.pth"])
def test_file_that_holds_no_weights_raises_and_names_it(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"not weights at all")
    with pytest.raises(ValueError, match=name):
        load_public_weights(small(), tmp_path / name)


def test_file_with_something_else_than_tensors_raises(tmp_path):
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "run.pth")
    with pytest.raises(ValueError, match="does not hold a state dict"):
        load_public_weights(small(), tmp_path / "run.pth")


def test_absent_file_raises_and_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        load_public_weights(small(), tmp_path / "nowhere.pth")


def test_invalid_sizes_and_images_raise():
    with pytest.raises(ValueError, match="four counts"):
        ResNet(layers=(2, 2, 2))
    with pytest.raises(ValueError, match="width"):
        ResNet(width=0)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        small()(torch.zeros(1, 1, 32, 32))


def test_old_name_of_the_loader_still_works_with_a_warning() -> None:
    with pytest.deprecated_call(match="is called load_public_weights now"):
        from tabimg.nn import load_torchvision_weights
    assert load_torchvision_weights is load_public_weights
