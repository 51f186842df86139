"""What a user hands in as cohorts, in any shape, comes out as the same cohorts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.inputs.cohort_names import CohortColumn
from tabimg.inputs.cohorts import split
from tabimg.inputs.image_roots import UNNAMED, image_root_of
from tabimg.table import TableCodec

Frames = dict[str, pd.DataFrame]


def encoded(table: Any) -> tuple[np.ndarray, np.ndarray]:
    return TableCodec().fit(table).encode(table).arrays()


def test_stacked_frame_and_mapping_split_alike(cohorts: Frames, stacked: pd.DataFrame) -> None:
    ours = split(stacked, "clinic", "photo", None)
    theirs = split(cohorts, "clinic", "photo", None)
    for one, other in zip(ours, theirs, strict=True):
        assert one.cohort == other.cohort
        assert one.places.tolist() == other.places.tolist()
        assert one.image_cells == other.image_cells
        own = list(other.table.columns)
        pd.testing.assert_frame_equal(
            one.table[own].reset_index(drop=True),
            other.table.reset_index(drop=True),
            check_dtype=False,
        )
        assert one.table.drop(columns=own).isna().all(axis=None)


def test_rows_of_a_mixed_frame_keep_their_place(stacked: pd.DataFrame) -> None:
    order = np.random.default_rng(0).permutation(len(stacked))
    mixed = stacked.iloc[order]
    for cohort in split(mixed, "clinic", "photo", None):
        assert (mixed["clinic"].iloc[cohort.places] == cohort.cohort).all()
        assert cohort.image_cells == [mixed["photo"].iloc[cohort.places].tolist()]
        np.testing.assert_array_equal(cohort.table["width"], mixed["width"].iloc[cohort.places])


def test_frame_without_cohorts_is_one(frame: pd.DataFrame) -> None:
    for column in (None, "clinic"):
        (cohort,) = split(frame, column, "photo", None)
        assert cohort.cohort == UNNAMED and cohort.table.shape == (40, 3)


def test_image_paths_are_split_with_their_rows(stacked: pd.DataFrame) -> None:
    mixed = stacked.drop(columns="photo")[::-1]
    paths = [f"{row}.png" for row in range(40)]
    for cohort in split(mixed, "clinic", None, None, paths):
        assert cohort.image_cells == [[paths[row] for row in cohort.places]]


def test_frames_of_a_mapping_may_still_have_the_cohort_column(stacked: pd.DataFrame) -> None:
    parts = split(dict(iter(stacked.groupby("clinic"))), "clinic", "photo", None)
    assert [part.cohort for part in parts] == ["north", "south"]
    assert not any("clinic" in part.table.columns for part in parts)


@pytest.mark.parametrize("names", [[1, 2], [1.0, 2.0], np.array([1, 2]), [True, 2]])
def test_numbered_cohorts_have_one_name_in_any_dtype(names: Any, frame: pd.DataFrame) -> None:
    column = pd.Series(np.repeat(np.asarray(names), 20))
    parts = split(frame.assign(clinic=column), "clinic", "photo", None)
    assert [part.cohort for part in parts] == [1, 2]
    assert [type(part.cohort) for part in parts] == [int, int]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", "  "])
def test_row_without_a_cohort_is_named(missing: Any, stacked: pd.DataFrame) -> None:
    clinics = stacked["clinic"].astype(object)
    clinics[[5, 9]] = missing
    with pytest.raises(ValueError, match=r"2 rows have no cohort in column 'clinic'.*row 5"):
        CohortColumn("clinic", list(clinics)).names()


@pytest.mark.parametrize("name", [None, np.nan, ""])
def test_mapping_without_a_name_is_refused(name: Any, frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="give it a name"):
        split({"a": frame, name: frame}, None, "photo", None)


def test_what_is_no_mapping_of_frames_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="without any cohort"):
        split({}, None, None, None)
    with pytest.raises(TypeError, match="cohort 'a' must be a DataFrame, got ndarray"):
        split({"a": np.zeros((3, 2))}, None, None, None)
    with pytest.raises(TypeError, match="list of frames: give a mapping"):
        split([frame, frame], None, None, None)
    with pytest.raises(ValueError, match=r"two cohorts are named '1\.5'"):
        split({1.5: frame, "1.5": frame}, None, None, None)
    with pytest.raises(ValueError, match="image_paths goes with one frame"):
        split({"a": frame}, None, None, None, ["x.png"])


@pytest.mark.filterwarnings("ignore:No observed value")
@pytest.mark.parametrize(
    "names",
    [
        ["north", "south"],
        [1, 2],
        [1.0, 2.0],
        [1.5, 2.5],
        [True, False],
        [pd.Timestamp("2020-02-29"), pd.Timestamp("2020-03-01 12:00")],
        [pd.Timedelta("1 day"), pd.Timedelta("36 hours")],
    ],
    ids=lambda names: type(names[0]).__name__,
)
def test_frame_of_every_kind_is_split_alike(
    names: list[Any], stacked: pd.DataFrame, to_frame: Any
) -> None:
    renamed = stacked["clinic"].map(dict(zip(("north", "south"), names, strict=True)))
    given = stacked.assign(clinic=renamed)
    found = split(to_frame(given), "clinic", "photo", None)
    for one, other in zip(found, split(given, "clinic", "photo", None), strict=True):
        assert one.cohort == other.cohort and type(one.cohort) is type(other.cohort)
        assert one.places.tolist() == other.places.tolist()
        assert one.image_cells == other.image_cells
        np.testing.assert_equal(encoded(one.table), encoded(other.table))


def test_cohort_without_a_folder_needs_absolute_paths() -> None:
    roots = {"north": "photos", "east": None}
    assert image_root_of(roots, "north", [["a.png"]]) == "photos"
    assert image_root_of(roots, "east", [["a.png"]]) is None
    assert image_root_of(roots, "south", [["/a.png", None, "", np.zeros(3)]]) is None
    with pytest.raises(ValueError, match=r"no folder for cohort 'south', only for \['north', 'ea"):
        image_root_of(roots, "south", [["/a.png", ["/b.png", "c.png"]]])
    assert image_root_of("all", "south", [["c.png"]]) == "all"
