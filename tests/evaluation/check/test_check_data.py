"""check_data: what it counts, and what it takes for a leak."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation import check_data


def test_photos_are_counted_by_what_is_wrong_with_them(
    frame: pd.DataFrame, amount: np.ndarray, photo_folder: Path, tmp_path: Path
) -> None:
    for name in ("00.png", "01.png", "02.png"):
        (tmp_path / name).write_bytes((photo_folder / name).read_bytes())
    (tmp_path / "03.png").write_bytes(b"no image")
    (tmp_path / "04.png").write_bytes((photo_folder / "00.png").read_bytes())
    frame = frame.assign(photo=[*frame["photo"][:6], *[None] * 54])
    found = check_data(frame, amount, image_column="photo", image_root=tmp_path)
    assert (found.n_with_photo, found.n_missing, found.n_doubled) == (4, 1, 2)
    assert found.unreadable["row"].tolist() == [3]
    assert "1 named and not there, 1 cannot be read" in str(found)


def test_columns_have_kinds_and_numbers_of_missing_cells(frame: pd.DataFrame) -> None:
    found = check_data(frame, group_column="batch").columns.set_index("column")
    assert found.loc["width"].tolist() == ["numeric", 2, 58]
    assert found.loc["support", "kind"] == "categorical"
    assert "batch" not in found.index


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_column_that_gives_the_target_away_is_named(
    frame: pd.DataFrame, amount: np.ndarray, task: str
) -> None:
    frame = pd.concat([frame] * 5, ignore_index=True)
    noise = np.random.default_rng(0).normal(0, 1, 300)
    y = np.tile(amount, 5) + noise
    given_away = 3 * y + 1
    y = np.where(y > np.median(y), "high", "low") if task == "classification" else y
    found = check_data(frame.drop(columns="photo").assign(index=given_away), y, task=task)
    assert found.leaks["column"].tolist() == ["index"]
    assert any("'index' alone says" in note for note in found.notes)
    assert found.n_classes == (2 if task == "classification" else None)


def test_rows_without_a_target_are_counted_and_left_out(
    frame: pd.DataFrame, amount: np.ndarray
) -> None:
    amount = np.where(np.isin(np.arange(len(amount)), [1, 5]), np.nan, amount)
    found = check_data(frame.drop(columns="photo"), amount)
    assert (found.n_without_target, found.task) == (2, "regression")
    assert "2 rows without a target" in str(found)
    assert json.dumps(found.to_dict()["columns"])
