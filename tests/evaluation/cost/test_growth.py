"""Lines through two measurements, and costs in words."""

from __future__ import annotations

import pytest

from tabimg.evaluation.cost.growth import Growth
from tabimg.evaluation.cost.words import bytes_in_words, seconds_in_words


def test_growth_goes_through_both_measurements() -> None:
    growth = Growth.through(10, 3.0, 30, 5.0)
    assert (growth.at(10), growth.at(30), growth.at(110)) == pytest.approx((3.0, 5.0, 13.0))


@pytest.mark.parametrize(("small", "large"), [(3.0, 2.0), (0.1, 5.0)])
def test_growth_of_noise_is_never_negative(small: float, large: float) -> None:
    growth = Growth.through(10, small, 20, large)
    assert growth.fixed >= 0 and growth.per_row >= 0
    assert growth.at(20) == pytest.approx(max(small, large))


def test_costs_in_words_choose_their_units() -> None:
    seconds = [seconds_in_words(value) for value in (0.2, 59.6, 600, 7200)]
    assert seconds == ["less than 1 s", "60 s", "10 min", "2.0 h"]
    assert [bytes_in_words(value) for value in (2e3, 5e6, 3e9)] == ["2 kB", "5 MB", "3.0 GB"]
