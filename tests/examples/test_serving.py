"""The examples that serve exported files, run as a reader would."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg import MTCMTMClassifier

PROGRAMS = Path(__file__).parents[2] / "examples"
NEEDED = "the extra 'onnx' is not installed"
for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason=NEEDED)


@pytest.fixture
def classifier(table: pd.DataFrame, labels: np.ndarray, make: Any) -> MTCMTMClassifier:
    """A network alone, in a moment."""
    return make.classifier(finetune="full", max_epochs=1).fit(table, labels)


@pytest.fixture
def client(
    classifier: MTCMTMClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A client of the server in ``serve_fastapi.py``, which runs in a process of its own."""
    for package in ("fastapi", "uvicorn", "httpx"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    import httpx

    from tabimg.export import to_onnx

    monkeypatch.syspath_prepend(PROGRAMS)
    program = importlib.import_module("serve_fastapi")
    to_onnx(classifier, tmp_path / "model.onnx")
    server = program.running_server(tmp_path / "model.onnx")
    with server as address, httpx.Client(base_url=address) as client:
        yield client


def test_server_predicts_json_rows_as_python_does(
    client: Any, classifier: MTCMTMClassifier, table: pd.DataFrame
) -> None:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    answer = client.post("/predict", json=rows)
    assert answer.status_code == 200
    found = answer.json()
    assert found["prediction"] == classifier.predict(table).tolist()
    np.testing.assert_allclose(
        found["probabilities"], classifier.predict_proba(table), rtol=1e-5, atol=1e-6
    )
    about = client.get("/").json()
    assert about["classes"] == ["high", "low", "middle"]
    assert about["columns"] == {
        "width": "numeric",
        "pressure": "numeric",
        "support": "categorical",
    }
    refused = client.post("/predict", json=[{"width": 1.0, "pressure": "high"}])
    assert refused.status_code == 422
    assert "lacks the columns ['support']" in refused.json()["detail"]


def test_model_that_mlflow_loads_predicts_as_python_does(
    classifier: MTCMTMClassifier,
    table: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow-skinny has no other
    monkeypatch.syspath_prepend(PROGRAMS)
    program = importlib.import_module("track_mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    mlflow.set_experiment("test")
    loaded = mlflow.pyfunc.load_model(program.log(classifier, tmp_path))
    assert loaded.predict(table)["prediction"].tolist() == classifier.predict(table).tolist()
    (card,) = (tmp_path / "runs").rglob("card.md")
    assert card.read_text().startswith("# MTCMTMClassifier")
