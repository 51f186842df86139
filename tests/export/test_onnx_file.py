"""Exported files against the estimators that they were made of."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge

import tabimg
from tabimg import Unlabeled, serving
from tabimg.export import to_onnx
from tabimg.serving import ServedModel

NEEDED = "the extra 'onnx' is not installed"
onnx = pytest.importorskip("onnx", reason=NEEDED)
onnxruntime = pytest.importorskip("onnxruntime", reason=NEEDED)
pytest.importorskip("onnxscript", reason=NEEDED)

N_LABELLED = 120
# Where a prediction is small, that of float32's rounding elsewhere in the network counts.
RTOL, ATOL_OF_PROBABILITIES = 1e-5, 1e-6
WHOLE_BLEND = {
    "columns",
    "random_forest",
    "extra_trees",
    "network",
    "boosting",
    "linear_student",
    "forest_student",
    "boosted_student",
}


def labels_of(numbers: np.ndarray) -> np.ndarray:
    return np.array(["low", "middle", "high"])[np.digitize(numbers, [0.5, 1.2])]


def exported(estimator: Any, folder: Path) -> ServedModel:
    to_onnx(estimator, folder / "model.onnx")
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    return serving.load(folder / "model.onnx", n_threads=1)


def assert_same(served: ServedModel, estimator: Any, rows: Any) -> None:
    """Compare predictions; a number near zero is compared with the spread of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of unknown categories, and of spellings
        wanted = estimator.predict(rows)
        if not hasattr(estimator, "classes_"):
            got = served.predict(rows)
            assert got.dtype == wanted.dtype and got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=RTOL, atol=RTOL * wanted.std())
            return
        probabilities = estimator.predict_proba(rows)
    assert_same_probabilities(served.predict_proba(rows), probabilities)
    got = served.predict(rows)
    assert got.dtype == wanted.dtype
    assert (got == wanted).all()


def assert_same_probabilities(got: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(got, wanted, rtol=RTOL, atol=ATOL_OF_PROBABILITIES)


@pytest.fixture(scope="module")
def whole_blends(data: Any, make: Any) -> Callable[[str, bool], Any]:
    """Fit estimators with all that can be in a blend, one of each kind."""

    def fit(method: str, classifies: bool) -> Any:
        pretrainer = {"citab": make.citab, "mtcmtm": make.pretrainer}[method]().fit(data.pairs)
        maker = {
            ("citab", True): make.citab_classifier,
            ("citab", False): make.citab_regressor,
            ("mtcmtm", True): make.classifier,
            ("mtcmtm", False): make.regressor,
        }[method, classifies]
        y = labels_of(data.numbers) if classifies else data.numbers
        estimator = maker(pretrainer=FrozenEstimator(pretrainer))
        more = Unlabeled(data.pairs[N_LABELLED:])
        return estimator.fit(data.pairs[:N_LABELLED], y[:N_LABELLED], unlabeled=more)

    return fit


@pytest.mark.parametrize(
    ("method", "classifies"),
    [("mtcmtm", True), ("mtcmtm", False), ("citab", True), ("citab", False)],
)
def test_whole_blend_predicts_from_the_file_as_in_python(
    method: str,
    classifies: bool,
    whole_blends: Callable[[str, bool], Any],
    data: Any,
    tmp_path: Path,
) -> None:
    estimator = whole_blends(method, classifies)
    assert set(estimator.weights_) == WHOLE_BLEND | {"embedding", "imputed"}
    assert_same(exported(estimator, tmp_path), estimator, data.new_rows)


@pytest.mark.parametrize("encoder", ["resnet1d_cbam", "mlp"])
def test_network_alone_predicts_from_the_file_as_in_python(
    encoder: str,
    data: Any,
    make: Any,
    tmp_path: Path,
) -> None:
    table = data.pairs.drop(columns="photo")
    regressor = make.regressor(tabular_encoder=encoder, finetune="full", n_members=2)
    regressor.fit(table, np.column_stack([data.numbers, -3.0 * data.numbers]))
    assert_same(exported(regressor, tmp_path), regressor, data.new_rows)
    model = onnx.load(tmp_path / "model.onnx")
    assert [function.name for function in model.functions] == ["encoder_0"]  # of both members
    assert {(o.domain, o.version) for o in model.opset_import} == {
        ("", 18),
        ("ai.onnx.ml", 3),
        ("tabimg", 1),
    }


@pytest.mark.parametrize(
    "columns", [["width", "year"], ["Main Colour"], ["sold"], ["when", "code"]]
)
def test_tables_of_one_kind_of_column_predict_as_in_python(
    columns: list[str],
    data: Any,
    make: Any,
    tmp_path: Path,
) -> None:
    regressor = make.regressor(finetune="full", head="embedding").fit(
        data.pairs[columns], data.numbers
    )
    assert_same(exported(regressor, tmp_path), regressor, data.new_rows[columns])


@pytest.mark.parametrize("columns", [["width"], ["Main Colour"]])
def test_tables_of_one_kind_of_column_predict_as_in_python_by_citab(
    columns: list[str],
    data: Any,
    make: Any,
    tmp_path: Path,
) -> None:
    regressor = make.citab_regressor(finetune="full").fit(data.pairs[columns], data.numbers)
    assert_same(exported(regressor, tmp_path), regressor, data.new_rows[columns])


def test_other_spellings_of_citab_are_read_from_the_file_as_in_python(
    data: Any, make: Any, tmp_path: Path
) -> None:
    table = data.pairs[["width", "Main Colour"]]
    regressor = make.citab_regressor(finetune="full").fit(table, data.numbers)
    served = exported(regressor, tmp_path)
    rows = pd.DataFrame(
        {"width": 0.5, "Main Colour": ["Deep Red", "deep_red", "DEEP RED", "red", "Blue", "blue"]}
    )
    assert_same(served, regressor, rows)
    found = served.predict(rows)
    assert found[0] == found[1] == found[2] != found[3] and found[4] == found[5]


@pytest.mark.parametrize(
    "labels",
    [
        np.array([10, -3]),
        np.array([True, False]),
        np.array(["yes", "no"]),
        np.array(["yes", "no"], dtype=object),
        np.array([0.0, 2.0]),
    ],
    ids=["int", "bool", "str", "object", "float"],
)
def test_labels_of_every_type_come_back_as_they_were(
    labels: np.ndarray, table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    y = labels[(target > np.median(target)).astype(int)]
    classifier = make.classifier(finetune="full", max_epochs=1).fit(table, y)
    served = exported(classifier, tmp_path)
    assert served.classes_.dtype == classifier.classes_.dtype
    assert (served.classes_ == classifier.classes_).all()
    assert_same(served, classifier, table)
    (label,) = served.session.run(["label"], served.inputs_of(table))
    assert (label == classifier.predict(table)).all()


def test_table_without_names_is_served_by_position(
    target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    X = np.random.default_rng(0).normal(size=(len(target), 3))
    regressor = make.regressor(finetune="full", max_epochs=1).fit(X, target)
    served = exported(regressor, tmp_path)
    assert served.feature_names_in_.tolist() == [0, 1, 2]
    assert_same(served, regressor, X)


def test_order_of_columns_is_that_of_the_labelled_table(
    data: Any, make: Any, tmp_path: Path
) -> None:
    frozen = FrozenEstimator(make.pretrainer().fit(data.pairs[["width", "code", "photo"]]))
    table = data.pairs[["code", "photo", "width"]]
    regressor = make.regressor(pretrainer=frozen, finetune="full").fit(table, data.numbers)
    served = exported(FrozenEstimator(regressor), tmp_path)
    assert served.feature_names_in_.tolist() == ["code", "width"]
    assert_same(served, regressor, table)
    assert_same(served, regressor, table.drop(columns="photo"))


def test_plain_onnxruntime_takes_columns_and_gives_labels(
    table: pd.DataFrame, labels: np.ndarray, make: Any, tmp_path: Path
) -> None:
    """What a program without tabimg does: inputs by the columns' names, metadata as JSON."""
    classifier = make.classifier(finetune="full", max_epochs=1).fit(table, labels)
    to_onnx(classifier, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = {
        "width": table[["width"]].to_numpy(np.float64),
        "pressure": table[["pressure"]].to_numpy(np.float64),
        "support": table[["support"]].to_numpy(object),
    }
    label, probabilities = session.run(["label", "probabilities"], inputs)
    assert (label == classifier.predict(table)).all()
    assert_same_probabilities(probabilities, classifier.predict_proba(table))
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["tabimg.classes"]) == ["high", "low", "middle"]
    assert json.loads(metadata["tabimg.tabimg_version"]) == tabimg.__version__
    assert [each["name"] for each in json.loads(metadata["tabimg.features"])] == list(table)


# --- refusals ------------------------------------------------------------------------------------


def test_members_of_a_user_are_refused_by_name(
    table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    regressor = make.regressor(members=[("my_ridge", Ridge())]).fit(table, target)
    with pytest.raises(TypeError, match=r"members \['my_ridge'\] cannot be exported.*members=None"):
        to_onnx(regressor, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_estimators_that_cannot_be_exported_are_refused_with_the_reason(
    table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(TypeError, match="got LogisticRegression"):
        to_onnx(LogisticRegression(), path)
    with pytest.raises(NotFittedError):
        to_onnx(make.regressor(), path)
    regressor = make.regressor(finetune="full", max_epochs=1).fit(table, target)
    with pytest.raises(ValueError, match="set_params\\(predict_modality='table'\\)"):
        to_onnx(regressor.set_params(predict_modality="auto"), path)
    assert list(tmp_path.iterdir()) == []


class Untranslatable(torch.nn.Module):
    """An encoder that decides by the values of its features, which a trace cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.LazyLinear(4)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.out(features if features.sum() > 0 else 2.0 * features)


def test_network_that_torch_cannot_translate_is_named(
    table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    regressor = make.regressor(tabular_encoder=Untranslatable, finetune="full", max_epochs=1)
    regressor.fit(table, target)
    with pytest.raises(TypeError, match=r"Untranslatable.* cannot be exported: torch\.onnx"):
        to_onnx(regressor, tmp_path / "model.onnx")


def test_file_that_predicts_otherwise_is_not_written(
    data: Any, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regressor = make.regressor(finetune="full", max_epochs=1)
    regressor.fit(data.pairs[["width"]], data.numbers)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"earlier")
    monkeypatch.setattr(ServedModel, "predict", lambda self, X: np.zeros(len(X)))
    with pytest.raises(RuntimeError, match="made-up rows differ"):
        to_onnx(regressor, path)
    assert path.read_bytes() == b"earlier" and len(list(tmp_path.iterdir())) == 1


def test_missing_package_is_an_error_with_the_command(
    table: pd.DataFrame, target: np.ndarray, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    regressor = make.regressor(finetune="full", max_epochs=1).fit(table, target)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'tabimg\[onnx\]'"):
        to_onnx(regressor, "model.onnx")
