"""Truncated photos are errors, whatever flag somebody else has set for the process."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageFile

from tabimg.image import ImageReadError, read_image

FORMATS = {
    "JPEG": ("JPEG", {"quality": 95}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "TIFF": ("TIFF", {}),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "PPM": ("PPM", {}),
    "JPEG 2000": ("JPEG2000", {}),
}


def photo(name: str) -> bytes:
    file_format, options = FORMATS[name]
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.fixture(params=[False, True], ids=["flag off", "flag on"])
def flag(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)
    yield request.param
    assert request.param is ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_photo_is_an_error_under_any_flag(name: str, flag: bool) -> None:
    data = photo(name)
    whole = read_image(data, 16)
    for share in (0.05, 0.3, 0.6, 0.9, 0.99):
        cut = data[: int(len(data) * share)]
        with pytest.raises(ImageReadError, match="truncated"):
            read_image(cut, 16)
    np.testing.assert_array_equal(read_image(data, 16), whole)


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_truncated_photo_opened_by_its_user_is_an_error_under_any_flag(
    name: str, flag: bool
) -> None:
    data = photo(name)
    image = Image.open(io.BytesIO(data[: int(len(data) * 0.7)]))
    with pytest.raises(ImageReadError, match="truncated"):
        read_image(image, 16)


@pytest.mark.parametrize("name", ["PNG", "GIF", "TIFF LZW", "JPEG 2000"])
def test_broken_pixel_data_are_an_error_under_any_flag(name: str, flag: bool) -> None:
    data = bytearray(photo(name))
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xff" * 400
    with pytest.raises(ImageReadError, match="damaged"):
        read_image(bytes(data), 16)


def test_flag_set_and_reset_by_another_thread_lets_nothing_pass() -> None:
    cut = photo("JPEG")[:-300]
    done = threading.Event()
    before = ImageFile.LOAD_TRUNCATED_IMAGES

    def toggle() -> None:
        while not done.is_set():
            ImageFile.LOAD_TRUNCATED_IMAGES = not ImageFile.LOAD_TRUNCATED_IMAGES

    other = threading.Thread(target=toggle)
    other.start()
    try:
        for _ in range(100):
            with pytest.raises(ImageReadError, match="truncated"):
                read_image(cut, 16)
    finally:
        done.set()
        other.join()
        ImageFile.LOAD_TRUNCATED_IMAGES = before
