"""What all generators promise: exact seeds, files, parameters checked, scikit-learn's faces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabimg.datasets import make_cars, make_cohorts, make_membranes

SMALL = {
    make_membranes: {"n_samples": 40, "image_size": 32},
    make_cars: {"n_samples": 60, "n_classes": 6, "image_size": 32},
    make_cohorts: {"n_samples": 60, "image_size": 32},
}
every = pytest.mark.parametrize("make", list(SMALL))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def scores(known: float | dict[str, float]) -> np.ndarray:
    """One score, or one a cohort."""
    return np.array(list(known.values()) if isinstance(known, dict) else [known])


@every
def test_same_seed_gives_identical_frame_and_bytes(make, tmp_path):
    first = make(**SMALL[make], image_dir=tmp_path / "a", random_state=5)
    second = make(**SMALL[make], image_dir=tmp_path / "b", random_state=5)
    pd.testing.assert_frame_equal(
        first.frame.drop(columns="photo"), second.frame.drop(columns="photo"), check_exact=True
    )
    np.testing.assert_array_equal(first.latent, second.latent)
    names = [[Path(p).name for p in bunch.frame["photo"]] for bunch in (first, second)]
    assert names[0] == names[1]
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    again = make(**SMALL[make], image_dir=tmp_path / "a", random_state=5)
    pd.testing.assert_frame_equal(first.frame, again.frame, check_exact=True)


@every
def test_other_seed_gives_other_rows_and_photos(make, tmp_path):
    first = make(**SMALL[make], image_dir=tmp_path / "a", random_state=5)
    second = make(**SMALL[make], image_dir=tmp_path / "b", random_state=6)
    assert first.latent.tolist() != second.latent.tolist()
    assert not first.frame.drop(columns="photo").equals(second.frame.drop(columns="photo"))
    ours, theirs = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert all(ours[name] != theirs[name] for name in ours)


@every
def test_random_state_instance_is_taken_and_global_state_left_alone(make):
    before = np.random.get_state()[1].tolist()
    first = make(**SMALL[make], random_state=np.random.RandomState(5))
    second = make(**SMALL[make], random_state=np.random.RandomState(5))
    np.testing.assert_array_equal(first.latent, second.latent)
    assert np.random.get_state()[1].tolist() == before


@every
def test_missing_rate_changes_no_other_cell(make):
    complete = make(**SMALL[make], missing_rate=0.0, random_state=5)
    holed = make(**SMALL[make], missing_rate=0.3, random_state=5)
    names = complete.feature_names
    kept = holed.frame[names].notna()
    assert not kept.all(axis=None)
    pd.testing.assert_frame_equal(
        complete.frame[names].where(kept), holed.frame[names].where(kept), check_exact=True
    )
    np.testing.assert_array_equal(complete.latent, holed.latent)
    assert (scores(holed.bayes_score) < scores(complete.bayes_score)).all()
    assert (scores(holed.latent_r2) < scores(complete.latent_r2)).all()


@every
def test_return_x_y_gives_data_and_target(make, tmp_path):
    bunch = make(**SMALL[make], image_dir=tmp_path, random_state=5)
    data, target = make(**SMALL[make], image_dir=tmp_path, random_state=5, return_X_y=True)
    pd.testing.assert_frame_equal(data, bunch.data)
    pd.testing.assert_series_equal(target, bunch.target)
    assert "photo" in data and target.name not in data
    assert bunch.image_column == "photo"
    assert bunch.image_dir == str(tmp_path)
    assert make.__doc__ == bunch.DESCR


@every
def test_image_dir_is_made_and_holds_nothing_but_the_photos(make, tmp_path):
    folder = tmp_path / "new" / "photos"
    bunch = make(**SMALL[make], image_dir=folder, random_state=5)
    assert sorted(map(str, folder.iterdir())) == sorted(bunch.frame["photo"])


@every
def test_relative_image_dir_gives_absolute_paths(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bunch = make(**SMALL[make], image_dir="photos", random_state=5)
    assert all(os.path.isabs(path) and os.path.exists(path) for path in bunch.frame["photo"])


@every
def test_image_dir_that_is_a_file_raises(make, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(NotADirectoryError, match="image_dir"):
        make(**SMALL[make], image_dir=taken)
    assert taken.read_text() == "mine"


def test_temporary_photos_outlive_the_bunch_and_go_with_the_interpreter():
    script = """
import gc, os
from tabimg.datasets import make_membranes
photos = make_membranes(3, image_size=32, random_state=0).frame["photo"]
gc.collect()
if hasattr(os, 'fork'):
    if os.fork() == 0:
        raise SystemExit  # a child's exit must not take the photos away
    os.wait()
assert all(map(os.path.exists, photos))
print(os.path.dirname(photos[0]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    folder = done.stdout.strip().splitlines()[-1]
    assert "tabimg-membranes-" in folder
    assert not os.path.exists(folder)


@every
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_samples", 1, ValueError),
        ("n_samples", 40.0, TypeError),
        ("n_samples", True, TypeError),
        ("image_size", 31, ValueError),
        ("image_size", "64", TypeError),
        ("repeat_rate", 1.0, ValueError),
        ("repeat_rate", -0.1, ValueError),
        ("missing_rate", 1.0, ValueError),
        ("missing_rate", float("nan"), ValueError),
        ("missing_rate", None, TypeError),
    ],
)
def test_bad_parameter_raises_and_is_named(make, name, value, error):
    with pytest.raises(error, match=name):
        make(**{**SMALL[make], name: value})


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (make_membranes, "column_r2", 0.0),
        (make_membranes, "column_r2", 1.0),
        (make_membranes, "target_noise", 1.0),
        (make_cars, "n_classes", 1),
        (make_cars, "n_classes", 287),
        (make_cars, "size_jitter", 0.0),
        (make_cars, "style_noise", float("inf")),
        (make_cohorts, "column_r2", 0.0),
        (make_cohorts, "target_noise", 1.0),
    ],
)
def test_parameter_out_of_its_own_range_raises_and_is_named(make, name, value):
    with pytest.raises(ValueError, match=name):
        make(**{**SMALL[make], name: value})


def test_too_few_distinct_rows_for_the_classes_raise_with_a_way_out():
    with pytest.raises(ValueError, match=r"leaves 50 distinct rows.*at least 90.*Raise n_samples"):
        make_cars(100, 30, repeat_rate=0.5)


@every
def test_numpy_integers_are_taken(make):
    parameters = {name: np.int64(value) for name, value in SMALL[make].items()}
    assert len(make(**parameters, random_state=0).frame) == SMALL[make]["n_samples"]
