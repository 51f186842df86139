"""Targets keep the type of their labels, and what is no target is named by its row."""

from __future__ import annotations

import datetime as dt
import enum
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tabimg
from tabimg.inputs.target_types import plain_target

CODES = np.arange(40) % 2
WORDS = np.array(["no", "yes"])[CODES]


class Answer(str, enum.Enum):
    NO = "no"
    YES = "yes"


ANSWERS = [Answer(word) for word in WORDS]


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (pd.Series(CODES, dtype="Int64"), np.int64),
        (pd.Series(CODES, dtype="Int8"), np.int8),
        (pd.Series(CODES, dtype="UInt16"), np.uint16),
        (pd.Series(CODES == 1, dtype="boolean"), np.bool_),
        (pd.Series(CODES, dtype="int64[pyarrow]"), np.int64),
        (pd.Series(CODES == 1, dtype="bool[pyarrow]"), np.bool_),
        (pd.Series(CODES).astype("category"), np.int64),
        (pd.Series(CODES, dtype="Int64").astype("category"), np.int64),
        (pd.Series(CODES == 1).astype("category"), np.bool_),
        (pd.Series(CODES == 1, dtype=object), np.bool_),
        (pd.Series(CODES, dtype=object), np.int64),
        (np.array([np.bool_(code) for code in CODES], dtype=object), np.bool_),
        (pl.Series(CODES).cast(pl.Int16), np.int16),
        (pl.Series(CODES == 1), np.bool_),
        ((CODES == 1).tolist(), np.bool_),
        (CODES.tolist(), np.int64),
        (pl.Series(CODES, dtype=getattr(pl, "Int128", pl.Int64)), np.int64),
        (np.ma.array(CODES.astype(np.int8)), np.int8),
    ],
    ids=lambda value: str(getattr(value, "dtype", type(value).__name__)),
)
def test_labels_keep_their_type(y: Any, dtype: type) -> None:
    plain = plain_target(y)
    assert plain.dtype == dtype
    np.testing.assert_array_equal(plain, CODES.astype(dtype))


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(WORDS, dtype="string"),
        pd.Series(WORDS, dtype=object),
        pd.Series(WORDS).astype("category"),
        pl.Series(WORDS.tolist(), dtype=pl.Categorical),
        np.array([np.str_(word) for word in WORDS], dtype=object),
        np.ma.array(WORDS),
        pa.chunked_array([pa.array(WORDS)]),
        ANSWERS,
        tuple(ANSWERS),
        pd.Series(ANSWERS, dtype=object),
        pd.Series(ANSWERS, dtype=object).astype("category"),
    ],
    ids=lambda value: f"{type(value).__module__}-{getattr(value, 'dtype', type(value).__name__)}",
)
def test_text_labels_are_plain_strings(y: Any) -> None:
    plain = plain_target(y)
    assert {type(label) for label in plain.tolist()} == {str}
    assert plain.tolist() == WORDS.tolist()


@pytest.mark.skipif(np.__version__ < "2", reason="numpy 1 has no StringDType")
def test_texts_of_numpys_own_dtype_are_labels(table: pd.DataFrame, make: Any) -> None:
    dtype = np.dtypes.StringDType(na_object=None)
    assert plain_target(np.array(WORDS, dtype=dtype)).tolist() == WORDS.tolist()
    with pytest.raises(ValueError, match="1 of 40 rows have no target, the first is row 2"):
        make.classifier().fit(table, np.array([*WORDS[:2], None, *WORDS[3:]], dtype=dtype))


def test_predictions_equal_the_members_of_an_enum_that_are_text(
    table: pd.DataFrame, make: Any
) -> None:
    classifier = make.classifier(finetune="full", max_epochs=1).fit(table, ANSWERS)
    assert classifier.classes_.tolist() == ["no", "yes"]
    right = [
        label == given for label, given in zip(classifier.predict(table), ANSWERS, strict=True)
    ]
    assert classifier.score(table, ANSWERS) == np.mean(right) > 0


@pytest.mark.parametrize("offset", [2**63, 2**64 - 2])
@pytest.mark.parametrize("container", [list, lambda y: pd.Series(y, dtype=object)])
def test_whole_numbers_up_to_64_bits_are_told_apart(
    offset: int, container: Callable[[list[int]], Any]
) -> None:
    y = [offset + int(code) for code in CODES]
    assert plain_target(container(y)).tolist() == y


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([2**64 + int(code) for code in CODES], r"y, row 0: 1.8\d+e\+19 is too large for a"),
        ([-1, 2**63] * 20, r"y, row 1: 9.2\d+e\+18 is too large for a"),
        ([1.0, 0.0, 1e300, 1.0] * 10, r"y, row 2: 1e\+300 is too large for a"),
    ],
)
def test_numbers_that_float64_cannot_tell_apart_are_no_labels(
    y: Any, words: str, table: pd.DataFrame, make: Any
) -> None:
    with pytest.raises(ValueError, match=words):
        make.classifier().fit(table, y)


@pytest.mark.parametrize(
    "values", [CODES, WORDS, CODES * 1.0, CODES == 1, np.stack([CODES, CODES], axis=1) * 1.0]
)
def test_target_behind_a_mask_is_missing(
    values: np.ndarray, table: pd.DataFrame, make: Any
) -> None:
    mask = np.zeros(values.shape, dtype=bool)
    mask[5], mask.flat[-1] = True, True
    masked = np.ma.array(values, mask=mask)
    for make_one in (make.classifier, make.regressor):
        with pytest.raises(ValueError, match="2 of 40 rows have no target, the first is row 5"):
            make_one().fit(table, masked)
        fitted = make_one(finetune="full", max_epochs=1).fit(table, CODES)
        with pytest.raises(ValueError, match="2 of 40 rows have no target, the first is row 5"):
            fitted.score(table, masked)


@pytest.mark.parametrize("dtype", ["Int64", "boolean"])
def test_classes_and_predictions_keep_their_type_through_saving(
    dtype: str, table: pd.DataFrame, make: Any, tmp_path: Any
) -> None:
    y = pd.Series(CODES == 1).astype(dtype)
    kind = {"Int64": np.int64, "boolean": np.bool_}[dtype]
    classifier = make.classifier(finetune="full", max_epochs=1).fit(table, y)
    tabimg.save(classifier, tmp_path / "model")
    for fitted in (classifier, tabimg.load(tmp_path / "model")):
        assert fitted.classes_.dtype == fitted.predict(table).dtype == kind
        assert fitted.classes_.tolist() == sorted(set(y.tolist()))
        assert fitted.score(table, y) == np.mean(fitted.predict(table) == y.to_numpy(dtype=kind))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1, "a"] * 20, r"'int', 'str', such as 1 in row 0"),
        ([*range(7), "?", *range(32)], r"'int', 'str', such as '\?' in row 7"),
        (
            [*(CODES == 1)[:7].tolist(), "?", *([True] * 32)],
            r"'bool', 'str', such as '\?' in row 7",
        ),
        ([*WORDS[:7].tolist(), True, *WORDS[8:].tolist()], "'bool', 'str', such as True in row 7"),
        (["no", np.nan, *WORDS[2:].tolist()], "1 of 40 rows have no target, the first is row 1"),
        (CODES * 1j, "Complex data not supported: y holds complex numbers, such as 0j in row 0"),
        ([dt.date(2020 + code, 1, 1) for code in CODES], "'date'.*row 0"),
        ([1.0, 2.0, np.inf, 0.0] * 10, "infinity.*row 2"),
        ([Decimal("sNaN")] * 40, "row 0.*sNaN"),
    ],
)
def test_labels_that_are_none_are_refused(
    y: Any, words: str, table: pd.DataFrame, make: Any
) -> None:
    with pytest.raises(ValueError, match=words):
        make.classifier().fit(table, y)


def numbers_but_in_row_5(value: Any) -> list[Any]:
    return [*range(5), value, *range(34)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.inf, "y contains infinity.*row 5"),
        (-np.inf, "y contains infinity.*row 5"),
        (10**400, "y contains infinity.*row 5"),
        (Decimal("Infinity"), "y contains infinity.*row 5"),
        (Fraction(10**400, 3), "y contains infinity.*row 5"),
        (Decimal("sNaN"), "row 5.*sNaN"),
        (Decimal("NaN"), "no target, the first is row 5"),
        (None, "no target, the first is row 5"),
        (1e160, r"row 5: 1e\+160 is beyond 1e\+150.*rescale"),
        (-1e300, r"row 5: 1e\+300 is beyond 1e\+150.*rescale"),
        (10**200, r"row 5: 1e\+200 is beyond 1e\+150.*rescale"),
        ("?", r"such as '\?' in row 5.*MTCMTMClassifier"),
        (dt.date(2020, 1, 1), r"datetime.date.* in row 5.*MTCMTMClassifier"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_number_that_cannot_be_learned_is_named(
    value: Any, words: str, table: pd.DataFrame, make: Any
) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        make.regressor().fit(table, np.array(numbers_but_in_row_5(value), dtype=object))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("finetune", "loss"), [("full", "l1"), ("frozen", "mse"), ("gradual", "huber"), ("auto", "mse")]
)
def test_largest_target_is_predicted_finitely(
    finetune: str, loss: str, table: pd.DataFrame, target: np.ndarray, frozen: Any, make: Any
) -> None:
    large = target / np.abs(target).max() * 1e150
    regressor = make.regressor(pretrainer=frozen, finetune=finetune, loss=loss, max_epochs=1)
    assert np.isfinite(regressor.fit(table, large).predict(table)).all()


def test_raw_bytes_are_no_target(table: pd.DataFrame, make: Any) -> None:
    with pytest.raises(TypeError, match="y holds raw bytes"):
        make.classifier().fit(table, np.array([b"a", b"b"] * 20, dtype="V1"))


def test_stray_text_among_bools_is_named(table: pd.DataFrame, make: Any) -> None:
    y = (CODES == 1).astype(object)
    y[:] = list(CODES == 1)  # numpy's bools, which are no numbers of Python
    y[7] = "?"
    with pytest.raises(ValueError, match=r"such as '\?' in row 7: they are not numbers"):
        make.regressor().fit(table, y)


def test_complex_target_is_refused_in_few_words(table: pd.DataFrame, make: Any) -> None:
    table = pd.concat([table] * 24, ignore_index=True)
    with pytest.raises(ValueError, match="such as 0j in row 0") as raised:
        make.regressor().fit(table, np.arange(len(table)) * 1j)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("dtype", [object, str, "string"])
def test_numbers_as_text_are_no_numbers(dtype: Any, table: pd.DataFrame, make: Any) -> None:
    y = pd.Series([f"{row}.5" for row in range(40)], dtype=dtype)
    with pytest.raises(ValueError, match=r"'0.5' in row 0.*not numbers"):
        make.regressor().fit(table, y)


def test_bools_become_numbers_with_a_warning(table: pd.DataFrame, make: Any) -> None:
    with pytest.warns(UserWarning, match="y holds bools.*0 and 1.*MTCMTMClassifier"):
        make.regressor(finetune="full", max_epochs=1).fit(table, CODES == 1)


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: [Decimal(str(value)) for value in y],
        lambda y: y.astype(object),
        lambda y: np.ma.array(y, mask=False),
    ],
)
def test_other_numbers_give_the_same_predictions(
    convert: Callable[[np.ndarray], Any], table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(finetune="full", max_epochs=1)
    plain = regressor.fit(table, target).predict(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(regressor.fit(table, convert(target)).predict(table), plain)


def test_column_of_a_frame_of_every_kind_is_the_same_target(
    table: pd.DataFrame, target: np.ndarray, to_frame: Any, make: Any
) -> None:
    y = pd.DataFrame({"number": target, "whole": np.arange(40.0), "word": WORDS, "bool": CODES > 0})
    given = to_frame(y)
    regressor = make.regressor(finetune="full", max_epochs=1)
    for name in ("number", "whole"):
        expected = regressor.fit(table, y[name]).predict(table)
        np.testing.assert_array_equal(regressor.fit(table, given[name]).predict(table), expected)
    for name in ("word", "bool"):
        assert plain_target(given[name]).tolist() == y[name].tolist()


@pytest.mark.parametrize("cells", [[1.0, 2.0], [0.5, 1.5], ["a", "b"], [True, False]], ids=str)
def test_target_that_is_missing_in_a_frame_of_any_kind_is_named(
    cells: list[Any], table: pd.DataFrame, to_frame: Any, make: Any
) -> None:
    y = pd.Series([None if row == 5 else cells[row % 2] for row in range(40)])
    for make_one in (make.classifier, make.regressor):
        with pytest.raises(ValueError, match="1 of 40 rows have no target, the first is row 5"):
            make_one().fit(table, to_frame(y.to_frame("y"))["y"])
