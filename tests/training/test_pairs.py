"""Batches of pre-training: every row once, photos shared out, positives, streams."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tabimg.table import EncodedTable, MarginalCorruption
from tabimg.training.mtcmtm import CorruptedCells
from tabimg.training.pairs import BatchBuilder, PairedRows, TrainingBatches, ValidationBatches

IMAGE_SIZE = 16


def builder_of(rows: PairedRows) -> BatchBuilder:
    draw_cells = CorruptedCells(MarginalCorruption(rows.table, 0.3))
    return BatchBuilder(rows, draw_cells, torch.device("cpu"))


def training_batches(rows: PairedRows, batch_size: int, seed: int = 0) -> TrainingBatches:
    return TrainingBatches(builder_of(rows), np.arange(len(rows)), batch_size, seed)


def numbered(n_rows: int, with_photo: np.ndarray) -> tuple[EncodedTable, list[Any]]:
    """A table whose first column is the row's number, and vectors for some rows."""
    numeric = np.arange(n_rows, dtype=np.float32)[:, None] * np.ones(3, dtype=np.float32)
    cells = [np.array([row, 0.0]) if with_photo[row] else None for row in range(n_rows)]
    return EncodedTable(numeric, np.full((n_rows, 1), 2)), cells


def assert_equal_batches(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.nan_to_num(-9.0), second[name].nan_to_num(-9.0)), name
        else:
            assert value == second[name], name


def rows_of(batch: dict[str, Any]) -> list[int]:
    return batch["numeric_target"][:, 0].int().tolist()


@pytest.mark.parametrize("batch_size", [4, 5, 8, 64])
@pytest.mark.parametrize("n_rows", [2, 3, 5, 6, 7, 9, 13, 31, 33])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_epoch_has_each_row_once_in_batches_of_nearly_equal_size(
    pair_up: Callable[..., PairedRows], batch_size: int, n_rows: int, share: float
) -> None:
    with_photo = np.arange(n_rows) < max(1, round(share * n_rows))
    table, cells = numbered(n_rows, with_photo)
    batches = training_batches(pair_up(cells, table), batch_size)
    epoch = list(batches)
    assert len(epoch) == len(batches) == -(-n_rows // batch_size)
    assert sorted(chain.from_iterable(map(rows_of, epoch))) == list(range(n_rows))
    sizes = [batch["size"] for batch in epoch]
    assert sizes == [len(batch["weight"]) for batch in epoch]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size and min(sizes) >= 2


@pytest.mark.parametrize("n_photos", [0, 1, 2, 3, 4, 5, 11, 29])
@pytest.mark.parametrize("batch_size", [4, 7])
def test_epoch_shares_photos_out_and_never_contrasts_a_single_one(
    encoded: Callable[[int], EncodedTable],
    pair_up: Callable[..., PairedRows],
    n_photos: int,
    batch_size: int,
) -> None:
    # One photo more than asked, taken away again: no photo at all would have no width.
    table, cells = numbered(29, np.arange(29) < max(1, n_photos))
    rows = pair_up(cells, table)
    index = np.arange(29) if n_photos else np.arange(1, 29)
    batches = TrainingBatches(builder_of(rows), index, batch_size, 0)
    counts = [len(batch["image_rows"]) for batch in batches if "image_rows" in batch]
    assert sum(counts) == (n_photos if n_photos >= 2 else 0)
    if counts:
        assert min(counts) >= 2
        assert max(counts) - min(counts) <= 1
        assert len(counts) == min(len(batches), n_photos // 2)


def test_batch_pixels_belong_to_the_rows_they_stand_for(
    pair_up: Callable[..., PairedRows],
) -> None:
    table, cells = numbered(20, np.arange(20) % 3 > 0)
    for batch in training_batches(pair_up(cells, table), 8):
        standing = batch["image_rows"].tolist()
        assert batch["pixels"][:, 0].int().tolist() == [rows_of(batch)[i] for i in standing]


def test_batch_of_photos_is_augmented_normalised_pixels(
    pair_up: Callable[..., PairedRows],
    encoded: Callable[[int], EncodedTable],
    colours: Callable[[EncodedTable], list[Image.Image]],
) -> None:
    table = encoded(8)
    batch = next(iter(training_batches(pair_up(colours(table), table), 8)))
    assert batch["pixels"].shape == (8, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert batch["pixels"].dtype == torch.float32


def test_rows_without_any_images_train_on_the_table_alone(
    pair_up: Callable[..., PairedRows],
) -> None:
    table, cells = numbered(10, np.ones(10, dtype=bool))
    rows = pair_up(cells, table, images=None)
    assert not rows.has_image.any()
    assert rows.first_image_ids().tolist() == [-1] * 10
    assert all("pixels" not in batch for batch in training_batches(rows, 4))


def test_corrupted_cells_are_the_masked_ones_only(pair_up: Callable[..., PairedRows]) -> None:
    table, cells = numbered(20, np.ones(20, dtype=bool))
    for batch in training_batches(pair_up(cells, table), 8):
        kept = ~batch["numeric_mask"]
        assert torch.equal(batch["numeric"][kept], batch["numeric_target"][kept])
        masked = torch.cat([batch["numeric_mask"], batch["code_mask"]], dim=1)
        assert masked.any(dim=1).all()


def test_several_photos_of_a_row_are_drawn_one_an_epoch_and_all_in_time(
    pair_up: Callable[..., PairedRows],
) -> None:
    table, _ = numbered(6, np.ones(6, dtype=bool))
    cells = [[np.array([row, k]) for k in range(3)] for row in range(6)]
    batches = training_batches(pair_up(cells, table), 6)
    seen = set()
    for _ in range(20):
        (batch,) = batches
        drawn = batch["pixels"].int().tolist()
        assert sorted(row for row, _ in drawn) == list(range(6))
        seen |= {tuple(pair) for pair in drawn}
    assert seen == {(row, k) for row in range(6) for k in range(3)}


def test_positives_are_equal_rows_shared_photos_and_groups(
    pair_up: Callable[..., PairedRows],
) -> None:
    table, _ = numbered(8, np.ones(8, dtype=bool))
    a, b, c = (np.array([9.0, k]) for k in range(3))
    own = [np.array([row, 50.0]) for row in range(8)]
    # Rows 0 and 1 share photo b, rows 1 and 2 share photo c; 3 and 4 are equal; 5 and 6 a group.
    cells = [[a, b], [b, c], [c], own[3], own[4], own[5], own[6], own[7]]
    numeric = table.numeric.copy()
    numeric[4] = numeric[3]
    groups = np.array([-1, -1, -1, -1, -1, 4, 4, -1])
    rows = pair_up(cells, EncodedTable(numeric, table.codes), group_ids=groups)
    expected = np.eye(8, dtype=bool)
    for i, j in [(0, 1), (1, 2), (3, 4), (5, 6)]:
        expected[i, j] = expected[j, i] = True
    builder = builder_of(rows)
    for seed in range(5):  # whichever photo is drawn
        drawn = rows.images.draw(np.arange(8), np.random.default_rng(seed))
        part = builder.image_part(np.arange(8), drawn)
        assert np.array_equal(part["positives"].numpy(), expected)


def test_positives_follow_the_order_of_the_batch(pair_up: Callable[..., PairedRows]) -> None:
    table, cells = numbered(12, np.ones(12, dtype=bool))
    groups = np.repeat(np.arange(6), 2)
    for batch in training_batches(pair_up(cells, table, group_ids=groups), 5):
        of_rows = groups[[rows_of(batch)[i] for i in batch["image_rows"].tolist()]]
        assert np.array_equal(batch["positives"].numpy(), of_rows[:, None] == of_rows[None, :])


def test_linked_by_images_joins_rows_through_any_photo(
    pair_up: Callable[..., PairedRows],
) -> None:
    a, b, c, d = (np.array([float(k), 1.0]) for k in range(4))
    rows = pair_up([[a, b], [b, c], c, d, None, None])
    labels = rows.linked_by_images()
    assert labels[0] == labels[1] == labels[2]
    assert len(set(labels.tolist())) == 4


def test_epochs_differ_and_resumed_stream_equals_the_uninterrupted_one(
    pair_up: Callable[..., PairedRows],
    encoded: Callable[[int], EncodedTable],
    colours: Callable[[EncodedTable], list[Image.Image]],
) -> None:
    table = encoded(13)
    rows = pair_up(colours(table), table)
    whole = training_batches(rows, 4)
    epochs = [list(whole) for _ in range(3)]
    resumed = training_batches(rows, 4)
    resumed.epoch = 2
    for first, second in zip(epochs[2], resumed, strict=True):
        assert_equal_batches(first, second)
    assert not torch.equal(epochs[0][0]["numeric_target"], epochs[1][0]["numeric_target"])


def test_batches_draw_nothing_from_global_streams(pair_up: Callable[..., PairedRows]) -> None:
    table, cells = numbered(12, np.ones(12, dtype=bool))
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(training_batches(pair_up(cells, table), 4))
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_validation_batches_are_the_same_each_time_and_of_one_size(
    pair_up: Callable[..., PairedRows],
    encoded: Callable[[int], EncodedTable],
    colours: Callable[[EncodedTable], list[Image.Image]],
) -> None:
    table = encoded(30)
    index = np.arange(3, 30)
    builder = builder_of(pair_up(colours(table), table))
    batches = ValidationBatches(builder, index, 8, seed=0)
    first, second = list(batches), list(batches)
    assert [batch["size"] for batch in first] == [8, 8, 8]
    for one, other in zip(first, second, strict=True):
        assert_equal_batches(one, other)
    for one, other in zip(first, ValidationBatches(builder, index, 8, seed=0), strict=True):
        assert_equal_batches(one, other)


def test_validation_photos_are_not_augmented(
    pair_up: Callable[..., PairedRows],
    encoded: Callable[[int], EncodedTable],
    colours: Callable[[EncodedTable], list[Image.Image]],
) -> None:
    table = encoded(16)
    for batch in ValidationBatches(builder_of(pair_up(colours(table), table)), np.arange(16), 8, 0):
        flat = batch["pixels"].flatten(2)
        # The pictures are plain, and stay so.
        assert torch.allclose(flat.amax(dim=2), flat.amin(dim=2), atol=1e-5)


def test_validation_batch_without_two_photos_has_the_table_part_only(
    pair_up: Callable[..., PairedRows],
) -> None:
    table, cells = numbered(16, np.arange(16) == 0)
    batches = ValidationBatches(builder_of(pair_up(cells, table)), np.arange(16), 8, 0)
    assert all("pixels" not in batch and "positives" not in batch for batch in batches)


def test_training_and_validation_streams_of_one_seed_differ(
    pair_up: Callable[..., PairedRows],
) -> None:
    table, cells = numbered(16, np.ones(16, dtype=bool))
    rows = pair_up(cells, table)
    training = training_batches(rows, 16)
    orders = [rows_of(next(iter(training))) for _ in range(3)]
    validation = next(iter(ValidationBatches(builder_of(rows), np.arange(16), 16, 0)))
    assert rows_of(validation) not in orders
