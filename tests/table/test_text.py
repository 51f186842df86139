"""What text columns look like that should have been something else."""

from __future__ import annotations

import numpy as np
import pytest

from tabimg.table.text import reads_as, suspicion

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


@pytest.mark.parametrize(
    "text",
    [
        "1" + " " * 1_000_000 + "x",
        " " * 1_000_000 + "x",
        "2020-01-01 10:00" + " " * 1_000_000 + "\nx",
    ],
    ids=["after a number", "before a letter", "after a date"],
)
def test_blanks_in_long_cells_take_no_work_that_grows_with_their_square(text: str) -> None:
    assert suspicion([text, *["red", "blue"] * 20]) is None
    assert not any(reads_as(kind, text) for kind in ("numeric", "datetime"))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("numeric", each) for each in ("1", " 1,5 ", "-1e5", "12 %", "12 % ", ".5")),
        *(("datetime", each) for each in ("2020-01-01", "1.2.2020 10:00 Z ", "2020-01-01T10:00\n")),
    ],
)
def test_written_numbers_and_dates_are_read_as_such(kind: str, text: str) -> None:
    assert reads_as(kind, text)
