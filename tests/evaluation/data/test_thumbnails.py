"""Photos as numbers: what they keep of a picture, and how rows without one are laid out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tabimg.evaluation.data import components, photo_numbers


def plain(level: int) -> Image.Image:
    return Image.new("RGB", (12, 12), (level, level, level))


def stripes(phase: int, width: int) -> Image.Image:
    """Paint upright stripes of a width, shifted by some pixels."""
    row = 255 * (((np.arange(32) + phase) // width) % 2)
    return Image.fromarray(np.tile(row[None, :, None], (32, 1, 3)).astype(np.uint8))


def test_numbers_are_centred_and_missing_photos_are_zeros() -> None:
    first = [plain(10), None, plain(200), plain(90)]
    second = [None, None, plain(30), plain(60)]
    numbers, has_photo = photo_numbers([first, second], 8)
    assert numbers.dtype == np.float32
    assert has_photo.tolist() == [True, False, True, True]
    assert not numbers[1].any()
    assert np.allclose(numbers.sum(axis=0), 0, atol=1e-5)
    # Plain pictures differ in shade alone, so one component holds everything of a column.
    assert np.linalg.matrix_rank(numbers, tol=1e-3) == 2
    total = (numbers**2).sum()
    assert total == pytest.approx(3 + 2)  # each column: mean square 1 over its photos


def test_spectrum_tells_textures_apart_wherever_they_begin() -> None:
    photos = [stripes(phase, width) for width in (2, 4) for phase in range(4)]
    numbers, _ = photo_numbers([photos], 32)
    spectra = numbers[:, 32 * 32 * 3 :]
    distance = np.linalg.norm(spectra[:, None] - spectra[None], axis=2)
    assert distance[:4, :4].max() < 0.2 * distance[:4, 4:].min()


def test_vectors_are_taken_as_they_are_up_to_one_scale() -> None:
    vectors = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    numbers, has_photo = photo_numbers([[*vectors, None]], 8)
    assert has_photo.tolist() == [True] * 6 + [False]
    centred = vectors - vectors.mean(axis=0)
    assert np.allclose(numbers[:6] * np.sqrt((centred**2).sum(axis=1).mean()), centred, atol=1e-6)


def test_no_photo_at_all_gives_no_numbers() -> None:
    numbers, has_photo = photo_numbers([[None, None]], 8)
    assert numbers.shape == (2, 0) and not has_photo.any()


def test_first_photo_of_a_cell_counts() -> None:
    alone, _ = photo_numbers([[plain(10), plain(90), plain(200)]], 8)
    several, _ = photo_numbers([[[plain(10), plain(70)], plain(90), plain(200)]], 8)
    assert np.array_equal(alone, several)


def test_components_are_learned_from_training_rows() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((30, 5)).astype(np.float32)
    train = np.arange(20)
    found = components(numbers, train, 3, seed=0)
    changed = numbers.copy()
    changed[20:] += 9.0
    assert found.shape == (30, 3) and found.dtype == np.float32
    assert np.array_equal(components(changed, train, 3, seed=0)[:20], found[:20])
    # Against the definition: projections on the leading right singular vectors.
    centred = numbers - numbers[:20].mean(axis=0)
    directions = np.linalg.svd(centred[:20], full_matrices=False)[2][:3]
    assert np.allclose(np.abs(found), np.abs(centred @ directions.T), atol=1e-4)
    assert components(numbers, np.arange(3), 8, seed=0).shape == (30, 2)
