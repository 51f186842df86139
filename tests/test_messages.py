"""Values in messages stay short, and warnings point to the user's line."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.messages import bounded_errors, import_hint, join, listing, shorten, warn


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("?", "'?'"),
        (np.str_("?"), "'?'"),
        (np.float64(3.5), "3.5"),
        (np.int64(7), "7"),
        (np.datetime64("2020-01-01", "ns"), "2020-01-01T00:00:00.000000000"),
        (Decimal("sNaN"), "Decimal('sNaN')"),
        (None, "None"),
        ("two\nlines", r"'two\nlines'"),
        (b"\x00", r"b'\x00'"),
    ],
)
def test_short_value_is_written_as_python_does(value, text):
    assert shorten(value) == text


class _Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        b"x" * 10**6,
        10**20_000,
        ["x" * 1000] * 1000,
        {"x" * 1000: ["y" * 1000] * 99},
        np.arange(10**6),
        pd.DataFrame(np.zeros((99, 99))),
        _Broken(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_long_value_fits_one_line(value):
    text = shorten(value)
    assert 0 < len(text) <= 160
    assert "\n" not in text


def test_listing_names_the_first_and_counts_the_others():
    assert listing(["a", "b"]) == "'a', 'b'"
    assert listing([f"c{j}" for j in range(10_000)], most=2) == "'c0', 'c1' and 9998 more"


def test_listing_of_long_values_names_fewer():
    text = listing(["x" * 1000] * 50, most=20)
    assert len(text) < 700
    assert text.endswith("' and 43 more")


def test_join_writes_one_text_at_least():
    assert join(["x" * 5000, "y"], 3, "; ") == "x" * 5000 + " and 2 more"


@pytest.mark.parametrize("error", [ValueError, TypeError, RuntimeError])
@pytest.mark.parametrize("lines", [1, 2, 5000])
def test_long_message_of_another_library_is_cut_line_by_line(error, lines):
    with pytest.raises(error) as caught, bounded_errors():
        raise error("\n".join(["got " + "x" * 10_000 + ", sorry"] * lines))
    text = str(caught.value)
    assert len(text) <= 1000
    assert all(line.startswith("got x") and line.endswith("x, sorry") for line in text.split("\n"))


def test_short_message_of_another_library_stays_as_it_is():
    text = "first line\n" + "x" * 500
    with pytest.raises(ValueError, match="first line") as caught, bounded_errors():
        raise ValueError(text)
    assert str(caught.value) == text


# --- warnings ------------------------------------------------------------------------------------


def called_in(package: str) -> Callable[[Callable[[], None]], None]:
    """Make a function whose line belongs to a package, and which calls another one."""
    names: dict[str, Any] = {"__name__": f"{package}.module"}
    exec("def call(function):\n    function()", names)
    return names["call"]


@pytest.mark.parametrize("package", ["tabimg", "sklearn", "joblib", "skorch"])
def test_warning_points_past_the_package_and_what_passes_calls_on(package: str) -> None:
    inner, outer = called_in("tabimg"), called_in(package)
    with pytest.warns(UserWarning, match="^odd$") as caught:
        outer(partial(inner, partial(warn, "odd")))
    assert [warning.filename for warning in caught] == [__file__]


def test_warning_points_to_the_line_of_other_packages() -> None:
    with pytest.warns(DeprecationWarning) as caught:
        called_in("theirs")(partial(warn, "moved", DeprecationWarning))
    assert caught[0].filename == "<string>"


def test_missing_package_is_named_with_what_to_install() -> None:
    words = r"Drawing needs nothing_there \(No module named 'nothing_there'\): pip install it"
    with pytest.raises(ImportError, match=words), import_hint("Drawing needs nothing_there", "it"):
        import nothing_there  # noqa: F401
