"""The store gives back what it was given, from either of its two forms, and mixes nothing up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.evaluation.study.cells import CellStore, keep_cell

COLUMNS = ["r2", "validation_loss", "fit_seconds"]


def cell(name: str, **values: Any) -> dict[str, Any]:
    measured = {"r2": 0.1 + 0.2, "validation_loss": float("nan"), "fit_seconds": 1e-17}
    return {"method": "scratch", "budget": "5 %", **measured, **values, "fingerprint": name}


def assert_is(found: Any, expected: dict[str, Any]) -> None:
    np.testing.assert_equal(found, {name: expected[name] for name in COLUMNS})


def test_cell_from_its_file_is_equal_to_the_last_bit(tmp_path: Path) -> None:
    keep_cell(tmp_path, cell("1e5"))
    assert_is(CellStore(tmp_path).find("1e5", COLUMNS), cell("1e5"))


def test_cell_from_scores_alone_is_equal_to_the_last_bit(tmp_path: Path) -> None:
    # A fingerprint may look like a number, and a method be called NA.
    cells = [cell("1e5", method="NA", r2=np.pi / 7), cell("007", validation_loss=2.0)]
    CellStore(tmp_path).write_scores(pd.DataFrame(cells))
    assert not (tmp_path / "cells").exists()
    store = CellStore(tmp_path)
    for expected in cells:
        assert_is(store.find(expected["fingerprint"], COLUMNS), expected)


def test_unknown_or_incomplete_cell_is_not_found(tmp_path: Path) -> None:
    keep_cell(tmp_path, cell("a"))
    store = CellStore(tmp_path)
    assert store.find("b", COLUMNS) is None
    assert store.find("a", [*COLUMNS, "mae"]) is None


def test_scores_of_smaller_study_lose_no_cell(tmp_path: Path) -> None:
    CellStore(tmp_path).write_scores(pd.DataFrame([cell("a"), cell("b", r2=0.5)]))
    CellStore(tmp_path).write_scores(pd.DataFrame([cell("a")]))
    assert pd.read_csv(tmp_path / "scores.csv")["fingerprint"].tolist() == ["a"]
    assert_is(CellStore(tmp_path).find("b", COLUMNS), cell("b", r2=0.5))


def test_committed_scores_are_taken_over_without_replacing_own_cells(tmp_path: Path) -> None:
    own, other = cell("a"), cell("b", r2=0.25)
    keep_cell(tmp_path / "own", own)
    foreign = pd.DataFrame([{**cell("a"), "r2": 9.0}, other])
    foreign.to_csv(tmp_path / "committed.csv", index=False)
    CellStore(tmp_path / "own").take_over(tmp_path / "committed.csv")
    store = CellStore(tmp_path / "own")
    assert_is(store.find("a", COLUMNS), own)
    assert_is(store.find("b", COLUMNS), other)
    with pytest.raises(ValueError, match="without a folder"):
        CellStore(None).take_over(tmp_path / "committed.csv")


def test_half_written_files_of_a_killed_process_do_not_count(tmp_path: Path) -> None:
    keep_cell(tmp_path, cell("a"))
    (tmp_path / "cells" / ".b.json-0123").write_text('{"finger')
    assert CellStore(tmp_path).find("a", COLUMNS) is not None


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        keep_cell(tmp_path, cell("a", r2=object()))
    assert list(tmp_path.rglob("*.json*")) == []


@pytest.mark.parametrize("content", ["", "[1]", '{"method": "scratch"}', "null"])
def test_damaged_cell_is_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json is not a finished cell.*delete it"):
        CellStore(tmp_path)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n"])
def test_foreign_scores_file_is_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.csv").write_text(content)
    with pytest.raises(ValueError, match=r"scores\.csv is not a study's table"):
        CellStore(tmp_path)


def test_store_without_folder_is_empty_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = CellStore(None)
    store.write_scores(pd.DataFrame([cell("a")]))
    assert store.find("a", COLUMNS) is None
    assert list(tmp_path.iterdir()) == []


def test_written_cell_is_plain_json(tmp_path: Path) -> None:
    keep_cell(tmp_path, cell("a"))
    read = json.loads((tmp_path / "cells" / "a.json").read_text(), parse_constant=pytest.fail)
    assert read["validation_loss"] is None
