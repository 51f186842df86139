from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tabimg.headers.names import check_descriptions, header_texts, normalise_header


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("age", "age"),
        ("systolic_blood_pressure", "systolic blood pressure"),
        ("SystolicBP", "systolic bp"),
        ("XMLHttpRequest", "xml http request"),
        ("HbA1c", "hb a 1 c"),
        ("bp2", "bp 2"),
        ("2ndFlrSF", "2 nd flr sf"),
        ("weight (kg)", "weight kg"),
        ("  Two\tblanks\n", "two blanks"),
        ("Größe", "grosse"),
        ("naïve_café", "naive cafe"),
        ("area_m²", "area m 2"),
        ("CO₂", "co 2"),
        ("ВозрастПациента", "возраст пациента"),
        ("年龄", "年龄"),
        ("हिन्दी", "हिन्दी"),
        ("patient's age", "patients age"),
        ("fat%", "fat percent"),
        ("#rooms", "number rooms"),
        ("+++", "3 plus"),
        ("3+", "3 plus"),
        ("???", ""),
        ("", ""),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (3, "3"),
        (np.int64(7), "7"),
        (True, "true"),
        (("blood", "pressure"), "blood pressure"),
        (("blood", None), "blood"),
    ],
)
def test_normalised_header_is_plain_lower_case_words(name, expected):
    assert normalise_header(name) == expected


@pytest.mark.parametrize(
    "values",
    [
        ("<=50K", ">50K"),
        ("HER2+", "HER2-"),
        ("-1", "1", "+1"),
        ("≤ 5", "< 5", "≥ 5", "≠ 5", "= 5"),
        ("5%", "5°", "5$"),
        ("1*", "1**", "1"),
        ("+", "++", "+++"),
    ],
)
def test_signs_that_carry_meaning_keep_values_apart(values):
    assert len({normalise_header(value) for value in values}) == len(values)


@pytest.mark.parametrize("text", ["x-ray", "2-4", "a - b", "a--b", "a -b"])
def test_hyphen_between_words_or_numbers_only_separates(text):
    assert "minus" not in normalise_header(text)


def test_normalised_header_is_its_own_normal_form():
    rng = np.random.default_rng(0)
    ranges = [(32, 127), (160, 0x500), (0x900, 0x980), (0x1E00, 0x2300), (0xFB00, 0xFB07)]
    points = np.concatenate([np.arange(*each) for each in ranges])
    for _ in range(2000):
        text = "".join(map(chr, rng.choice(points, size=rng.integers(1, 12))))
        once = normalise_header(text)
        assert normalise_header(once) == once, repr(text)
        assert once == " ".join(once.split())


def test_header_texts_of_distinct_names_are_the_names():
    names = ["age", "Blood_Pressure", 0, np.int64(1), ("a", "b")]
    assert header_texts(names) == ["age", "Blood_Pressure", "0", "1", "a b"]


def test_header_texts_of_repeated_names_are_numbered():
    assert header_texts(["age", "sex", "age", "age"]) == ["age", "sex", "age 2", "age 3"]


def test_header_texts_that_read_the_same_are_numbered_past_those_that_are_taken():
    texts = header_texts(["HeartRate", "heart_rate", "heart rate 2", "HEART-RATE"])
    assert texts == ["HeartRate", "heart_rate 3", "heart rate 2", "HEART-RATE 4"]
    assert len({normalise_header(text) for text in texts}) == 4


def test_header_texts_of_many_repeats_are_all_different():
    texts = header_texts(["x", "x 2", "x"] * 300)
    assert len({normalise_header(text) for text in texts}) == 900


def test_header_texts_of_signs_alone_are_kept_apart():
    assert header_texts(["?", "!", "?"]) == ["?", "!", "? 2"]


def test_descriptions_take_the_place_of_names():
    texts = header_texts(["v1", 3, "age"], {"v1": " heart rate at rest ", 3: "sex"})
    assert texts == ["heart rate at rest", "sex", "age"]


def test_description_of_a_repeated_name_serves_all_its_columns():
    assert header_texts(["v", "v"], {"v": "pulse"}) == ["pulse", "pulse 2"]


@pytest.mark.parametrize("name", ["", "  ", None, float("nan"), pd.NA])
def test_column_without_a_name_is_error_that_names_position_and_remedy(name):
    with pytest.raises(ValueError, match=r"position 1 has no name.*column_descriptions="):
        header_texts(["age", name])
    assert header_texts(["age", name], {name: "weight"}) == ["age", "weight"]


def test_description_of_absent_column_is_error_that_names_the_nearest():
    with pytest.raises(ValueError, match=r"'ages', which is not a column.*mean 'age'\?"):
        header_texts(["age", "sex"], {"ages": "age in years"})
    with pytest.raises(ValueError, match=r"'zzz', which is not a column of the table\.$"):
        check_descriptions(["age"], {"zzz": "sleep"})


@pytest.mark.parametrize(
    ("descriptions", "error", "message"),
    [
        ({"age": 3}, TypeError, r"\['age'\] must be a string, got 'int'"),
        ({"age": " "}, ValueError, r"\['age'\] is blank"),
        (["age"], TypeError, "must be a mapping"),
        ("age", TypeError, "must be a mapping"),
    ],
)
def test_descriptions_that_say_nothing_are_errors(descriptions, error, message):
    with pytest.raises(error, match=message):
        header_texts(["age"], descriptions)
