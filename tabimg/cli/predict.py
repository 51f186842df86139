"""``tabimg predict``: predictions of any number of rows, from the table alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from sklearn.base import is_classifier

from tabimg.cli import models, options
from tabimg.cli.console import answer, guarded, say
from tabimg.cli.data import table_path
from tabimg.cli.models import About
from tabimg.cli.streams import read_parts, select_columns, text_columns_of, writing

PREDICTION, PROBABILITY = "prediction", "probability_"

Model = Annotated[
    Path,
    typer.Argument(help="The folder of `tabimg fit` or `tabimg study`, or a saved estimator."),
]
Out = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        help="CSV, TSV, Parquet or Arrow file, replaced as a whole; - is standard output.",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", help="A column to copy beside the prediction; may be repeated."),
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Also write the probability of each class.")
]


def predict(
    model: Model,
    table: options.Table,
    output: Out = "-",
    keep: Keep = None,
    probabilities: Probabilities = False,
    format: options.Format = "csv",
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Predict the rows of a table; photos are not needed, and rows are read part by part."""
    with guarded():
        estimator, about = models.load_model(model)
        if not hasattr(estimator, "predict"):
            raise ValueError(f"{model} is a pretrainer: fit a model on it, `tabimg fit`")
        if probabilities and not is_classifier(estimator):
            raise ValueError("--probabilities is for classes, and this model predicts numbers")
        n_rows = 0
        needed = columns_of(estimator)
        text = text_columns_of(getattr(estimator, "codec_", None))
        # What is only copied stays as it is written.
        copied = [name for name in keep or [] if needed is not None and name not in needed]
        with table_path(table, format) as path, writing(output) as write:
            for part in read_parts(path, [*text, *copied], about.dates):
                rows = part if needed is None else select_columns(part, needed, {})
                write(_predictions(estimator, about, part, rows, keep or [], probabilities))
                n_rows += len(part)
        if n_rows == 0:
            raise ValueError(f"{table} has no row to predict")
        told = f"{n_rows} rows predicted"
        if output == "-":
            say(told)
        else:
            answer({"rows": n_rows, "output": output}, as_json, f"{told}, in {output}")


def columns_of(estimator: Any) -> Sequence[Any] | None:
    """List the columns that a model needs; None where it takes any."""
    if type(estimator).__name__.startswith("CITab"):
        return None
    return list(getattr(estimator, "feature_names_in_", ())) or None


def _predictions(
    estimator: Any,
    about: About,
    part: pd.DataFrame,
    rows: pd.DataFrame,
    keep: Sequence[str],
    probabilities: bool,
) -> pd.DataFrame:
    found = select_columns(part, keep, {}).copy() if keep else pd.DataFrame(index=part.index)
    found[PREDICTION] = models.predict(estimator, about, rows)
    if probabilities:
        for label, column in zip(estimator.classes_, estimator.predict_proba(rows).T, strict=True):
            found[f"{PROBABILITY}{label}"] = column
    sys.stdout.flush()
    return found
