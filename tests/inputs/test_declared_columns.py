"""Which columns of a frame an estimator and its pretrainer declare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tabimg.inputs.declared_columns import DeclaredColumns

FRAME = pd.DataFrame({"width": [1.0], "photo": ["a.png"], "patient": ["p"], "clinic": ["north"]})


def estimator(pretrainer: Any = None, **columns: Any) -> Any:
    known = {"image_column": None, "group_column": None, **columns}
    return SimpleNamespace(pretrainer=pretrainer, **known)


def test_what_the_estimator_declares_counts_before_its_pretrainer() -> None:
    pretrainer = estimator(image_column="photo", group_column="patient")
    declared = DeclaredColumns.of(estimator(image_column="scan"), pretrainer)
    assert declared["image_column"] == "scan"
    assert declared["group_column"] == "patient"
    assert declared["cohort_column"] is None


def test_columns_that_are_no_features_are_split_off() -> None:
    known = {"image_column": "photo", "group_column": "patient", "cohort_column": "clinic"}
    rows = DeclaredColumns.of(estimator(**known), None).rows_of(FRAME)
    assert list(rows.table.columns) == ["width"]
    assert rows.image_cells == [["a.png"]]
    assert rows.groups.tolist() == ["p"]
    assert rows.cohort_names() == ["north"]


def test_mapping_is_refused_where_one_cohort_is_fitted_at_a_time() -> None:
    declared = DeclaredColumns.of(estimator(cohort_column=None), None)
    with pytest.raises(TypeError, match="one cohort is fitted, and predicted, at a time"):
        declared.rows_of({"north": FRAME})
    with pytest.raises(TypeError, match="X is a dict"):
        DeclaredColumns.of(estimator(), None).rows_of({"north": FRAME})


def test_column_is_required_by_a_fit_to_come_or_by_the_estimators_own_word() -> None:
    fresh = estimator(image_column="photo")
    fitted = estimator(image_column="photo", network_=None)
    table = FRAME[["width"]]
    for pretrainer, own in ((fresh, {}), (fitted, {"image_column": "scan"})):
        given = pretrainer if not own else None
        declared = DeclaredColumns.of(estimator(given, **own), pretrainer)
        with pytest.raises(ValueError, match=r"image_column='(photo|scan)' is not a column of X"):
            declared.require(table, None)
        declared.require(table, ["a.png"])
    DeclaredColumns.of(estimator(), fitted).require(table, None)


def test_two_words_on_the_frame_that_both_read_are_refused() -> None:
    pretrainer = estimator(image_column="photo")
    declared = DeclaredColumns.of(estimator(pretrainer, image_column="scan"), pretrainer)
    with pytest.raises(ValueError, match=r"image_column='scan', but the pretrainer.*set one"):
        declared.require(FRAME, None)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"image_column": ["a", "b"]}, ["a", "b"]),
        ({"group_column": "patient"}, []),
        ({"group_column": "patient", "cohort_column": "clinic"}, ["patient", "clinic"]),
    ],
)
def test_pretrainer_of_any_columns_is_spared_groups_and_cohorts_too(
    own: dict[str, Any], expected: list[str]
) -> None:
    declared = DeclaredColumns.of(estimator(**own), estimator())
    assert declared.unknown_to_pretrainer() == expected


def test_column_that_is_declared_twice_is_named() -> None:
    twice = estimator(image_column=["photo", "clinic"], cohort_column="clinic")
    with pytest.raises(ValueError, match="column 'clinic' is declared twice"):
        DeclaredColumns.of(twice, None).check_distinct()
    DeclaredColumns.of(estimator(image_column="photo"), None).check_distinct()
