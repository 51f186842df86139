"""
Log, load and serve a model by MLflow
=====================================

MLflow keeps runs with their parameters, scores and models. Here a classifier is fitted, its
held-out loss and its model card are logged, and its ONNX file is logged as a model of MLflow's
flavour ``pyfunc``, which any of MLflow's servers and batch jobs loads: it needs onnxruntime there,
and neither torch nor scikit-learn. The runs are written to a folder; nothing is sent anywhere.

``python examples/track_mlflow.py`` needs ``pip install 'tabimg[onnx]' mlflow-skinny``; it logs to a
temporary folder, or to the tracking server that ``MLFLOW_TRACKING_URI`` names. The model that it
logs is served by ``mlflow models serve --model-uri ADDRESS --env-manager local``, with the address
that it prints (and ``pip install mlflow``).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

import tabimg
from tabimg import MTCMTMClassifier, serving
from tabimg.datasets import make_cars
from tabimg.export import to_onnx


class ServedByTabimg(PythonModel):
    """An exported file as MLflow loads it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the file that was logged with the model."""
        self.model = serving.load(context.artifacts["onnx"], n_threads=1)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None
    ) -> pd.DataFrame:
        """Predict the label of each row, and the probability of each class."""
        probabilities = self.model.predict_proba(model_input)
        frame = pd.DataFrame(probabilities, columns=list(map(str, self.model.classes_)))
        return frame.assign(prediction=self.model.classes_[np.argmax(probabilities, axis=1)])


def log(classifier: MTCMTMClassifier, folder: Path) -> str:
    """Log parameters, losses, card and model; return the address of the model."""
    tabimg.save(classifier, folder / "saved")
    to_onnx(classifier, folder / "model.onnx")
    with mlflow.start_run():
        parameters = classifier.get_params(deep=False)
        mlflow.log_params({name: str(value)[:200] for name, value in parameters.items()})
        mlflow.log_metrics({f"seconds {k}": v for k, v in classifier.report_.seconds.items()})
        if classifier.validation_losses_:
            mlflow.log_metric("held-out loss", classifier.report_.loss)
        mlflow.log_artifact(str(folder / "saved" / "card.md"))
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=ServedByTabimg(),
            artifacts={"onnx": str(folder / "model.onnx")},
            pip_requirements=["tabimg[serve]"],
        )
    return logged.model_uri


def main() -> None:
    cars = make_cars(n_samples=300, n_classes=3, image_size=32, random_state=0)
    table = cars.data.drop(columns=cars.image_column)
    classifier = MTCMTMClassifier(finetune="full", max_epochs=3, random_state=0)
    classifier.fit(table[:200], cars.target[:200])
    with tempfile.TemporaryDirectory() as folder:
        if "MLFLOW_TRACKING_URI" not in os.environ:
            # Plain files, which mlflow-skinny can write and MLflow asks to be allowed.
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
            mlflow.set_tracking_uri(Path(folder, "runs").as_uri())
        mlflow.set_experiment("cars")
        address = log(classifier, Path(folder))
        loaded = mlflow.pyfunc.load_model(address)
        predicted = loaded.predict(table[200:])
    same = (predicted["prediction"].to_numpy() == classifier.predict(table[200:])).mean()
    print(f"logged and loaded as {address}")
    print(f"{same:.1%} of the labels are those of Python")


if __name__ == "__main__":
    main()
