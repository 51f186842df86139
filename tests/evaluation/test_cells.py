"""The store gives back what it was given, from either of its two forms, and mixes nothing up."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)
from tabimg.evaluation import make_baseline
from tabimg.evaluation.cells import CellStore, describe, fingerprint, keep_cell
from tabimg.evaluation.data import read_data
from tabimg.evaluation.engine import Protocol, plan_units
from tabimg.evaluation.methods import METHODS, Prototypes, baseline_methods, own_methods
from tabimg.image import Augmentation
from tabimg.nn.resnet import ResNet

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
    with pytest.raises(ValueError, match=r"a\.json is no finished cell.*delete it"):
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


def factory() -> None:
    """Stand in for an encoder's factory."""


@pytest.mark.parametrize(
    "change",
    [
        {"lambda_c": 0.5},
        {"augmentation": Augmentation(flip=False)},
        {"image_encoder": factory},
        {"image_encoder": partial(factory, width=3)},
        {"image_column": ["photo", "other"]},
    ],
)
def test_fingerprint_changes_with_what_is_computed(change: dict[str, Any]) -> None:
    assert fingerprint(MultiModalPretrainer(**change)) != fingerprint(MultiModalPretrainer())


@pytest.mark.parametrize(
    "same",
    [
        {"lambda_c": 1},
        {"lambda_c": np.float64(1.0)},
        {"n_jobs": 2, "verbose": 1},
        {"image_root": "/elsewhere", "cache_dir": "/cache", "checkpoint_dir": "/runs"},
        {"keep_image_encoder": False, "device": "cpu"},
    ],
)
def test_fingerprint_does_not_change_with_circumstances(same: dict[str, Any]) -> None:
    assert fingerprint(MultiModalPretrainer(**same)) == fingerprint(MultiModalPretrainer())


def test_fingerprint_tells_arrays_apart_by_value_and_shape_not_by_width() -> None:
    rows = np.arange(6)
    assert fingerprint(rows) == fingerprint(rows.astype(np.int32))
    assert fingerprint(rows) != fingerprint(rows.reshape(2, 3))
    assert fingerprint(rows) != fingerprint(rows[::-1])
    assert fingerprint(np.array([0.0, np.nan])) == fingerprint(np.array([-0.0, -np.nan]))
    assert fingerprint(np.array(["a", None], dtype=object)) != fingerprint(np.array(["a", "None"]))


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from functools import partial; import numpy as np\n"
        "from tabimg import MultiModalPretrainer\n"
        "from tabimg.nn.resnet import ResNet\n"
        "from tabimg.evaluation.cells import fingerprint\n"
        "parts = MultiModalPretrainer(image_encoder=partial(ResNet, width=4)), np.array(['a'])\n"
        "print(fingerprint(*parts, {'b': 1, 'a': None}))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
        ).stdout
        for _ in range(2)
    }
    assert len(printed) == 1


def test_describe_is_json_with_class_and_parameters() -> None:
    described = describe(MTCMTMRegressor(lr=np.float64(0.5)))
    assert json.loads(json.dumps(described)) == described
    assert described["class"].endswith(".MTCMTMRegressor")
    assert described["lr"] == 0.5


def plain_study() -> list[str]:
    """Name the cells of a study whose rows and methods are made by hand."""
    frame = pd.DataFrame(
        {
            "width": np.arange(24.0) ** 2 % 17,
            "support": pd.Series(["glass", "paper", "steel"] * 8, dtype=object),
            "photo": pd.Series([f"{row:02d}.png" for row in range(24)], dtype=object),
            "batch": np.arange(24) // 2,
        }
    )
    data = read_data(frame, np.arange(24) / 7, "photo", "batch", "auto")
    pretrainer = MultiModalPretrainer(image_encoder=partial(ResNet, width=4))
    methods = [
        *Prototypes.of(pretrainer, None, data, None).built_in(METHODS),
        *baseline_methods(["linear", "boosting"], data.task),
        *own_methods({"citab": (CITabPretrainer(), CITabRegressor())}, data, None),
    ]
    units = plan_units(data, methods, Protocol((0.3, 1.0), 2, 1, 2, 0))
    return [
        name
        for unit in units
        for name in (unit.encoder_fingerprint, *(cell.fingerprint for cell in unit.cells))
    ]


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (MultiModalPretrainer(), "db984bc7fc79c5a67070420e23aec14a"),
        (CITabPretrainer(), "aee7dd3f6c98fd03d8278bb81a7f42fb"),
        (MTCMTMClassifier(), "4285ca3c0ac8e374629e07c7554409b0"),
        (MTCMTMRegressor(), "0ee005e613f006dcda626c61f1dfc32d"),
        (CITabClassifier(), "3fbbed43c1ae8507d77539e978deb738"),
        (CITabRegressor(), "c848d153c6d56ee376346715511d76a9"),
        (make_baseline("linear", "classification"), "d936844d65025f2227474645b73aeb2c"),
        (make_baseline("boosting", "regression"), "c6834ea76d3d23ab435b0b8096fd73ed"),
        (
            MultiModalPretrainer(augmentation=Augmentation(flip=False)),
            "a92190d759309717ed99378ac4a83edb",
        ),
        (
            MultiModalPretrainer(image_encoder=partial(ResNet, width=4)),
            "bfe54874111ebcc732afacf0e12cd8f4",
        ),
    ],
)
def test_fingerprint_of_an_estimator_stays_what_it_was(estimator: Any, expected: str) -> None:
    # Results are kept by it; `_NAMES_IN_RESULTS` knows where classes stood before.
    assert fingerprint(estimator) == expected


def test_fingerprints_of_a_study_stay_what_they_were() -> None:
    assert hashlib.sha256(repr(plain_study()).encode()).hexdigest()[:16] == "c91e71ccb9346504"
