from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tabimg.image import ImageReadError, read_image

SIZE = 16
RED, WHITE = (255, 0, 0), (255, 255, 255)


def quadrants(size: int = 64) -> np.ndarray:
    """Four flat colours: every orientation and mirror image looks different."""
    pixels = np.zeros((size, size, 3), dtype=np.uint8)
    half = size // 2
    pixels[:half, :half] = (250, 10, 10)
    pixels[:half, half:] = (10, 250, 10)
    pixels[half:, :half] = (10, 10, 250)
    pixels[half:, half:] = (250, 250, 10)
    return pixels


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def corners(image: np.ndarray) -> np.ndarray:
    near, far = SIZE // 4, 3 * SIZE // 4
    return image[[near, near, far, far], [near, far, near, far]].astype(int)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(quadrants()).save(path)
    return path


@pytest.mark.parametrize("kind", [str, Path, Path.read_bytes, Image.open])
def test_read_image_every_kind_of_source_gives_the_same_pixels(png: Path, kind: type) -> None:
    image = read_image(kind(png), SIZE)
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous and image.flags.writeable
    np.testing.assert_array_equal(image, read_image(str(png), SIZE))
    np.testing.assert_array_equal(corners(image), corners(quadrants(SIZE)))


def test_read_image_same_size_keeps_pixels_exactly() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(pixels), "PNG"), SIZE), pixels)


def test_read_image_integer_reduction_of_oblong_image_is_close_to_block_means() -> None:
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(smooth).resize((SIZE * 16, SIZE * 8), Image.BICUBIC))
    means = large.reshape(SIZE, 8, SIZE, 16, 3).mean(axis=(1, 3))
    image = read_image(Image.fromarray(large), SIZE)
    # A triangle filter is wider than a block, so steep places differ a little.
    assert np.abs(image - means).mean() < 3


def test_read_image_large_jpeg_matches_a_full_decode() -> None:
    rng = np.random.default_rng(0)
    # Detail down to about a pixel of the target: a decode at too small a scale would lose it.
    coarse = rng.integers(0, 256, (72, 96, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((1024, 768), Image.BICUBIC)
    data = encoded(photo, "JPEG", quality=92)
    full = np.asarray(
        Image.open(io.BytesIO(data)).convert("RGB").resize((128, 128), Image.BILINEAR)
    )
    error = np.square(read_image(data, 128) - full.astype(float)).mean()
    assert 10 * np.log10(255**2 / error) > 44


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_image_exif_orientation_is_undone(orientation: int, file_format: str) -> None:
    upright = quadrants()
    # How each orientation stores an upright image, from the EXIF standard.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    options = {} if file_format == "PNG" else {"quality": 95}
    data = encoded(image, file_format, exif=exif, **options)
    expected = corners(quadrants(SIZE))
    assert np.abs(corners(read_image(data, SIZE)) - expected).max() < 25
    assert np.abs(corners(read_image(Image.open(io.BytesIO(data)), SIZE)) - expected).max() < 25


def red(mode: str) -> Image.Image:
    return Image.new("RGB", (8, 8), RED).convert(mode)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (8, 8), 1), WHITE),
        (Image.new("L", (8, 8), 77), (77, 77, 77)),
        (Image.new("LA", (8, 8), (77, 255)), (77, 77, 77)),
        (Image.new("LA", (8, 8), (77, 0)), WHITE),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 255)), RED),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 102)), (255, 153, 153)),
        (red("P"), RED),
        (red("CMYK"), RED),
        (red("YCbCr"), (254, 0, 0)),
        (red("HSV"), RED),
        (Image.fromarray(np.full((8, 8), 32896, dtype=np.uint16)), (128, 128, 128)),
        (Image.fromarray(np.full((8, 8), 65535, dtype=np.int32)), WHITE),
        (Image.fromarray(np.full((8, 8), 0.2, dtype=np.float32)), (51, 51, 51)),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_read_image_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, ...]) -> None:
    assert np.abs(read_image(image, 4).astype(int) - expected).max() <= 1


def test_read_image_palette_with_transparency_shows_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (4, 0, 8, 8))
    pixels = read_image(encoded(image, "PNG", transparency=1), 8)
    assert tuple(pixels[0, 0]) == RED
    assert tuple(pixels[0, 7]) == WHITE


def test_read_image_16_bit_png_and_cmyk_jpeg_files_are_read() -> None:
    ramp = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    deep = read_image(encoded(Image.fromarray(ramp), "PNG"), 8)
    assert np.abs(deep[..., 0] - ramp / 257).max() <= 0.51
    printed = read_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), 4)
    assert np.abs(printed.astype(int) - RED).max() <= 4


def test_read_image_wide_integers_fill_their_own_range() -> None:
    values = np.array([[-1000, 0], [1000, 3000]], dtype=np.int32)
    expected = np.rint((values + 1000) / 4000 * 255)
    np.testing.assert_array_equal(read_image(Image.fromarray(values), 2)[..., 0], expected)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_read_image_animation_gives_first_frame(file_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert (read_image(data, 4) == RED).all()


def test_read_image_pil_source_is_left_unchanged() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(quadrants(512)), "JPEG", exif=exif)
    source = Image.open(io.BytesIO(data))
    before = Image.open(io.BytesIO(data))
    read_image(source, 8)
    assert source.size == (512, 512)
    assert source.getexif()[0x0112] == 6
    assert source.tobytes() == before.tobytes()


# Errors


def truncated(file_format: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), file_format)
    return data[: len(data) // 2]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_read_image_truncated_file_raises_with_path(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / f"cut.{file_format.lower()}"
    path.write_bytes(truncated(file_format))
    with pytest.raises(ImageReadError, match=r"truncated|damaged|not an image") as caught:
        read_image(path, SIZE)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
def test_read_image_truncated_bytes_say_truncated(file_format: str) -> None:
    with pytest.raises(ImageReadError, match="it is truncated"):
        read_image(truncated(file_format), SIZE)


def test_read_image_truncated_lazily_opened_pil_image_raises() -> None:
    with pytest.raises(ImageReadError, match=r"given as a PIL image .* truncated"):
        read_image(Image.open(io.BytesIO(truncated("JPEG"))), SIZE)


def test_read_image_other_broken_files_name_path_and_cause(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.touch()
    text.write_text("no image at all")
    causes = {
        tmp_path / "absent.jpg": "does not exist",
        empty: r"empty \(0 bytes\)",
        text: "not an image of a known format",
        tmp_path: "is a directory",
    }
    for path, cause in causes.items():
        with pytest.raises(ImageReadError, match=cause) as caught:
            read_image(path, SIZE)
        assert str(path) in str(caught.value)
        assert "on_bad_image" in str(caught.value)
    with pytest.raises(ImageReadError, match="no bytes"):
        read_image(b"", SIZE)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_read_image_too_many_pixels_are_refused_with_the_way_to_read_them(
    file_format: str,
) -> None:
    image = Image.fromarray(quadrants(64))
    data = encoded(image, file_format)
    for source in (data, Image.open(io.BytesIO(data))):
        with pytest.raises(ImageReadError, match=r"64 x 64 pixels.* max_image_pixels=4095"):
            read_image(source, SIZE, max_pixels=4095)
        assert read_image(source, SIZE, max_pixels=4096).shape == (SIZE, SIZE, 3)
    assert read_image(image, SIZE, max_pixels=1).shape == (SIZE, SIZE, 3)  # it is decoded already


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("limit", [16, 3000, None])
def test_read_image_pixel_limit_of_the_process_changes_nothing(
    file_format: str, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = Image.fromarray(quadrants(64))
    more = {"save_all": True, "append_images": [frame.rotate(90)], "disposal": 2}
    animated = more if file_format in ("GIF", "WEBP") else {}
    data = encoded(frame, file_format, **animated)
    before = read_image(data, 4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    np.testing.assert_array_equal(read_image(data, 4), before)
    with pytest.raises(ImageReadError, match="max_image_pixels"):
        read_image(data, 4, max_pixels=4095)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("limit", [16, 3000, None])
def test_read_image_gif_larger_than_its_screen_follows_our_pixel_limit_alone(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(Image.fromarray(quadrants(64)), "GIF")
    whole = read_image(data, 64)
    data = data[:6] + struct.pack("<HH", 4, 4) + data[10:]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    np.testing.assert_array_equal(read_image(data, 64), whole)
    with pytest.raises(ImageReadError, match=r"64 x 64 pixels.* max_image_pixels=4095"):
        read_image(data, 64, max_pixels=4095)


def test_read_image_wrong_arguments_raise() -> None:
    with pytest.raises(TypeError, match=r"got builtins\.int"):
        read_image(3, SIZE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size must be at least 1"):
        read_image(b"x", 0)


def test_image_read_error_names_rows_and_survives_pickling() -> None:
    error = ImageReadError("it is truncated", "'a.jpg'", [3, 8])
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert str(error).startswith("rows 3, 8: cannot read the image 'a.jpg': it is truncated")
    assert copy.rows == (3, 8)


# Loaders


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((4, 4), 9, dtype=np.uint8), (9, 9, 9)),
        (np.full((4, 4, 1), True), WHITE),
        (np.full((4, 4, 3), 0.4), (102, 102, 102)),
        (np.full((4, 4, 3), 100.4), (100, 100, 100)),
        (np.full((4, 4), 200, dtype=np.int64), (200, 200, 200)),
        (np.full((4, 4), 4000, dtype=np.uint16), (0, 0, 0)),
        (np.broadcast_to(np.array([255, 0, 0, 0], dtype=np.uint8), (4, 4, 4)), WHITE),
        (Image.new("L", (4, 4), 5), (5, 5, 5)),
    ],
)
def test_read_image_loader_result_follows_the_documented_rule(
    array: object, expected: tuple[int, ...]
) -> None:
    asked: list[str] = []

    def loader(path: str) -> object:
        asked.append(path)
        return array

    assert (read_image("scan.dcm", 2, loader) == expected).all()
    assert asked == ["scan.dcm"]


def test_read_image_loader_values_beyond_8_bits_fill_their_own_range() -> None:
    scan = np.array([[100, 1100], [2100, 4100]], dtype=np.uint16)
    pixels = read_image("scan.dcm", 2, lambda path: scan)[..., 0]
    np.testing.assert_array_equal(pixels, np.rint((scan - 100.0) / 4000 * 255))
    extreme = read_image("scan.dcm", 2, lambda path: np.array([[-1.7e308, 1.7e308]] * 2))
    assert extreme[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 8)), r"got \(3, 8, 8\)"),
        (np.zeros((0, 8)), "shape"),
        (np.array([["a"]]), "dtype"),
        (np.full((4, 4), np.nan), "NaN or infinite"),
        (np.full((4, 4), np.inf), "NaN or infinite"),
    ],
)
def test_read_image_loader_result_of_another_kind_raises(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageReadError, match=message):
        read_image(__file__, SIZE, lambda path: array)


def test_read_image_loader_that_fails_keeps_its_error_as_cause() -> None:
    def loader(path: str) -> np.ndarray:
        raise RuntimeError("no such series")

    with pytest.raises(ImageReadError, match="RuntimeError: no such series") as caught:
        read_image(__file__, SIZE, loader)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_read_image_bytes_do_not_go_through_the_loader(png: Path) -> None:
    def loader(path: str) -> np.ndarray:
        raise AssertionError("called for bytes")

    np.testing.assert_array_equal(read_image(png.read_bytes(), SIZE, loader), read_image(png, SIZE))
