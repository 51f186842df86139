from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tabimg.image import Augmentation, Augmenter, pixel_ops, plain, stored_size

SIZE = 24
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
OFF = {"crop": None, "flip": 0, "color_jitter": 0, "grayscale": 0, "blur": 0}


def random_pixels(n: int = 6, side: int = SIZE, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, side, side, 3), dtype=torch.uint8, generator=generator)


def augmented(pixels: torch.Tensor, seed: int = 0, **changes: object) -> np.ndarray:
    augmenter = Augmenter(Augmentation.from_param({**OFF, **changes}), SIZE)
    return denormalised(augmenter(pixels, torch.Generator().manual_seed(seed)))


def denormalised(images: torch.Tensor) -> np.ndarray:
    """Back to (B, H, W, 3) in 0..255, in float64."""
    return (images.double().numpy().transpose(0, 2, 3, 1) * STD + MEAN) * 255


def test_plain_same_size_is_the_imagenet_formula() -> None:
    pixels = random_pixels()
    images = plain(pixels, SIZE)
    expected = (pixels.numpy() / 255 - MEAN) / STD
    assert images.dtype == torch.float32 and images.shape == (6, 3, SIZE, SIZE)
    np.testing.assert_allclose(images.numpy().transpose(0, 2, 3, 1), expected, atol=2e-6)


def test_plain_larger_images_are_resized_antialiased() -> None:
    # Halving with a triangle filter: weights 1, 3, 3, 1 over eight, away from the border.
    pixels = random_pixels(2, 2 * SIZE)
    values = pixels.numpy().astype(float)
    weights = np.array([1, 3, 3, 1]) / 8

    def halve(array: np.ndarray) -> np.ndarray:
        return sum(w * array[:, 1 + k : 1 + k + 2 * (SIZE - 2) : 2] for k, w in enumerate(weights))

    expected = halve(halve(values).swapaxes(1, 2)).swapaxes(1, 2)
    inner = denormalised(plain(pixels, SIZE))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, expected, atol=1e-3)


def test_augmenter_with_everything_off_equals_plain() -> None:
    for side in (SIZE, stored_size(SIZE)):
        pixels = random_pixels(40, side)
        changed = Augmenter(Augmentation.none(), SIZE)(pixels, torch.Generator())
        assert torch.equal(changed, plain(pixels, SIZE))


def test_augmenter_full_crop_is_identity() -> None:
    pixels = random_pixels()
    np.testing.assert_allclose(augmented(pixels, crop=(1.0, 1.0)), pixels.numpy(), atol=0.01)


@pytest.mark.parametrize("crop", [None, (1.0, 1.0)])
def test_augmenter_forced_flip_is_a_mirrored_slice(crop: object) -> None:
    pixels = random_pixels()
    flipped = augmented(pixels, crop=crop, flip=1.0)
    np.testing.assert_allclose(flipped, pixels.numpy()[:, :, ::-1], atol=0.01)


def test_augmenter_flip_probability_is_the_share_of_flipped_images() -> None:
    pixels = random_pixels(1).expand(400, -1, -1, -1)
    same = np.abs(augmented(pixels, flip=0.3) - pixels.numpy()).max(axis=(1, 2, 3)) < 0.01
    assert abs(same.mean() - 0.7) < 0.08


def test_crop_and_flip_whole_pixel_window_equals_slicing() -> None:
    pixels = random_pixels(3, 40)
    left, top = np.array([0, 5, 16]), np.array([16, 3, 0])
    window = torch.tensor(np.stack([left / 40, top / 40, [0.6] * 3, [0.6] * 3], 1)).float()
    flip = torch.tensor([False, True, True])
    cut = pixel_ops.crop_and_flip(pixel_ops.to_planes(pixels), window, flip, SIZE).numpy()
    for index in range(3):
        x, y = left[index], top[index]
        expected = pixels[index, y : y + SIZE, x : x + SIZE].numpy()
        expected = expected[:, ::-1] if flip[index] else expected
        np.testing.assert_allclose(cut[index].transpose(1, 2, 0), expected, atol=0.01)


def test_crop_and_flip_enlarged_window_equals_interpolated_slice() -> None:
    images = pixel_ops.to_planes(random_pixels(1, 40))
    window = torch.tensor([[10 / 40, 4 / 40, 12 / 40, 8 / 40]])
    cut = pixel_ops.crop_and_flip(images, window, torch.tensor([False]), SIZE)
    sliced = F.interpolate(images[:, :, 4:12, 10:22], (SIZE, SIZE), mode="bilinear")
    # The window's outermost pixels look over its border, a slice cannot.
    torch.testing.assert_close(cut[..., 2:-2, 2:-2], sliced[..., 2:-2, 2:-2], atol=0.01, rtol=0)


def test_crop_windows_stay_inside_with_area_and_ratio_in_range() -> None:
    draws = torch.rand((5000, 4), generator=torch.Generator().manual_seed(0))
    windows = pixel_ops.crop_windows(draws, (0.3, 1.0), 4 / 3)
    left, top, width, height = windows.double().numpy().T
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1 + 1e-6
    area, ratio = width * height, width / height
    assert 0.3 - 1e-6 <= area.min() < 0.31 and 0.99 < area.max() <= 1 + 1e-6
    assert 0.75 - 1e-6 <= ratio.min() < 0.76 and 1.32 < ratio.max() <= 4 / 3 + 1e-6
    np.testing.assert_allclose(np.log(ratio).mean(), 0, atol=0.01)


def test_recolour_equals_the_three_operations_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    # Away from 0 and 255 nothing is clamped, so the order of clamping does not matter.
    values = rng.uniform(80, 130, (5, 3, 7, 7))
    brightness, contrast, saturation = rng.uniform(0.7, 1.3, (3, 5))
    luma = np.array([0.299, 0.587, 0.114])

    expected = values * brightness[:, None, None, None]
    gray = np.einsum("bchw,c->bhw", expected, luma)
    c = contrast[:, None, None, None]
    expected = c * expected + (1 - c) * gray.mean(axis=(1, 2))[:, None, None, None]
    gray = np.einsum("bchw,c->bhw", expected, luma)[:, None]
    s = saturation[:, None, None, None]
    expected = s * expected + (1 - s) * gray

    factors = [torch.tensor(f).float() for f in (brightness, contrast, saturation)]
    result = denormalised(pixel_ops.recolour(torch.tensor(values).float(), *factors))
    np.testing.assert_allclose(result.transpose(0, 3, 1, 2), expected, atol=1e-3)


def test_augmenter_strong_jitter_stays_within_the_range_of_pixels() -> None:
    values = augmented(random_pixels(200), color_jitter=1.0)
    assert values.min() >= -1e-3 and values.max() <= 255 + 1e-3
    assert values.min() < 1 and values.max() > 254


def test_augmenter_forced_grayscale_is_the_luma() -> None:
    pixels = random_pixels()
    luma = pixels.numpy() @ np.array([0.299, 0.587, 0.114])
    expected = np.repeat(luma[..., None], 3, axis=3)
    np.testing.assert_allclose(augmented(pixels, grayscale=1.0), expected, atol=1e-3)


def test_blur_of_a_point_is_a_gaussian_and_keeps_flat_images() -> None:
    sigma = torch.tensor([0.8, 2.0])
    point = torch.zeros(2, 3, 31, 31)
    point[:, :, 15, 15] = 1.0
    spread = pixel_ops.blur(point, sigma).double().numpy()
    distance = np.arange(31) - 15.0
    for index, width in enumerate([0.8, 2.0]):
        line = np.exp(-0.5 * (distance / width) ** 2)
        line /= line.sum()
        np.testing.assert_allclose(spread[index, 1], np.outer(line, line), atol=1e-6)
    flat = torch.full((2, 3, 9, 9), 7.0)
    torch.testing.assert_close(pixel_ops.blur(flat, sigma), flat)


def test_augmenter_forced_blur_smooths_and_off_blur_does_not() -> None:
    pixels = random_pixels(20, side=SIZE)
    sharp = pixels.numpy().astype(float)
    blurred = augmented(pixels, blur=1.0)
    assert (np.diff(blurred, axis=1).std() < np.diff(sharp, axis=1).std()).all()
    changed = np.abs(augmented(pixels, seed=1, blur=0.5) - sharp).max(axis=(1, 2, 3)) > 0.01
    assert 0 < changed.sum() < 20


def test_augmenter_default_changes_images_and_same_seed_is_bit_equal() -> None:
    pixels = random_pixels(70, stored_size(SIZE))
    augmenter = Augmenter(Augmentation(), SIZE)
    first, second = (augmenter(pixels, torch.Generator().manual_seed(5)) for _ in range(2))
    other = augmenter(pixels, torch.Generator().manual_seed(6))
    assert first.shape == (70, 3, SIZE, SIZE) and torch.isfinite(first).all()
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_augmenter_switching_one_change_off_leaves_the_other_draws() -> None:
    pixels = random_pixels(30)
    both = augmented(pixels, seed=2, flip=0.5, grayscale=0.5)
    flips = augmented(pixels, seed=2, flip=0.5)
    luma = flips @ np.array([0.299, 0.587, 0.114])
    gray = np.ptp(both, axis=3).max(axis=(1, 2)) < 0.01
    assert 0 < gray.sum() < 30
    np.testing.assert_allclose(both[~gray], flips[~gray], atol=0.01)
    np.testing.assert_allclose(both[gray][..., 0], luma[gray], atol=0.01)


def test_augmenter_touches_neither_global_stream_nor_input() -> None:
    pixels = random_pixels()
    kept, state = pixels.clone(), torch.get_rng_state()
    Augmenter(Augmentation(), SIZE)(pixels, torch.Generator())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(pixels, kept)


def test_augmenter_inside_autocast_keeps_full_precision() -> None:
    pixels = random_pixels()
    augmenter = Augmenter(Augmentation(), SIZE)
    expected = augmenter(pixels, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = augmenter(pixels, torch.Generator().manual_seed(0))
    assert torch.equal(images, expected)


def test_augmenter_empty_batch_gives_empty_batch() -> None:
    pixels = random_pixels(4)[:0]
    assert Augmenter(Augmentation(), SIZE)(pixels, torch.Generator()).shape == (0, 3, SIZE, SIZE)
    assert plain(pixels, SIZE).shape == (0, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    "pixels",
    [torch.zeros(2, 8, 8, 3), torch.zeros(2, 3, 8, 8).byte(), torch.zeros(8, 8, 3).byte()],
)
def test_pixels_of_another_kind_raise(pixels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="uint8 tensor of shape"):
        plain(pixels, SIZE)
    with pytest.raises(ValueError, match="uint8 tensor of shape"):
        Augmenter(Augmentation(), SIZE)(pixels, torch.Generator())


@pytest.mark.parametrize(("size", "stored"), [(64, 72), (128, 144), (224, 252), (30, 34), (1, 2)])
def test_stored_size_is_nine_eighths_rounded_up(size: int, stored: int) -> None:
    assert stored_size(size) == stored


def test_from_param_reads_every_form() -> None:
    chosen = Augmentation(flip=False)
    assert Augmentation.from_param("default") == Augmentation()
    assert Augmentation.from_param(None) == Augmentation.from_param("none") == Augmentation.none()
    assert Augmentation.from_param(chosen) is chosen
    assert Augmentation.from_param({"flip": False}) == chosen
    assert Augmentation.from_param({}) == Augmentation()


def test_augmentation_none_false_and_zero_switch_off_and_true_is_default() -> None:
    for off in (None, False, 0):
        assert Augmentation(off, off, off, off, off) == Augmentation.none()  # type: ignore[arg-type]
    assert Augmentation(True, True, True, True, True) == Augmentation()  # type: ignore[arg-type]
    assert Augmentation(crop=0.2).crop == (0.2, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("param", "error", "message"),
    [
        ("strong", ValueError, "'strong'"),
        (3, TypeError, "got int"),
        ({"flips": 1}, ValueError, r"unknown augmentation \['flips'\]; valid keys are \['crop'"),
        ({"flip": 1.5}, ValueError, r"flip must be in \[0, 1\]"),
        ({"blur": -0.1}, ValueError, "blur must be"),
        ({"grayscale": float("nan")}, ValueError, "grayscale must be"),
        ({"color_jitter": "lots"}, TypeError, "color_jitter must be a number"),
        ({"crop": (0.0, 1.0)}, ValueError, "0 < smallest"),
        ({"crop": (0.9, 0.5)}, ValueError, "0 < smallest"),
        ({"crop": (0.5, 1.2)}, ValueError, "0 < smallest"),
        ({"crop": (0.5,)}, ValueError, "smallest, largest"),
        ({"crop": ("a", 1)}, TypeError, "two numbers"),
    ],
)
def test_from_param_bad_value_raises(param: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Augmentation.from_param(param)


def test_augmenter_size_below_one_raises() -> None:
    with pytest.raises(ValueError, match="size must be at least 1"):
        Augmenter(Augmentation(), 0)
