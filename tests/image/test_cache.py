from __future__ import annotations

import copy
import io
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tabimg.image import (
    ImageReadError,
    RowImages,
    build_image_cache,
    image_fingerprint,
    read_image,
)

SIZE = 8
ON_DISK = {"memory_limit": 0}
IN_MEMORY: dict[str, int] = {}


def write_photo(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(5):
        write_photo(folder / f"{seed}.png", seed)
    return folder


def rows(folder: Path, *cells: object) -> RowImages:
    return RowImages.from_cells([list(cells)], root=folder)


def some(folder: Path) -> RowImages:
    return rows(folder, "0.png", None, "1.png", ["0.png", "2.png"])


def red_loader(path: str) -> np.ndarray:
    return np.broadcast_to(np.array([255, 0, 0], dtype=np.uint8), (4, 4, 3))


@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
@pytest.mark.parametrize("n_jobs", [None, 3])
def test_cache_holds_what_read_image_gives(
    photos: Path, where: dict[str, int], n_jobs: int | None
) -> None:
    images = some(photos)
    cache, kept = build_image_cache(images, SIZE, n_jobs=n_jobs, **where)
    assert isinstance(cache.pixels, np.memmap) == bool(where)
    assert (len(cache), cache.size) == (3, SIZE)
    np.testing.assert_array_equal(kept.ids, images.ids)
    ids = np.array([2, 0, 2])
    batch = cache.gather(ids)
    assert batch.flags.c_contiguous and batch.flags.writeable and batch.dtype == np.uint8
    expected = [read_image(images.sources[i], SIZE) for i in ids]
    np.testing.assert_array_equal(batch, expected)
    cache.close()


def test_cache_decodes_each_image_once_and_only_those_in_use(
    photos: Path, decoded: list[str]
) -> None:
    images = some(photos).take(np.array([0, 1, 2, 2]))
    cache, _ = build_image_cache(images, SIZE)
    assert decoded == ["0.png", "1.png"]
    assert cache.readable.tolist() == [True, True, False]
    with pytest.raises(IndexError, match="does not hold"):
        cache.gather(np.array([0, 2]))


@pytest.mark.parametrize("ids", [[3], [-1]])
def test_gather_id_out_of_range_raises(photos: Path, ids: list[int]) -> None:
    cache, _ = build_image_cache(some(photos), SIZE)
    with pytest.raises(IndexError):
        cache.gather(np.array(ids))


@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_cache_without_any_image_is_empty(where: dict[str, int]) -> None:
    cache, kept = build_image_cache(RowImages.from_cells([[None, ""]]), SIZE, **where)
    assert len(cache) == 0 and not kept.has_image.any()
    assert cache.gather(np.array([], dtype=int)).shape == (0, SIZE, SIZE, 3)


def test_cache_of_bytes_and_pil_images_is_built(photos: Path, tmp_path: Path) -> None:
    data = (photos / "3.png").read_bytes()
    images = rows(photos, data, Image.open(io.BytesIO(data)))
    cache, _ = build_image_cache(images, SIZE, cache_dir=tmp_path / "kept")
    np.testing.assert_array_equal(cache.pixels[0], read_image(photos / "3.png", SIZE))
    np.testing.assert_array_equal(cache.pixels[1], cache.pixels[0])


def test_cache_never_pickles_nor_copies(photos: Path) -> None:
    cache, _ = build_image_cache(some(photos), SIZE)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            attempt(cache)


def test_progress_is_called_in_order_from_the_calling_thread(photos: Path) -> None:
    calls: list[tuple[int, int]] = []
    threads = set()

    def progress(done: int, total: int) -> None:
        calls.append((done, total))
        threads.add(threading.get_ident())

    build_image_cache(some(photos), SIZE, n_jobs=2, progress=progress)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert threads == {threading.get_ident()}


# Images that cannot be read


def bad_missing(path: Path) -> None:
    path.unlink()


def bad_empty(path: Path) -> None:
    path.write_bytes(b"")


def bad_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def bad_text(path: Path) -> None:
    path.write_text("not an image")


BREAK = pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (bad_missing, "does not exist"),
        (bad_empty, "0 bytes"),
        (bad_truncated, "truncated"),
        (bad_text, "not an image"),
    ],
)
Damage = Callable[[Path], None]


@BREAK
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bad_image_raise_names_rows_path_and_cause(
    photos: Path, damage: Damage, cause: str, n_jobs: int
) -> None:
    damage(photos / "0.png")
    with pytest.raises(ImageReadError, match=cause) as caught:
        build_image_cache(some(photos), SIZE, n_jobs=n_jobs)
    assert caught.value.rows == (0, 3)
    assert "rows 0, 3" in str(caught.value)
    assert str(photos / "0.png") in str(caught.value)


@BREAK
@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_bad_image_warn_lists_rows_and_paths_once_and_drops_it(
    photos: Path, damage: Damage, cause: str, where: dict[str, int]
) -> None:
    damage(photos / "0.png")
    damage(photos / "1.png")
    with pytest.warns(UserWarning, match=cause) as caught:
        cache, kept = build_image_cache(some(photos), SIZE, on_bad_image="warn", **where)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("2 of 3 images could not be read")
    assert "rows 0, 3" in message and "row 2" in message
    assert str(photos / "0.png") in message and str(photos / "1.png") in message
    assert caught[0].filename == __file__
    assert kept.has_image.tolist() == [False, False, False, True]
    expected = read_image(photos / "2.png", SIZE)
    np.testing.assert_array_equal(cache.gather(kept.first(np.array([3])))[0], expected)


@BREAK
def test_bad_image_skip_drops_it_without_a_word(photos: Path, damage: Damage, cause: str) -> None:
    damage(photos / "1.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, kept = build_image_cache(some(photos), SIZE, on_bad_image="skip")
    assert kept.has_image.tolist() == [True, False, False, True]


@BREAK
@pytest.mark.parametrize("on_bad_image", ["raise", "warn", "skip"])
def test_no_readable_image_at_all_raises_under_each_policy(
    photos: Path, damage: Damage, cause: str, on_bad_image: str
) -> None:
    for number in range(3):
        damage(photos / f"{number}.png")
    with pytest.raises(ImageReadError, match=cause) as caught:
        build_image_cache(some(photos), SIZE, on_bad_image=on_bad_image)
    assert caught.value.rows == (0, 3)
    assert "rows 0, 3" in str(caught.value)


def test_no_image_that_a_loader_opens_raises_under_each_policy(photos: Path) -> None:
    def load(path: str) -> np.ndarray:
        raise RuntimeError("no such series")

    with pytest.raises(
        ImageReadError, match=r"none of the 3 photos can be read.*\n.*no such series"
    ):
        build_image_cache(some(photos), SIZE, loader=load, on_bad_image="skip")


def test_bad_image_warning_stays_short_for_many_files(photos: Path) -> None:
    images = rows(photos, "0.png", *[f"absent{i}.png" for i in range(200)])
    with pytest.warns(UserWarning, match="and 180 more"):
        build_image_cache(images, SIZE, on_bad_image="warn")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on_bad_image": "ignore"}, "on_bad_image must be one of"),
        ({"size": 0}, "size must be at least 1"),
        ({"images": RowImages.from_cells([[np.ones(3)]])}, "embedding vectors"),
    ],
)
def test_build_wrong_arguments_raise(changes: dict[str, object], message: str) -> None:
    arguments = {"images": RowImages.from_cells([[None]]), "size": SIZE, **changes}
    with pytest.raises(ValueError, match=message):
        build_image_cache(**arguments)  # type: ignore[arg-type]


# The kept folder


@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_kept_images_are_not_decoded_again(
    photos: Path, tmp_path: Path, decoded: list[str], where: dict[str, int]
) -> None:
    first, _ = build_image_cache(some(photos), SIZE, cache_dir=tmp_path / "kept", **where)
    expected = np.array(first.pixels)
    first.close()
    files = sorted((tmp_path / "kept").rglob("*.np?"))
    again, _ = build_image_cache(some(photos), SIZE, cache_dir=tmp_path / "kept", **where)
    assert len(decoded) == 3
    assert sorted((tmp_path / "kept").rglob("*.np?")) == files
    np.testing.assert_array_equal(again.pixels, expected)
    assert again.readable.all()


@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_kept_images_serve_another_set_of_rows(
    photos: Path, tmp_path: Path, decoded: list[str], where: dict[str, int]
) -> None:
    kept = tmp_path / "kept"
    build_image_cache(rows(photos, "0.png", "1.png", "2.png"), SIZE, cache_dir=kept)
    images = rows(photos, "3.png", "2.png", "0.png")
    cache, _ = build_image_cache(images, SIZE, cache_dir=kept, **where)
    assert decoded == ["0.png", "1.png", "2.png", "3.png"]
    for index, source in enumerate(images.sources):
        np.testing.assert_array_equal(cache.pixels[index], read_image(source, SIZE))


@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_kept_image_of_a_changed_file_is_decoded_again(
    photos: Path, tmp_path: Path, decoded: list[str], where: dict[str, int]
) -> None:
    kept = tmp_path / "kept"
    build_image_cache(some(photos), SIZE, cache_dir=kept, **where)
    os.utime(photos / "1.png", ns=(1, 1))
    write_photo(photos / "2.png", seed=99)
    cache, _ = build_image_cache(some(photos), SIZE, cache_dir=kept, **where)
    assert decoded[3:] == ["1.png", "2.png"]
    np.testing.assert_array_equal(cache.pixels[2], read_image(photos / "2.png", SIZE))


def test_kept_images_of_another_size_or_loader_are_not_used(
    photos: Path, tmp_path: Path, decoded: list[str]
) -> None:
    kept = tmp_path / "kept"
    for size, loader in [(SIZE, None), (SIZE + 1, None), (SIZE, red_loader), (SIZE, red_loader)]:
        cache, _ = build_image_cache(some(photos), size, loader=loader, cache_dir=kept)
        expected = read_image(photos / "0.png", size, loader)
        np.testing.assert_array_equal(cache.pixels[0], expected)
    assert len(decoded) == 9


def test_loader_that_closes_over_values_keeps_nothing(
    photos: Path, tmp_path: Path, decoded: list[str]
) -> None:
    def loader_of(value: int) -> Callable[[str], np.ndarray]:
        return lambda path: np.full((4, 4), value, dtype=np.uint8)

    for value in (10, 20):
        cache, _ = build_image_cache(
            some(photos), SIZE, loader=loader_of(value), cache_dir=tmp_path / "kept"
        )
        assert (cache.pixels == value).all()


def test_kept_bad_image_is_reported_each_time_and_adds_no_file(
    photos: Path, tmp_path: Path, decoded: list[str]
) -> None:
    kept = tmp_path / "kept"
    bad_truncated(photos / "1.png")
    for expected_count in (3, 4):
        with pytest.warns(UserWarning, match="1 of 3 .*\n.*truncated"):
            cache, images = build_image_cache(
                some(photos), SIZE, cache_dir=kept, on_bad_image="warn", **ON_DISK
            )
        assert len(decoded) == expected_count
        assert images.has_image.tolist() == [True, False, False, True]
        assert len(list(kept.rglob("*.npy"))) == 1
    write_photo(photos / "1.png", 1)
    cache, _ = build_image_cache(some(photos), SIZE, cache_dir=kept, **ON_DISK)
    assert cache.readable.all()
    np.testing.assert_array_equal(cache.pixels[1], read_image(photos / "1.png", SIZE))


@pytest.mark.parametrize("where", [IN_MEMORY, ON_DISK], ids=["memory", "disk"])
def test_failed_build_leaves_no_file_behind(
    photos: Path, tmp_path: Path, where: dict[str, int]
) -> None:
    bad_empty(photos / "2.png")
    with pytest.raises(ImageReadError):
        build_image_cache(some(photos), SIZE, cache_dir=tmp_path / "kept", **where)
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []


def test_several_builds_at_once_share_a_folder(photos: Path, tmp_path: Path) -> None:
    results: list[np.ndarray] = []

    def build() -> None:
        cache, _ = build_image_cache(some(photos), SIZE, cache_dir=tmp_path / "kept", **ON_DISK)
        results.append(np.array(cache.pixels))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [read_image(photos / f"{i}.png", SIZE) for i in range(3)]
    assert len(results) == 4
    for pixels in results:
        np.testing.assert_array_equal(pixels, expected)


# Fingerprints


def test_fingerprint_is_stable_and_ignores_unused_images(photos: Path) -> None:
    images = some(photos)
    assert image_fingerprint(images) == image_fingerprint(some(photos))
    taken = images.take(np.array([2, 1]))
    assert image_fingerprint(taken) == image_fingerprint(rows(photos, "1.png", None))


def test_fingerprint_changes_with_rows_files_and_content(photos: Path) -> None:
    data = (photos / "0.png").read_bytes()
    sets: list[list[object]] = [
        ["0.png", "1.png"],
        ["1.png", "0.png"],
        ["0.png", "0.png"],
        [["0.png", "1.png"], None],
        ["0.png", "absent.png"],
        [data, "1.png"],
        [data + b"x", "1.png"],
        [Image.new("L", (2, 2), 0), None],
        [Image.new("L", (2, 2), 1), None],
        [Image.new("L", (4, 1), 1), None],
        [np.ones(3), None],
        [np.zeros(3), None],
    ]
    prints = [image_fingerprint(rows(photos, *cells)) for cells in sets]
    os.utime(photos / "0.png", ns=(5, 5))
    prints.append(image_fingerprint(rows(photos, "0.png", "1.png")))
    assert len(set(prints)) == len(prints)
    equal = [image_fingerprint(rows(photos, Image.new("L", (2, 2), 7))) for _ in range(2)]
    assert equal[0] == equal[1]
