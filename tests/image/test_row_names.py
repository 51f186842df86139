"""Rows are named as the user knows them, however they were cut out and put together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tabimg.image import RowImages
from tabimg.image.row_names import RowNames


def test_rows_of_a_frame_are_named_by_position_and_frame() -> None:
    names = RowNames.of(5, "X")
    assert names.describe([3]) == "row 3 of X"
    assert names.take(np.array([4, 1])).describe([0, 1]) == "rows 4, 1 of X"


def test_rows_put_together_keep_the_names_of_their_frames() -> None:
    names = RowNames.concat([RowNames.of(3, "X"), RowNames.of(2, "unlabeled")])
    assert names.describe([2, 3]) == "row 2 of X and row 0 of unlabeled"
    assert names.take(np.array([4, 0])).describe([0]) == "row 1 of unlabeled"


def test_rows_of_one_frame_that_were_divided_are_of_one_frame() -> None:
    whole = RowNames.of(4, "X")
    halves = [whole.take(np.array([1, 3])), whole.take(np.array([0, 2]))]
    assert RowNames.concat(halves).describe([0, 1, 2]) == "rows 1, 3, 0 of X"


def test_labels_that_are_no_positions_are_told() -> None:
    cut = RowNames.of(2, "X", pd.Index([0, 37]))
    assert cut.describe([0, 1]) == "rows 0, 1 (index 37) of X"
    named = RowNames.concat([RowNames.of(1, "X"), RowNames.of(1, "Y", pd.Index(["a17"]))])
    assert named.describe([0, 1]) == "row 0 of X and row 0 (index a17) of Y"


def test_many_rows_are_counted() -> None:
    assert RowNames.of(20).describe(range(13)).endswith("8, 9 and 3 more")


def test_images_name_rows_after_take_and_concat() -> None:
    own = RowImages.from_cells([["a", "b", "c"]], names=RowNames.of(3, "X"))
    more = RowImages.from_cells([["b", "d"]], names=RowNames.of(2, "unlabeled"))
    images = RowImages.concat([own.take(np.array([2, 1])), more])
    second = next(i for i, path in enumerate(images.sources) if str(path).endswith("b"))
    words = images.describe_rows(images.rows_of(second).tolist())
    assert words == "row 1 of X and row 0 of unlabeled"
