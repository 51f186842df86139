"""A locked encoder sees each photo once, and again only if it would see something else."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tabimg.image import Augmentation, ImageReadError, PhotoOptions, RowImages
from tabimg.nn import LockedEncoder, ResNet
from tabimg.training import photo_features
from tabimg.training.photo_inputs import open_photos

N_PHOTOS = 6
WIDTH = 32
CPU = torch.device("cpu")
READ: list[str] = []


def load_and_note(path: str) -> Image.Image:
    """Count what is read; a plain function, which other processes can name."""
    READ.append(Path(path).name)
    return Image.open(path)


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Forget what is kept in memory, as at the start of each test."""

    def forget(most_bytes: int = photo_features.KEPT_BYTES) -> None:
        kept = type(photo_features.KEPT)(most_bytes)
        monkeypatch.setattr(photo_features, "KEPT", kept)

    READ.clear()
    forget()
    return forget


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Photos ``0.png`` and so on, each of another noise."""
    for seed in range(N_PHOTOS):
        picture(seed).save(tmp_path / f"{seed}.png")
    return [str(tmp_path / f"{seed}.png") for seed in range(N_PHOTOS)]


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def locked(seed: int = 0, grid: int = 1) -> LockedEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LockedEncoder(ResNet(layers=(1, 1, 1, 1), width=4), WIDTH, grid).eval()


def options(**changes: Any) -> PhotoOptions:
    start = PhotoOptions(
        image_size=32,
        augmentation=Augmentation(),
        loader=load_and_note,
        max_pixels=10**6,
        on_bad_image="raise",
        n_jobs=1,
        cache_dir=None,
    )
    return replace(start, **changes)


def see(
    cells: list[Any], encoder: LockedEncoder | None = None, given: PhotoOptions | None = None
) -> Tensor:
    """Open photos, and return what is seen in the first of each row that has one."""
    images = RowImages.from_cells([cells])
    opened = open_photos(images, encoder or locked(), given or options(), CPU)
    with opened as (inputs, readable):
        return inputs.plain(readable.first(np.flatnonzero(readable.has_image)), CPU)


# --- what is seen --------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [1, 2])
def test_features_are_those_that_the_encoder_sees_in_the_pixels(
    grid: int, paths: list[str]
) -> None:
    encoder = locked(grid=grid)
    features = see(paths, encoder)
    with open_photos(RowImages.from_cells([paths]), None, options(), CPU) as (pixels, images):
        expected = encoder.features(pixels.plain(images.first(np.arange(N_PHOTOS)), CPU))
    assert features.shape == (N_PHOTOS, grid**2, WIDTH)
    torch.testing.assert_close(features, expected, rtol=1e-2, atol=1e-3)


def test_training_draws_among_two_views_of_each_photo(paths: list[str]) -> None:
    images, encoder = RowImages.from_cells([paths]), locked()
    with open_photos(images, encoder, options(), CPU) as (inputs, _):
        ids = np.repeat(images.first(np.arange(N_PHOTOS)), 50)
        drawn = inputs.drawn(ids, torch.Generator().manual_seed(0))
        again = inputs.drawn(ids, torch.Generator().manual_seed(0))
        plain = inputs.plain(ids, CPU)
    assert torch.equal(drawn, again)
    unchanged = (drawn == plain).all(dim=(1, 2))
    assert 0.35 < unchanged.float().mean() < 0.65
    for photo in drawn.reshape(N_PHOTOS, 50, WIDTH):
        assert len(photo.unique(dim=0)) == 2


def test_photos_that_may_not_be_changed_have_one_view(paths: list[str]) -> None:
    images, fixed = RowImages.from_cells([paths]), options(augmentation=Augmentation.none())
    with open_photos(images, locked(), fixed, CPU) as (inputs, _):
        ids = images.first(np.arange(N_PHOTOS))
        drawn = inputs.drawn(ids, torch.Generator().manual_seed(0))
        assert torch.equal(drawn, inputs.plain(ids, CPU))


# --- in memory -----------------------------------------------------------------------------------


def test_second_fit_reads_no_photo_and_sees_the_same_bits(paths: list[str]) -> None:
    first = see(paths)
    assert sorted(READ) == [Path(path).name for path in paths]
    assert torch.equal(see(paths), first)
    assert len(READ) == N_PHOTOS


def test_folds_share_their_photos_and_read_only_new_ones(paths: list[str]) -> None:
    see(paths[:4])
    second = see(paths[2:])
    assert sorted(READ) == [Path(path).name for path in paths]
    assert torch.equal(second, see(paths)[2:])


def test_training_what_follows_the_encoder_reads_no_photo_again(paths: list[str]) -> None:
    encoder = locked()
    first = see(paths, encoder)
    encoder.train().forward(first)
    torch.nn.init.normal_(encoder.standardise.weight)
    assert torch.equal(see(paths, encoder), first)
    assert len(READ) == N_PHOTOS


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 48},
        {"augmentation": Augmentation(flip=0)},
        {"augmentation": Augmentation(crop=0.2)},
        {"loader": None},
    ],
)
def test_other_way_of_reading_sees_the_photos_again(
    changes: dict[str, Any], paths: list[str]
) -> None:
    encoder, looks = locked(), []
    encoder.backbone.register_forward_hook(lambda *given: looks.append(given))
    see(paths, encoder)
    assert len(looks) == 2  # at one view of all photos each
    see(paths, encoder, options(**changes))
    assert len(looks) == 4


@pytest.mark.parametrize(("seed", "grid"), [(1, 1), (0, 2)])
def test_other_weights_or_regions_see_the_photos_again(
    seed: int, grid: int, paths: list[str]
) -> None:
    see(paths)
    found = see(paths, locked(seed, grid))
    assert len(READ) == 2 * N_PHOTOS
    torch.testing.assert_close(found, see(paths, locked(seed, grid)), rtol=0, atol=0)


@pytest.mark.parametrize("changes", [{"color_jitter": 0, "grayscale": 0, "blur": 0}, {"flip": 0.1}])
def test_changes_that_make_no_other_view_read_no_photo_again(
    changes: dict[str, float], paths: list[str]
) -> None:
    see(paths)
    see(paths, given=options(augmentation=Augmentation(**changes)))
    assert len(READ) == N_PHOTOS


def test_loader_that_cannot_be_named_reads_photos_each_time(paths: list[str]) -> None:
    note: list[str] = []

    def load(path: str) -> Image.Image:
        note.append(path)
        return Image.open(path)

    first = see(paths, given=options(loader=load))
    assert torch.equal(see(paths, given=options(loader=load)), first)
    assert note == 2 * paths


def test_memory_holds_the_photos_that_were_seen_last_within_its_bound(
    paths: list[str], new_process: Callable[..., None]
) -> None:
    n_bytes = 2 * WIDTH * photo_features.STORED.itemsize
    new_process(4 * n_bytes + n_bytes // 2)
    first = see(paths)
    READ.clear()
    see(paths[2:])
    assert READ == []
    assert torch.equal(see(paths), first)
    assert READ == ["0.png", "1.png"]
    new_process(n_bytes - 1)  # not even one
    READ.clear()
    assert torch.equal(see(paths), first) and torch.equal(see(paths), first)
    assert len(READ) == 2 * N_PHOTOS


@pytest.mark.parametrize("kind", ["bytes", "PIL"])
def test_photos_without_a_file_are_known_by_what_they_hold(kind: str) -> None:
    def cell(seed: int) -> Any:
        if kind == "PIL":
            return picture(seed)
        held = io.BytesIO()
        picture(seed).save(held, "png")
        return held.getvalue()

    encoder, looks = locked(), []
    encoder.backbone.register_forward_hook(lambda *given: looks.append(given))
    first = see([cell(seed) for seed in range(4)], encoder)
    assert torch.equal(see([cell(seed) for seed in (3, 2, 1, 0)], encoder), first.flip(0))
    assert len(looks) == 2  # at one view of all photos each
    see([cell(4)], encoder)
    assert len(looks) == 4


# --- on disk -------------------------------------------------------------------------------------


def test_folder_serves_a_new_process_without_reading_photos(
    paths: list[str], tmp_path: Path, new_process: Callable[..., None]
) -> None:
    kept = options(cache_dir=tmp_path / "cache")
    first = see(paths[:4], given=kept)
    new_process()
    READ.clear()
    assert torch.equal(see(paths[:4], given=kept), first)
    assert READ == []
    new_process()
    assert torch.equal(see(paths, given=kept)[:4], first)
    assert sorted(READ) == ["4.png", "5.png"]


def test_folder_keeps_what_each_encoder_sees_apart(
    paths: list[str], tmp_path: Path, new_process: Callable[..., None]
) -> None:
    kept = options(cache_dir=tmp_path / "cache")
    found = [see(paths, locked(seed), kept) for seed in (0, 1)]
    new_process()
    READ.clear()
    again = [see(paths, locked(seed), kept) for seed in (0, 1)]
    assert READ == [] and not torch.equal(found[0], found[1])
    assert all(map(torch.equal, found, again))


@pytest.mark.parametrize("cache", [None, "cache"])
def test_file_that_has_changed_is_read_again(
    cache: str | None, paths: list[str], tmp_path: Path
) -> None:
    kept = options(cache_dir=cache and tmp_path / cache)
    first = see(paths, given=kept)
    picture(99).save(paths[2])
    os.utime(paths[2], (1, 1))
    READ.clear()
    second = see(paths, given=kept)
    assert READ == ["2.png"]
    same = [row for row in range(N_PHOTOS) if torch.equal(first[row], second[row])]
    assert same == [0, 1, 3, 4, 5]


# --- photos that cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["warn", "skip"])
@pytest.mark.parametrize("cache", [None, "cache"])
def test_unreadable_photo_leaves_its_row_without_one_each_time(
    policy: str,
    cache: str | None,
    paths: list[str],
    tmp_path: Path,
) -> None:
    first = see(paths)
    Path(paths[1]).write_bytes(b"no picture")
    kept = options(on_bad_image=policy, cache_dir=cache and tmp_path / cache)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as told:
            warnings.filterwarnings("always", "1 of 6 images could not be read", UserWarning)
            found = see(paths, given=kept)
        assert torch.equal(found, first[[0, 2, 3, 4, 5]])
        words = [str(warning.message) for warning in told if warning.category is UserWarning]
        assert len(words) == (1 if policy == "warn" else 0)


def test_unreadable_photo_is_an_error_unless_that_is_allowed(paths: list[str]) -> None:
    Path(paths[1]).write_bytes(b"no picture")
    with pytest.raises(ImageReadError, match=r"1\.png"):
        see(paths)
