"""What is declared of the benchmarks' data sets is true of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

PROGRAMS = Path(__file__).parents[2] / "examples" / "benchmarks"
NAMES = (
    *("houses_ahmed", "leaf_species", "bus_busbra", "flags_countries"),
    *("food_ecustfd", "derm_ham10000", "derm_isic2017", "derm_ph2"),
)


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module("sets")


@pytest.mark.parametrize("name", NAMES)
def test_set_is_read_as_declared(name: str, sets: Any, real_data: Callable[[str], Path]) -> None:
    data, folder = sets.SETS[name], real_data(name)
    rows = sets.load(data, folder)
    groups = [] if data.group is None else [sets.GROUP]
    assert list(rows.table.columns) == [*data.columns, *data.photos, *groups]
    assert len(rows.table) == len(rows.target) and not pd.isna(rows.target).any()
    assert all((folder / photo).is_file() for photo in rows.table[data.photos[0]].head(3))
    assert data.excluded not in set(rows.target)
    if data.task == "classification":
        # Where a constant is right in three of four rows, accuracy says little.
        largest = np.unique(rows.target, return_counts=True)[1].max() / len(rows.target)
        assert data.metric == ("auc" if largest >= 0.75 else "accuracy")


def test_sample_keeps_rows_and_targets_together(sets: Any) -> None:
    table = pd.DataFrame({"number": np.arange(50)})
    drawn = sets.Loaded(table, np.arange(50) * 2, {}).sample(20)
    assert len(drawn.table) == 20
    np.testing.assert_array_equal(drawn.table["number"] * 2, drawn.target)


def test_table_without_a_declared_column_is_error_that_names_it(sets: Any, tmp_path: Path) -> None:
    pd.DataFrame({"age": [1], "sex": ["f"], "image": ["a.jpg"]}).to_csv(tmp_path / "table.csv")
    with pytest.raises(ValueError, match=r"lacks the columns \['dx', 'localization'\]"):
        sets.load(sets.SETS["derm_ham10000"], tmp_path)
