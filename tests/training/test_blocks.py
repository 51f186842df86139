"""Features of rows in blocks that have names."""

from __future__ import annotations

import numpy as np
import pytest

from tabimg.table import EncodedTable
from tabimg.training.blocks import COLUMNS, PHOTOS, Blocks

TABLE = EncodedTable(np.zeros((3, 2), np.float32), np.zeros((3, 0), np.int64))
NUMBERS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_blocks_stand_side_by_side_in_the_order_of_their_names() -> None:
    blocks = Blocks(TABLE, {COLUMNS: NUMBERS}).having(fused=10 + NUMBERS)
    assert blocks.matrix(("fused", COLUMNS)).tolist() == np.hstack([10 + NUMBERS, NUMBERS]).tolist()
    assert blocks.take(np.array([2])).matrix((COLUMNS,)).tolist() == [[4.0, 5.0]]
    assert len(blocks.take(np.array([2, 0]))) == 2


def test_block_that_nothing_could_fill_is_not_there() -> None:
    blocks = Blocks(TABLE, {COLUMNS: NUMBERS})
    assert COLUMNS in blocks and PHOTOS not in blocks
    assert not blocks.has_photo().any()
    with pytest.raises(KeyError, match="photos"):
        blocks.matrix((COLUMNS, PHOTOS))


def test_rows_without_a_photo_are_those_of_nan() -> None:
    photos = NUMBERS.copy()
    photos[1] = np.nan
    blocks = Blocks(TABLE, {COLUMNS: NUMBERS})
    with_photos = blocks.having(photos=photos)
    assert with_photos.has_photo().tolist() == [True, False, True]
    assert PHOTOS not in blocks
