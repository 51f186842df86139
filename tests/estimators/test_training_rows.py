"""What a pretrainer of cohorts trains on: the rows of all of them, in order, with photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tabimg import CITabPretrainer, Unlabeled
from tabimg.estimators.training_rows import gather as gather_rows
from tabimg.image import ImageReadError
from tabimg.inputs.cohorts import split
from tabimg.inputs.rows import group_ids

Frames = dict[str, pd.DataFrame]


def gather(pretrainer: CITabPretrainer, X: Any, unlabeled: Any = None, **given: Any) -> Any:
    weight, paths = given.get("sample_weight"), given.get("image_paths")
    return gather_rows(pretrainer, X, weight, paths, unlabeled, reset=True)


def test_long_names_of_cohorts_are_cut(cohorts: Frames, make: Any) -> None:
    name = "s" * 100_000
    first, second = list(cohorts.values())[:2]
    infinite = first.assign(odd=np.inf)
    for wrong in (infinite, [1, 2], first.assign(photo="no.png"), first.iloc[:0], "a.csv"):
        with pytest.raises((ValueError, TypeError, OSError)) as caught:
            make.citab().fit({"north": second, name: wrong})
        assert len(str(caught.value)) < 1000
    with pytest.raises(ValueError, match=r"of cohort 's.*calls its rows 't") as caught:
        split({name: first.assign(clinic="t" * 100_000)}, "clinic", "photo", None)
    assert len(str(caught.value)) < 1000
    fitted = make.citab().fit({"north": second, name: first})
    for wrong in ({f"{name}2": first.rename(columns=lambda c: c * 999)}, {name: infinite}):
        with pytest.raises(ValueError, match=r"cohort|'odd', row 0") as caught:
            fitted.transform(wrong)
        assert len(str(caught.value)) < 1600


def test_rows_stay_in_the_order_in_which_they_came(stacked: pd.DataFrame, make: Any) -> None:
    mixed = stacked.sample(frac=1.0, random_state=1)
    further = stacked.sample(frac=0.5, random_state=2).assign(width=-1.0)
    pretrainer = make.citab(cohort_column="clinic")
    weight = np.arange(1.0, 41.0)
    rows = gather(pretrainer, mixed, Unlabeled(further), sample_weight=weight)
    assert rows.weight.tolist() == weight.tolist() + [1.0] * 20
    whole = pd.concat([mixed, further], ignore_index=True)
    given = pd.concat(rows.tables, ignore_index=True).iloc[rows.order]
    for column in ("width", "mass", "support"):
        assert given[column].fillna(0).tolist() == whole[column].fillna(0).tolist()
    images = rows.images
    assert [images.sources[i] for i in images.first(np.arange(60))] == whole["photo"].tolist()
    encoded = pretrainer.fit(stacked)._encode_rows(rows)
    assert encoded.cohorts.tolist() == (whole["clinic"] == "south").astype(int).tolist()


def test_groups_belong_to_their_cohort(frame: pd.DataFrame) -> None:
    patients = ["p1", "p1", "p2", None]
    rows = frame[:4].assign(patient=patients)
    parts = split({"a": rows, "b": rows}, None, "photo", "patient")
    assert group_ids(parts).tolist() == [0, 0, 1, -1, 2, 2, 3, -1]


def test_group_is_one_in_labelled_and_unlabeled_rows(cohorts: Frames, make: Any) -> None:
    north = cohorts["north"]
    labelled = north[:10].assign(patient=[1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    further = north[10:14].assign(patient=[1.0, np.nan, 2.0, 9.0])
    pretrainer = make.citab(group_column="patient")
    rows = gather(pretrainer, {"north": labelled}, Unlabeled({"north": further}))
    assert rows.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, -1, 1, 5]


def test_unlabeled_rows_join_their_cohort_or_are_a_new_one(cohorts: Frames, make: Any) -> None:
    more = {"south": cohorts["south"], "north": cohorts["north"][20:]}
    rows = gather(make.citab(), {"north": cohorts["north"][:20]}, Unlabeled(more))
    assert rows.names == ["north", "south"]
    assert [len(table) for table in rows.tables] == [24, 16]
    pd.testing.assert_frame_equal(
        rows.tables[0], cohorts["north"].drop(columns="photo").reset_index(drop=True)
    )
    assert rows.weight.tolist() == [1.0] * 40


def test_unlabeled_rows_may_lack_columns_and_have_further_ones(
    cohorts: Frames, to_frame: Any, make: Any
) -> None:
    north = cohorts["north"]
    further = north[20:].drop(columns="pressure").assign(diagnosis="secret")
    given = {"north": to_frame(north[:20])}
    rows = gather(make.citab(), given, Unlabeled({"north": to_frame(further)}))
    (table,) = rows.tables
    assert list(table.columns) == ["width", "pressure", "support"]
    assert pd.isna(pd.Series(table["pressure"].to_list()[20:])).all()


def test_column_that_is_empty_in_labelled_rows_may_be_of_any_kind_in_unlabeled_ones(
    stacked: pd.DataFrame, make: Any
) -> None:
    empty = stacked[stacked["clinic"] == "north"].assign(support=np.nan)
    pretrainer = make.citab(cohort_column="clinic")
    rows = gather(pretrainer, empty, Unlabeled(stacked))
    assert rows.tables[0]["support"].tolist()[24:] == stacked["support"][:24].tolist()


def test_unlabeled_rows_of_another_kind_or_container_are_refused(
    cohorts: Frames, stacked: pd.DataFrame, make: Any
) -> None:
    north = cohorts["north"]
    words = Unlabeled({"north": north.assign(pressure="much")})
    with pytest.raises(ValueError, match=r"cohort 'north': column 'pressure' is numeric in X"):
        gather(make.citab(), {"north": north}, words)
    with pytest.raises(ValueError, match=r"cohort 'north': .*frames of one library"):
        gather(make.citab(), {"north": north}, Unlabeled({"north": pl.from_pandas(north)}))
    with pytest.raises(TypeError, match=r"tabimg\.Unlabeled\(frame\), got DataFrame"):
        gather(make.citab(), north, north)
    nameless = Unlabeled(north)
    with pytest.raises(ValueError, match=r"unlabeled rows' cohort_column='clinic' is not a column"):
        gather(make.citab(cohort_column="clinic"), stacked, nameless)


def test_declared_columns_that_are_not_there_are_named(
    cohorts: Frames, stacked: pd.DataFrame, make: Any
) -> None:
    with pytest.raises(ValueError, match=r"cohort_column='clinik' is not .*mean 'clinic'"):
        gather(make.citab(cohort_column="clinik"), stacked)
    with pytest.raises(ValueError, match=r"image_column='photos' is not a column of any cohort"):
        gather(make.citab(image_column="photos"), cohorts)
    with pytest.raises(ValueError, match=r"group_column='patient' is not a column of X"):
        gather(make.citab(cohort_column="clinic", group_column="patient"), stacked)


def test_shapes_and_names_are_checked_for_each_cohort(cohorts: Frames, make: Any) -> None:
    north, south = cohorts.values()
    twice = pd.concat([south, south[["mass"]]], axis=1)
    for broken, message in (
        (twice, "more than one column named 'mass'"),
        (south[:0], r"0 sample\(s\)"),
        (south[["photo"]], r"0 feature\(s\)"),
    ):
        with pytest.raises(ValueError, match=f"cohort 'south': .*{message}"):
            gather(make.citab(), {"north": north, "south": broken})
        with pytest.raises(ValueError, match=f"cohort 'south': .*{message}"):
            gather(make.citab(), {"north": north}, Unlabeled({"south": broken}))


def test_features_are_those_of_all_cohorts(
    cohorts: Frames, stacked: pd.DataFrame, make: Any
) -> None:
    names = ["width", "pressure", "support", "SupportMaterial", "mass", "photo_grade"]
    by_mapping, by_frame = make.citab(), make.citab(cohort_column="clinic")
    gather(by_mapping, cohorts)
    gather(by_frame, stacked)
    for pretrainer in (by_mapping, by_frame):
        assert sorted(pretrainer.feature_names_in_) == sorted(names)
        assert pretrainer.n_features_in_ == 6


def test_too_few_photos_are_told(cohorts: Frames, make: Any) -> None:
    blank = {name: frame.assign(photo=None) for name, frame in cohorts.items()}
    blank["north"].loc[0, "photo"] = cohorts["north"]["photo"][0]
    with pytest.warns(UserWarning, match="fewer than two rows have a photo"):
        assert gather(make.citab(), blank).images is None
    assert gather(make.citab(lambda_itc=0, lambda_itm=0, lambda_mtr=1), cohorts).images is None


# --- photos --------------------------------------------------------------------------------------


def test_each_cohort_has_its_own_folder(
    cohorts: Frames, photo_folder: Path, tmp_path: Path, make: Any
) -> None:
    """Photos of one name in two folders."""
    roots: dict[str, Path] = {}
    relative = {}
    for name, frame in cohorts.items():
        roots[name] = tmp_path / name
        roots[name].mkdir()
        own = [f"{row}.png" for row in range(len(frame))]
        for path, new in zip(frame["photo"], own, strict=True):
            (roots[name] / new).write_bytes(Path(path).read_bytes())
        relative[name] = frame.assign(photo=own)
    pretrainer = make.citab(image_root=roots)
    images = gather(pretrainer, relative).images
    assert images.sources[0] == str(roots["north"] / "0.png")
    assert images.sources[24] == str(roots["south"] / "0.png")
    by_root = pretrainer.fit(relative)
    by_path = make.citab().fit(cohorts)
    np.testing.assert_array_equal(by_root.transform(relative), by_path.transform(cohorts))
    expected = by_path.transform_images(cohorts)
    np.testing.assert_array_equal(by_root.transform_images(relative), expected)
    absolute = cohorts["south"]["photo"].tolist()
    np.testing.assert_array_equal(by_root.transform_images(absolute), expected[24:])


def test_photos_come_in_the_order_of_the_rows(stacked: pd.DataFrame, make: Any) -> None:
    mixed = stacked.sample(frac=1.0, random_state=0)
    images = make.citab(cohort_column="clinic")._images_of(mixed)
    found = [images.sources[number] for number in images.first(np.arange(40))]
    assert found == mixed["photo"].tolist()


def test_photo_that_is_missing_is_named(cohorts: Frames, make: Any) -> None:
    mixed = pd.concat([f.assign(clinic=n) for n, f in cohorts.items()]).sample(
        frac=1.0, random_state=3
    )
    mixed["photo"] = [*mixed["photo"][:7], "/nowhere.png", *mixed["photo"][8:]]
    with pytest.raises(ImageReadError, match=r"row 7 \(index \d+\) of X.*nowhere\.png"):
        make.citab(cohort_column="clinic").fit(mixed)
    south = cohorts["south"].assign(photo="/nowhere.png")
    for policy in ("warn", "skip"):
        with pytest.raises(ImageReadError, match="1 of 1 photos is missing"):
            make.citab(on_bad_image=policy).fit(south)
    south.loc[24, "photo"] = cohorts["south"].loc[24, "photo"]
    with pytest.raises(ValueError, match="fewer than two photos could be read"):
        make.citab(on_bad_image="skip", lambda_mtr=0).fit(south)
