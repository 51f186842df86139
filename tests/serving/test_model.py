"""Served models: how tables are read, what is refused, and that nothing else is loaded."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg import serving
from tabimg.export import to_onnx
from tabimg.serving import ServedModel, ServingError

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'onnx' is not installed")

N_ROWS = 40


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """A column of each kind; pandas calls for objects where a bool is missing."""
    rng = np.random.default_rng(0)
    days = pd.to_timedelta(rng.integers(0, 900, N_ROWS), "D")
    return pd.DataFrame(
        {
            "size": rng.normal(size=N_ROWS),
            "colour": rng.choice(["red", "blue", "7"], N_ROWS),
            "sold": pd.Series(rng.choice([True, False, None], N_ROWS), dtype=object),
            "when": pd.Timestamp("2021-01-01") + days,
        }
    )


@pytest.fixture(scope="module")
def path(mixed: pd.DataFrame, make: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a classifier with a column of groups."""
    classifier = make.classifier(finetune="full", group_column="owner", max_epochs=1)
    rows = mixed.assign(owner=np.arange(N_ROWS) // 2)
    classifier.fit(rows, np.where(mixed["size"] > 0, "big", "small"))
    path = tmp_path_factory.mktemp("served") / "model.onnx"
    to_onnx(classifier, path)
    return path


@pytest.fixture
def served(path: Path) -> ServedModel:
    """The classifier, served."""
    return serving.load(path, n_threads=1)


ALONE = """
import sys
from tabimg import serving
model = serving.load(sys.argv[1])
print(model.predict({"size": [1.0, None], "colour": ["red", "new"],
                     "sold": [True, None], "when": ["2021-05-01", None]}).tolist())
print(sorted({name.partition(".")[0] for name in sys.modules}
             & {"torch", "sklearn", "skorch", "scipy", "pandas", "onnx", "onnxscript", "PIL"}))
"""


def test_serving_loads_neither_torch_nor_scikit_learn(path: Path, served: ServedModel) -> None:
    command = [sys.executable, "-c", ALONE, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    predicted, loaded = run.stdout.splitlines()
    assert loaded == "[]"
    assert set(eval(predicted)) <= set(served.classes_)


def test_served_model_describes_columns_and_classes(served: ServedModel) -> None:
    assert served.feature_names_in_.tolist() == ["size", "colour", "sold", "when"]
    assert served.classes_.tolist() == ["big", "small"]
    assert served.n_features_in_ == 4
    assert served.description.estimator == "MTCMTMClassifier"


def test_frames_of_every_library_give_the_same_predictions(
    served: ServedModel, mixed: pd.DataFrame, to_frame: Callable[[pd.DataFrame], Any]
) -> None:
    expected = served.predict_proba(mixed.to_dict("list"))
    assert (served.predict_proba(to_frame(mixed)) == expected).all()
    assert (served.predict_proba(mixed[["when", "sold", "colour", "size"]]) == expected).all()
    assert (served.predict_proba(mixed.assign(owner=1)) == expected).all()
    assert (served.predict_proba(mixed.to_numpy()) == expected).all()
    assert (served.predict_proba(mixed.to_numpy().tolist()) == expected).all()


@pytest.mark.parametrize(
    ("column", "given", "same"),
    [
        ("size", Decimal("1.5"), 1.5),
        ("size", np.float32(1.5), 1.5),
        ("size", True, 1.0),
        ("size", dt.timedelta(hours=12), 0.5),
        ("size", np.timedelta64(12, "h"), 0.5),
        ("size", dt.time(12), 0.5),
        ("size", pd.NA, None),
        ("size", float("nan"), None),
        ("colour", 7.0, "7"),
        ("colour", np.int64(7), "7"),
        ("colour", b"red", "red"),
        ("colour", float("nan"), None),
        ("colour", "", "never seen"),
        ("colour", True, "True"),
        ("sold", 1, True),
        ("sold", np.bool_(False), False),
        ("sold", "True", True),
        ("sold", pd.NA, None),
        ("when", "2021-05-01", dt.date(2021, 5, 1)),
        ("when", "2021-05-01T02:00:00+02:00", dt.datetime(2021, 5, 1)),
        ("when", "2021-05-01T00:00:00Z", pd.Timestamp("2021-05-01", tz="UTC")),
        ("when", np.datetime64("2021-05-01T00:00:00.000000001"), dt.date(2021, 5, 1)),
        ("when", pd.NaT, None),
    ],
)
def test_cells_are_read_as_what_they_stand_for(
    column: str, given: Any, same: Any, served: ServedModel
) -> None:
    row: dict[str, Any] = {"size": 0.3, "colour": "red", "sold": True, "when": "2021-01-01"}
    columns = [{name: [cell] for name, cell in {**row, column: x}.items()} for x in (given, same)]
    first, second = (served.inputs_of(each) for each in columns)
    np.testing.assert_array_equal(first[column].dtype, second[column].dtype)
    if isinstance(given, str) and not given:
        assert first[column] != [[""]]  # which would be a missing cell
        first, second = served.predict_proba(columns[0]), served.predict_proba(columns[1])
        assert (first == second).all()
    else:
        np.testing.assert_array_equal(first[column], second[column])


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("size", "1.5", "column 'size', row 1: '1.5' is not a number"),
        ("size", float("inf"), "column 'size', row 1: inf is not a finite number"),
        ("when", "yesterday", "column 'when', row 1: 'yesterday' is not a date in ISO 8601"),
        ("when", 3, "column 'when', row 1: 3 is not a date"),
        ("sold", 2, "column 'sold', row 1: 2.0 is not True, False, 0 or 1"),
        ("sold", "yes", "column 'sold', row 1: 'yes' is not True or False"),
        ("colour", dt.date(2021, 5, 1), "column 'colour', row 1: .* is a date, .* give text"),
        ("colour", ["red"], "column 'colour', row 1: .* is a list"),
    ],
)
def test_cell_that_does_not_fit_is_named_with_its_row(
    column: str, cell: Any, message: str, served: ServedModel, mixed: pd.DataFrame
) -> None:
    rows = mixed[:3].to_dict("list")
    rows[column][1] = cell
    with pytest.raises(ValueError, match=message):
        served.predict(rows)


def test_missing_and_unknown_columns_are_named(served: ServedModel, mixed: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"lacks the columns \['colour', 'when'\]; .* needs"):
        served.predict(mixed[["size", "sold"]])
    with pytest.raises(ValueError, match=r"does not know: \['weight'\]; leave them out"):
        served.predict(mixed.assign(weight=1.0))
    with pytest.raises(ValueError, match=r"a table of 4 columns, got shape \(40, 2\)"):
        served.predict(mixed[["size", "sold"]].to_numpy())


def test_tables_of_no_or_uneven_rows_are_refused(served: ServedModel, mixed: pd.DataFrame) -> None:
    rows = mixed.to_dict("list")
    with pytest.raises(ValueError, match="differ in length"):
        served.predict({**rows, "size": [1.0]})
    with pytest.raises(ValueError, match="no rows"):
        served.predict(mixed[:0])
    with pytest.raises(TypeError, match=r"column 'colour' is 'red': give a list"):
        served.predict({**rows, "colour": "red"})


def test_regressor_has_numbers_and_no_probabilities(
    table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    regressor = make.regressor(finetune="full", max_epochs=1).fit(table, target)
    to_onnx(regressor, tmp_path / "model.onnx")
    served = serving.load(tmp_path / "model.onnx")
    assert not hasattr(served, "classes_")
    assert served.predict(table).dtype == np.float64
    with pytest.raises(AttributeError, match="MTCMTMRegressor has no predict_proba"):
        served.predict_proba(table)


def test_files_that_cannot_be_served_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing\.onnx"):
        serving.load(tmp_path / "nothing.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ServingError, match=r"cannot load .*text\.onnx"):
        serving.load(tmp_path / "text.onnx")
    for change, message in (
        (("tabimg.format", "2"), r"has format 2; this version of tabimg reads format 1"),
        (("tabimg.format", "{"), "not written by tabimg.export.to_onnx"),
        (("tabimg.features", "[3]"), "metadata are damaged"),
    ):
        model = onnx.load(path)
        entry = next(each for each in model.metadata_props if each.key == change[0])
        entry.value = change[1]
        onnx.save(model, tmp_path / "changed.onnx")
        with pytest.raises(ServingError, match=message):
            serving.load(tmp_path / "changed.onnx")
