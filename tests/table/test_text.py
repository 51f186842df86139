"""What text columns look like that should have been something else."""

from __future__ import annotations

import numpy as np
import pytest

from tabimg.table.text import suspicion

NUMBERS = [f"{value:.3f}" for value in np.random.default_rng(0).normal(size=50)]


@pytest.mark.parametrize(
    ("values", "looks"),
    [
        ([f"2020-03-{day:02d}" for day in range(1, 29)], "dates"),
        ([f"{day}.3.2020" for day in range(1, 29)], "dates"),
        ([f"2020-03-{day:02d} 12:30:00" for day in range(1, 29)], "dates"),
        (["?", *NUMBERS], "numbers"),
        ([value.replace(".", ",") for value in NUMBERS], "numbers"),
        ([f"{value} %" for value in NUMBERS], "numbers"),
        ([f"case-{row}" for row in range(50)], "almost every row"),
    ],
)
def test_text_that_is_no_category_is_described(values: list[str], looks: str) -> None:
    assert looks in str(suspicion(values))
    assert looks in str(suspicion([None, *values]))


@pytest.mark.parametrize(
    "values",
    [
        ["red", "green", "blue"] * 20,
        [f"{code:05d}" for code in range(30)] * 3,  # postal codes, kept as text on purpose
        ["?", *NUMBERS][:15],  # too few cells to tell
        [None] * 50,
        [],
    ],
)
def test_ordinary_text_is_left_in_peace(values: list[str | None]) -> None:
    assert suspicion(values) is None
