"""
Serve a model by HTTP, without torch
====================================

A classifier is fitted, exported as ONNX and served by FastAPI. The server loads the file by
onnxruntime: neither torch nor scikit-learn is needed where it runs. Rows come and go as JSON; a
cell or a column that does not fit is answered with a message that names it.

``python examples/serve_fastapi.py`` fits a model of generated cars, starts the server in a process
of its own, asks it for predictions by HTTP, compares them with Python's, and prints the rate. To
serve a file of your own, and nothing else::

    TABIMG_MODEL=model.onnx uvicorn serve_fastapi:app --app-dir examples

It needs ``pip install 'tabimg[onnx]' fastapi uvicorn httpx``, and half a minute.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException

from tabimg import serving

HERE = Path(__file__).resolve()
N_REQUESTS, N_ROWS = 200, 1_000


# The server -----------------------------------------------------------------------------------


@asynccontextmanager
async def load_model(app: FastAPI) -> Any:
    """Load the file once, when the server starts."""
    app.state.model = serving.load(os.environ["TABIMG_MODEL"], n_threads=1)
    yield


app = FastAPI(lifespan=load_model)


@app.get("/")
def describe() -> dict[str, Any]:
    """Say what the model needs and gives."""
    about = app.state.model.description
    columns = {str(each.name): each.kind for each in about.features}
    return {"estimator": about.estimator, "columns": columns, "classes": about.classes}


@app.post("/predict")
def predict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Predict rows, each a mapping of column to cell; null is a missing cell."""
    model = app.state.model
    names = dict.fromkeys(name for row in rows for name in row)
    try:
        table = {name: [row.get(name) for row in rows] for name in names}
        if model.description.classes is None:
            return {"prediction": model.predict(table).tolist()}
        probabilities = model.predict_proba(table)
    except (TypeError, ValueError) as error:
        raise HTTPException(status_code=422, detail=str(error)) from error
    labels = model.classes_[np.argmax(probabilities, axis=1)]
    return {"prediction": labels.tolist(), "probabilities": probabilities.tolist()}


# The demonstration ----------------------------------------------------------------------------


def fit_and_export(path: Path) -> tuple[Any, Any]:
    """Fit cars by their columns; return the classifier and rows to predict."""
    from tabimg import MTCMTMClassifier
    from tabimg.datasets import make_cars
    from tabimg.export import to_onnx

    cars = make_cars(n_samples=1_400, n_classes=5, image_size=32, random_state=0)
    table = cars.data.drop(columns=cars.image_column)
    classifier = MTCMTMClassifier(finetune="full", max_epochs=5, random_state=0)
    classifier.fit(table[:400], cars.target[:400])
    to_onnx(classifier, path)
    return classifier, table[400:].reset_index(drop=True)


@contextmanager
def running_server(model: Path) -> Iterator[str]:
    """Serve a file by uvicorn in another process; gives the address, and stops it at the end."""
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"{HERE.stem}:app", "--app-dir", str(HERE.parent)]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "warning"],
        env={**os.environ, "TABIMG_MODEL": str(model)},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.get(address).raise_for_status()
                break
            except httpx.HTTPError:
                if server.poll() is not None:
                    raise RuntimeError("the server stopped; see its message above") from None
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def main() -> None:
    import httpx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cars.onnx"
        classifier, table = fit_and_export(path)
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        with running_server(path) as address, httpx.Client(base_url=address) as client:
            began = time.perf_counter()
            for row in rows[:N_REQUESTS]:
                client.post("/predict", json=[row]).raise_for_status()
            one = N_REQUESTS / (time.perf_counter() - began)
            began = time.perf_counter()
            answer = client.post("/predict", json=rows[:N_ROWS], timeout=60.0).json()
            many = len(rows[:N_ROWS]) / (time.perf_counter() - began)
            refused = client.post("/predict", json=[{"mileage": 12_000}])
    same = (np.array(answer["prediction"]) == classifier.predict(table[:N_ROWS])).mean()
    print(f"{one:,.0f} requests of one row a second, from one client")
    print(f"{many:,.0f} rows a second in one request of {len(rows[:N_ROWS]):,}")
    print(f"{same:.1%} of the labels are those of Python")
    print(f"a row without its columns: {refused.status_code}, {refused.json()['detail']}")


if __name__ == "__main__":
    main()
