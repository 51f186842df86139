"""Networks built from a seed: the names of their weights, and the weights themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from tabimg.nn import EfficientNetLite, ResNet
from tabimg.nn.isolation import isolated
from tabimg.training.architectures import (
    IMAGE_ENCODERS,
    ImageArchitecture,
    PretrainingArchitecture,
    TableArchitecture,
)
from tabimg.training.citab_architectures import CITabArchitecture, CohortArchitecture, ColumnVectors

TINY = ImageArchitecture(partial(ResNet, layers=(1, 1, 1, 1), width=4), 32)
LITE = ImageArchitecture(partial(EfficientNetLite, width=0.25, depth=0.5), 32)
VECTORS = ImageArchitecture("resnet18", 32, vector_width=5)


def mt_cmtm(image: ImageArchitecture | None) -> PretrainingArchitecture:
    return PretrainingArchitecture(
        TableArchitecture("resnet1d_cbam", 2, (True, False), (5,), 12), image, 6
    )


def citab(image: ImageArchitecture | None) -> CITabArchitecture:
    texts = np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6)
    table = CohortArchitecture(
        (ColumnVectors(texts[:3], (texts[3:],)),), 6, 8, 2, 1, 2, "mlp", "scale"
    )
    return CITabArchitecture(table, image, 4, 1, reconstructs=True)


def names_digest(net: nn.Module) -> str:
    """Digest the names and shapes of all weights, in the order in which they are saved."""
    names = [(name, tuple(weight.shape)) for name, weight in net.state_dict().items()]
    return hashlib.sha256(str(names).encode()).hexdigest()[:16]


def magnitude(net: nn.Module) -> float:
    """Sum up all weights: what was drawn, but for how a processor rounds it."""
    return sum(float(weight.double().abs().sum()) for weight in net.state_dict().values())


# Saved weights have these names, and published results come from these draws: neither may change.
@pytest.mark.parametrize(
    ("architecture", "digest", "total"),
    [
        pytest.param(mt_cmtm(None), "243be00896408478", 12617.252895344856, id="mt_cmtm"),
        pytest.param(mt_cmtm(TINY), "9a4726f8b7f12c54", 14887.790231054787, id="mt_cmtm-photos"),
        pytest.param(mt_cmtm(LITE), "9200b953be3675cc", 98175.08822315632, id="mt_cmtm-lite"),
        pytest.param(mt_cmtm(VECTORS), "a70611bc7b287dac", 12712.41064928184, id="mt_cmtm-vectors"),
        pytest.param(citab(None), "31332abf1e8c0227", 258.23285589799343, id="citab"),
        pytest.param(citab(TINY), "bc2ca25f2ca768f6", 2676.2926733868085, id="citab-photos"),
        pytest.param(citab(LITE), "31b416a78b822201", 86085.5290188709, id="citab-lite"),
        pytest.param(citab(VECTORS), "39519825cb27a4f9", 491.8724549278668, id="citab-vectors"),
    ],
)
def test_networks_of_a_seed_keep_their_names_and_their_draws(
    architecture: PretrainingArchitecture | CITabArchitecture, digest: str, total: float
) -> None:
    with isolated(7):
        net = architecture.build()
    assert names_digest(net) == digest
    assert magnitude(net) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("make", [mt_cmtm, citab])
def test_network_that_drops_its_photos_is_that_of_the_architecture_without_them(
    make: Callable[[ImageArchitecture | None], PretrainingArchitecture | CITabArchitecture],
) -> None:
    architecture = make(TINY)
    net = architecture.build()
    net.drop_image()
    architecture.without_image().build().load_state_dict(net.state_dict())


@pytest.mark.parametrize("size", [32, 75, 512])
@pytest.mark.parametrize("name", IMAGE_ENCODERS)
def test_width_of_a_named_image_encoder_does_not_depend_on_the_size(name: str, size: int) -> None:
    architecture = ImageArchitecture(name, size)
    with torch.device("meta"):
        encoder = architecture.build()
        assert encoder(torch.zeros(2, 3, size, size)).shape == (2, encoder.embedding_dim)
    built = architecture.build()
    assert architecture.width(built) == encoder.embedding_dim
