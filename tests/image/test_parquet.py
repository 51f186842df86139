"""Photos in Parquet files: the same pixels, each row group read once, and few held at a time."""

from __future__ import annotations

import copy
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import tabimg
from tabimg import MultiModalPretrainer
from tabimg.image import ImageReadError, ParquetPhotos, RowImages, build_image_cache
from tabimg.image.fingerprint import loader_key

Write = Callable[..., pd.DataFrame]


def photo(seed: int, size: int = 12, form: str = "PNG", **options: Any) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write ten rows to two files, in row groups of three; returns the frame with the bytes."""

    def make(cells: list[bytes | None] | None = None, nested: bool = False) -> pd.DataFrame:
        cells = [photo(seed) for seed in range(10)] if cells is None else cells
        frame = pd.DataFrame({"width": np.arange(len(cells)) ** 1.5, "photo": cells})
        (tmp_path / "shards").mkdir(exist_ok=True)
        kind = pa.binary()
        column: list[Any] = cells
        if nested:
            kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            column = [None if c is None else {"bytes": c, "path": "x.png"} for c in cells]
        table = pa.table({"width": frame["width"], "photo": pa.array(column, kind)})
        for number, rows in enumerate([slice(0, 7), slice(7, None)]):
            part = table.slice(rows.start, (rows.stop or len(cells)) - rows.start)
            parquet.write_table(part, tmp_path / f"shards/{number}.parquet", row_group_size=3)
        return frame

    return make


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[str]]]:
    """The row groups read so far, each with its columns."""
    seen: list[tuple[int, list[str]]] = []
    original = parquet.ParquetFile.read_row_group

    def counted(file: Any, number: int, columns: list[str], **options: Any) -> Any:
        seen.append((number, columns))
        return original(file, number, columns=columns, **options)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", counted)
    return seen


def pixels(cells: list[Any], loader: Any = None, **options: Any) -> np.ndarray:
    cache, images = build_image_cache(RowImages.from_cells([cells]), 8, loader=loader, **options)
    rows = np.flatnonzero(images.has_image)
    return cache.gather(images.first(rows))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_photos_of_parquet_files_have_the_pixels_of_their_bytes(
    nested: bool, n_jobs: int, write: Write, tmp_path: Path
) -> None:
    frame = write([photo(0), None, photo(2), photo(3, 40, "JPEG"), None, *map(photo, range(5))])
    if nested:
        write(frame["photo"].tolist(), nested=True)
    photos = ParquetPhotos(tmp_path / "shards")
    cells = photos.cells()
    assert [cell is None for cell in cells] == frame["photo"].isna().tolist()
    expected = pixels(frame["photo"].tolist())
    np.testing.assert_array_equal(pixels(cells, photos, n_jobs=n_jobs), expected)


def test_photos_are_turned_upright_like_those_of_files(write: Write, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photo(1, 24, "JPEG", exif=exif)
    write([turned, photo(0)])
    photos = ParquetPhotos(tmp_path / "shards/0.parquet")
    found = pixels(photos.cells(), photos)
    np.testing.assert_array_equal(found[0], pixels([turned])[0])
    assert not np.array_equal(found[0], pixels([photo(1, 24, "JPEG")])[0])


def test_each_row_group_is_read_once_without_the_table(
    write: Write, reads: list[tuple[int, list[str]]], tmp_path: Path
) -> None:
    write()
    photos = ParquetPhotos(str(tmp_path / "shards/*.parquet"), row_groups_held=1)
    cells = photos.cells()
    assert reads == []  # the files say that no photo is missing
    pixels(cells, photos)
    assert reads == [(number, ["photo"]) for number in (0, 1, 2, 0)]
    assert len(photos._held) == 1


def test_memory_holds_a_few_row_groups_at_a_time(tmp_path: Path) -> None:
    size, n_photos = 200_000, 40
    noise = np.random.default_rng(0)
    # Bytes behind the end of a picture are no part of it.
    large = [photo(seed) + noise.bytes(size) for seed in range(n_photos)]
    parquet.write_table(pa.table({"photo": large}), tmp_path / "a.parquet", row_group_size=4)
    del large
    photos = ParquetPhotos(tmp_path)
    cells, held = photos.cells(), []

    def watched(address: str) -> bytes:
        found = photos(address)
        held.append(pa.total_allocated_bytes())
        return found

    before = pa.total_allocated_bytes()
    assert len(pixels(cells, watched)) == n_photos
    # Two row groups of four photos, and the bytes that the last one was read from.
    assert max(held) - before < 3.1 * 4 * size


def test_pretraining_on_parquet_equals_pretraining_on_bytes(write: Write, tmp_path: Path) -> None:
    frame = write([photo(seed) for seed in range(24)])
    photos = ParquetPhotos(tmp_path / "shards")
    pretrainer = MultiModalPretrainer(
        image_column="photo", tabular_encoder="mlp", image_size=32, max_epochs=2, random_state=0
    )
    expected = pretrainer.fit(frame).transform(frame)
    listed = frame.assign(photo=photos.cells())
    pretrainer.set_params(image_loader=photos, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(pretrainer.fit(listed).transform(listed), expected)
    tabimg.save(pretrainer, tmp_path / "saved")
    loaded = tabimg.load(tmp_path / "saved")
    assert loaded.image_loader.cells() == photos.cells()
    np.testing.assert_array_equal(
        loaded.transform_images(listed), pretrainer.transform_images(listed)
    )


def test_kept_photos_are_found_again_until_their_file_changes(
    write: Write, reads: list[Any], tmp_path: Path
) -> None:
    write()
    photos = ParquetPhotos(tmp_path / "shards")
    expected = pixels(photos.cells(), photos, cache_dir=tmp_path / "cache")
    reads.clear()
    again = ParquetPhotos(tmp_path / "shards")
    found = pixels(again.cells(), again, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(found, expected)
    assert reads == []
    old = again.cells()
    write([photo(seed) for seed in range(20, 30)])
    os.utime(tmp_path / "shards/0.parquet", ns=(1, 1))
    os.utime(tmp_path / "shards/1.parquet", ns=(1, 1))
    changed = pixels(again.cells(), again, cache_dir=tmp_path / "cache")
    assert not np.array_equal(changed, expected)
    with pytest.raises(ImageReadError, match="has changed since its cells were made"):
        pixels(old, again)


def test_damaged_photo_is_an_error_that_names_its_row(write: Write, tmp_path: Path) -> None:
    write([photo(0), photo(1), photo(2)[:60], *map(photo, range(5))])
    photos = ParquetPhotos(tmp_path / "shards")
    with pytest.raises(ImageReadError, match=r"row 2.*row_group=0&row=2"):
        pixels(photos.cells(), photos)
    with pytest.warns(UserWarning, match="1 of 8 images could not be read"):
        assert len(pixels(photos.cells(), photos, on_bad_image="warn")) == 7


def test_loader_is_copied_and_named_without_what_it_holds(write: Write, tmp_path: Path) -> None:
    write()
    photos = ParquetPhotos(tmp_path / "shards")
    key = loader_key(photos)
    pixels(photos.cells(), photos)
    for other in (copy.deepcopy(photos), pickle.loads(pickle.dumps(photos))):
        assert other.cells() == photos.cells() and not other._held
    assert loader_key(photos) == key != loader_key(ParquetPhotos(tmp_path, "other"))


def test_what_is_no_column_of_photos_is_refused(write: Write, tmp_path: Path) -> None:
    write()
    for column, error, message in [
        ("width", TypeError, "holds double, not bytes"),
        ("picture", ValueError, "no column 'picture' among 'width', 'photo'"),
    ]:
        with pytest.raises(error, match=message):
            ParquetPhotos(tmp_path / "shards", column).cells()
    with pytest.raises(FileNotFoundError, match="no Parquet file"):
        ParquetPhotos(tmp_path / "nothing").cells()
    with pytest.raises(ValueError, match="row_groups_held must be a number above 0, got 0"):
        ParquetPhotos(tmp_path, row_groups_held=0)
    with pytest.raises(TypeError, match="source must be a path"):
        ParquetPhotos(3)
    with pytest.raises(ValueError, match=r"no address that ParquetPhotos\.cells\(\) made"):
        ParquetPhotos(tmp_path)("photos/3.png")
