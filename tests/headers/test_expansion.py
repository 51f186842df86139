from __future__ import annotations

import pytest

from tabimg.headers.abbreviations import ABBREVIATIONS
from tabimg.headers.expansion import AbbreviationTable
from tabimg.headers.names import normalise_header


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("sbp", "systolic blood pressure"),
        ("SBP_2", "systolic blood pressure 2"),
        ("num_rooms", "number rooms"),
        ("B.P.", "blood pressure"),
        ("sysBP", "systolic blood pressure"),
        ("HbA1c", "glycated haemoglobin"),
        ("hba1c", "glycated haemoglobin"),
        ("SpO2", "oxygen saturation"),
        ("AreaSqFt", "area square feet"),
        ("bpm", "bpm"),
        ("sbpx", "sbpx"),
        ("", ""),
    ],
)
def test_default_table_expands_whole_words_however_they_are_parted(header, expected):
    assert AbbreviationTable(ABBREVIATIONS).expand(normalise_header(header)) == expected


def test_longest_run_of_words_wins():
    table = AbbreviationTable({"a": "one", "a1": "two", "a1c": "three"})
    assert table.expand("a 1 c a 1 a c") == "three two one c"


def test_what_was_put_in_is_not_expanded_again():
    assert AbbreviationTable({"a": "b", "b": "a b"}).expand("a b") == "b a b"


def test_keys_and_meanings_may_be_spelled_in_any_way():
    table = AbbreviationTable({"LVEDV": "LeftVentricular_Volume"})
    assert table.expand("lvedv") == "left ventricular volume"


def test_later_spelling_of_an_abbreviation_counts():
    table = AbbreviationTable({**ABBREVIATIONS, "HR": "hour"})
    assert table.expand("hr") == "hour"


@pytest.mark.parametrize(
    ("meanings", "error"),
    [
        ({"a": ""}, ValueError),
        ({"?": "what"}, ValueError),
        ({"a": 1}, TypeError),
        ({1: "a"}, TypeError),
    ],
)
def test_meanings_that_are_no_text_are_errors(meanings, error):
    with pytest.raises(error, match="abbreviations"):
        AbbreviationTable(meanings)
