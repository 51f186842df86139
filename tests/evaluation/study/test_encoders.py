"""Encoders are pre-trained once, found again, and never taken half-written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tabimg
from tabimg import MultiModalPretrainer
from tabimg.evaluation.study.encoders import PretrainedEncoder, obtain_encoder

Make = Callable[..., MultiModalPretrainer]
Obtain = Callable[..., PretrainedEncoder]


def open_photo(path: str) -> Any:
    """An image loader: code that a saved encoder knows by name only."""
    return Image.open(path)


def open_bright(path: str, factor: float) -> Any:
    """A loader with an argument."""
    return Image.open(path).point(lambda value: value * factor)


@pytest.fixture
def obtain(
    frame: pd.DataFrame, make_pretrainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Obtain:
    """Obtain the encoder of 30 training rows; ``fits`` counts how often it was pre-trained."""
    fit, fits = MultiModalPretrainer.fit, []

    def counted(self: Any, X: pd.DataFrame, **given: Any) -> Any:
        fits.append(list(X.index))
        return fit(self, X, **given)

    monkeypatch.setattr(MultiModalPretrainer, "fit", counted)

    def obtain(
        fingerprint: str = "abc", folder: Path | None = tmp_path, **params: Any
    ) -> PretrainedEncoder:
        prototype = make_pretrainer(image_column=["photo"], random_state=0, **params)
        return obtain_encoder(prototype, frame, np.arange(30), fingerprint, folder)

    obtain.fits = fits  # type: ignore[attr-defined]
    return obtain


@pytest.mark.parametrize("loader", [None, open_photo, partial(open_bright, factor=1.2)])
def test_encoder_is_found_again_equal(obtain: Any, frame: pd.DataFrame, loader: Any) -> None:
    first, again = (obtain(image_loader=loader) for _ in range(2))
    assert obtain.fits == [list(range(30))]
    assert again.seconds == first.seconds > 0
    table = frame.drop(columns="photo")
    np.testing.assert_array_equal(
        again.pretrainer.transform(table), first.pretrainer.transform(table)
    )


def test_encoder_of_another_fingerprint_is_another(obtain: Any) -> None:
    obtain("abc")
    obtain("def")
    assert len(obtain.fits) == 2


def test_encoder_without_its_note_was_interrupted_and_is_pretrained_anew(
    obtain: Any, tmp_path: Path
) -> None:
    obtain()
    (tmp_path / "encoders" / "abc.json").unlink()
    obtain()
    assert len(obtain.fits) == 2
    assert (tmp_path / "encoders" / "abc.json").exists()


def test_encoder_without_folder_is_not_kept(obtain: Any, tmp_path: Path) -> None:
    assert obtain(folder=None).seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_encoder_comes_with_the_embeddings_of_its_photos(
    obtain: Any, make_pretrainer: Make, frame: pd.DataFrame
) -> None:
    frame.loc[7, "photo"] = None
    first, again = obtain(), obtain()
    by_hand = make_pretrainer(image_column=["photo"], random_state=0).fit(frame[:30])
    assert first.photos.dtype == np.float32
    np.testing.assert_array_equal(first.photos, by_hand.transform_images(frame[:30]))
    np.testing.assert_array_equal(again.photos, first.photos)
    assert np.flatnonzero(np.isnan(first.photos).all(axis=1)).tolist() == [7]


def test_encoder_that_looked_at_no_photo_has_no_embeddings(obtain: Any, tmp_path: Path) -> None:
    assert [obtain(lambda_c=0.0).photos for _ in range(2)] == [None, None]
    assert not list((tmp_path / "encoders").glob("*.npy"))


def test_kept_encoder_is_a_saved_pretrainer_without_its_image_encoder(
    obtain: Any, tmp_path: Path
) -> None:
    encoder = obtain(keep_image_encoder=True)
    load = partial(tabimg.load, custom={"tabimg.nn.resnet.ResNet": tabimg.nn.resnet.ResNet})
    for fitted in (encoder.pretrainer, load(tmp_path / "encoders" / "abc")):
        assert fitted.network_.architecture.image is None
        assert not any("image" in name for name in fitted.network_.build().state_dict())
    names = {path.name for path in (tmp_path / "encoders").iterdir()}
    assert names == {"abc", "abc.npy", "abc.json"}
