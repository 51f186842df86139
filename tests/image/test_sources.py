from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tabimg.image import RowImages
from tabimg.image.cells import is_blank


def test_from_cells_relative_paths_start_at_root(tmp_path: Path) -> None:
    absolute = str(tmp_path / "elsewhere" / "c.jpg")
    cells = ["a.jpg", Path("sub/b.jpg"), absolute, "sub/../a.jpg"]
    images = RowImages.from_cells([cells], root=tmp_path)
    expected = [str(tmp_path / "a.jpg"), str(tmp_path / "sub" / "b.jpg"), absolute]
    assert images.sources == expected
    assert images.ids.tolist() == [0, 1, 2, 0]


def test_from_cells_without_root_starts_at_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert RowImages.from_cells([["a.jpg"]]).sources == [os.path.join(os.getcwd(), "a.jpg")]


def test_from_cells_every_empty_cell_is_no_image() -> None:
    nothing = [None, float("nan"), np.nan, pd.NA, pd.NaT, "", [], (), [None, ""], np.array([])]
    as_text = ["  ", "\t", "\n", "nan", "NaN", "None", "<NA>", "NaT", ["nan", " "]]
    cells = [*nothing, *as_text, "a.jpg"]
    images = RowImages.from_cells([cells])
    assert len(images) == len(cells)
    assert images.has_image.tolist() == [False] * (len(cells) - 1) + [True]
    assert images.vectors is None
    assert all(is_blank(cell) for cell in cells[:-1])
    for held in ("a.jpg", b"", 0, np.zeros(2), Image.new("L", (1, 1)), [None, "a.jpg"]):
        assert not is_blank(held)


def test_from_cells_equal_images_share_one_id() -> None:
    picture = Image.new("L", (2, 2))
    cells = ["a.jpg", Path("a.jpg"), b"abc", bytearray(b"abc"), picture, picture, picture.copy()]
    images = RowImages.from_cells([cells])
    assert images.ids.tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert images.sources[1:3] == [b"abc", picture]


def test_from_cells_lists_and_several_columns_are_joined_per_row() -> None:
    first = [["a.jpg", "b.jpg"], None, ("c.jpg",)]
    second = ["d.jpg", None, np.array(["a.jpg", "e.jpg"])]
    images = RowImages.from_cells([first, second], root="/r")
    per_row = [
        [Path(images.sources[i]).name for i in images.ids[start:stop]]
        for start, stop in zip(images.offsets[:-1], images.offsets[1:], strict=True)
    ]
    assert per_row == [["a.jpg", "b.jpg", "d.jpg"], [], ["c.jpg", "a.jpg", "e.jpg"]]
    assert images.counts.tolist() == [3, 0, 3]


def test_from_cells_pandas_series_cells_are_read_by_position() -> None:
    column = pd.Series(["a.jpg", pd.NA, "b.jpg"], index=[7, 7, 9], dtype="string")
    assert RowImages.from_cells([column]).has_image.tolist() == [True, False, True]


def test_from_cells_numeric_vectors_become_one_matrix() -> None:
    cells = [np.array([1.0, 2.0]), [3, 4.0], None, [np.array([1, 2]), np.array([5.0, 6.0])]]
    images = RowImages.from_cells([cells])
    assert images.sources == []
    assert images.vectors is not None and images.vectors.dtype == np.float32
    np.testing.assert_array_equal(images.vectors, [[1, 2], [3, 4], [5, 6]])
    assert images.ids.tolist() == [0, 1, 0, 2]
    assert images.n_sources == 3


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["a.jpg", np.ones(3)], "row 1 holds an embedding vector"),
        ([np.ones(3), None, "a.jpg"], "row 2 holds an image"),
        ([np.ones(3), np.ones(4)], "row 1: the embedding vector has 4 values, earlier ones have 3"),
        ([np.ones(2), np.array([1, np.nan])], "row 1: .* NaN"),
        ([np.array([1e300, 0])], "row 0: .* beyond float32"),
    ],
)
def test_from_cells_inconsistent_vectors_raise_and_name_the_row(
    cells: list[object], message: str
) -> None:
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=message):
        RowImages.from_cells([cells])


@pytest.mark.parametrize(
    "cell", [3, 1.5, True, np.float64(2), {"path": "a"}, object(), np.zeros((4, 4)), [1, "a.jpg"]]
)
def test_from_cells_cell_of_another_type_raises_and_names_the_row(cell: object) -> None:
    with pytest.raises(TypeError, match="row 1: an image cell is"):
        RowImages.from_cells([["a.jpg", cell]])


def test_from_cells_columns_of_unequal_length_or_none_raise() -> None:
    with pytest.raises(ValueError, match="same length"):
        RowImages.from_cells([["a.jpg"], []])
    with pytest.raises(ValueError, match="at least one image column"):
        RowImages.from_cells([])


@pytest.fixture
def images() -> RowImages:
    return RowImages.from_cells([[["a", "b", "c"], None, "d", ["a", "d"]]])


def test_draw_gives_each_image_of_the_row_with_equal_chance(images: RowImages) -> None:
    rows = np.repeat([0, 2, 3], 3000)
    ids = images.draw(rows, np.random.default_rng(0)).reshape(3, -1)
    np.testing.assert_allclose(
        np.bincount(ids[0], minlength=4) / 3000, [1 / 3] * 3 + [0], atol=0.04
    )
    assert set(ids[1]) == {3}
    np.testing.assert_allclose(np.bincount(ids[2], minlength=4) / 3000, [0.5, 0, 0, 0.5], atol=0.04)


def test_draw_same_seed_gives_same_images(images: RowImages) -> None:
    rows = np.repeat([0, 3], 50)
    first, second = (images.draw(rows, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_first_gives_first_image_and_a_row_without_one_raises(images: RowImages) -> None:
    assert images.first(np.array([3, 0, 2])).tolist() == [0, 0, 3]
    with pytest.raises(ValueError, match="row 1 has no image"):
        images.first(np.array([0, 1]))
    with pytest.raises(ValueError, match="row 1 has no image"):
        images.draw(np.array([1]), np.random.default_rng(0))


def test_take_keeps_ids_and_follows_order(images: RowImages) -> None:
    taken = images.take(np.array([3, 1, 0, 3]))
    assert taken.counts.tolist() == [2, 0, 3, 2]
    assert taken.ids.tolist() == [0, 3, 0, 1, 2, 0, 3]
    assert taken.sources is images.sources
    assert len(images.take(np.array([], dtype=int))) == 0


def test_drop_sources_takes_images_from_every_row(images: RowImages) -> None:
    dropped = images.drop_sources([0, 1, 2])
    assert dropped.has_image.tolist() == [False, False, True, True]
    assert dropped.ids.tolist() == [3, 3]
    assert images.drop_sources([]).ids.tolist() == images.ids.tolist()


def test_rows_of_names_every_row_once() -> None:
    images = RowImages.from_cells([[None, ["a", "a"], "b", None, "a"]])
    assert images.rows_of(0).tolist() == [1, 4]
    assert images.rows_of(1).tolist() == [2]


def test_concat_puts_rows_after_each_other_and_joins_equal_images(images: RowImages) -> None:
    other = RowImages.from_cells([["e", "b", None]])
    joined = RowImages.concat([images.take(np.array([2, 1])), other, images])
    cwd = os.getcwd()
    assert joined.sources == [os.path.join(cwd, name) for name in "debac"]
    assert joined.counts.tolist() == [1, 0, 1, 1, 0, 3, 0, 1, 2]
    assert joined.ids.tolist() == [0, 1, 2, 3, 2, 4, 0, 3, 0]


def test_concat_of_vectors_joins_and_mixing_raises(images: RowImages) -> None:
    one = RowImages.from_cells([[np.array([1.0, 2.0]), None]])
    two = RowImages.from_cells([[np.array([3.0, 4.0]), np.array([1.0, 2.0])]])
    joined = RowImages.concat([one, two])
    assert joined.ids.tolist() == [0, 1, 0]
    empty = RowImages.from_cells([[None]])
    assert RowImages.concat([empty, one]).vectors is not None
    with pytest.raises(ValueError, match="row 4 holds an embedding vector"):
        RowImages.concat([images, one])
    with pytest.raises(ValueError, match="at least one"):
        RowImages.concat([])
