"""``tabimg evaluate``: scores of a saved model on rows whose target is known."""

from __future__ import annotations

import numpy as np
import typer
from sklearn.base import is_classifier

from tabimg.cli import models, options
from tabimg.cli.console import answer, guarded, say
from tabimg.cli.data import table_path
from tabimg.cli.predict import Model, columns_of
from tabimg.cli.streams import read_parts, select_columns, text_columns_of
from tabimg.evaluation.metrics import METRICS, score_predictions


def evaluate(
    model: Model,
    table: options.Table,
    target: options.MaybeTarget = None,
    format: options.Format = "csv",
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Score a model on rows that it was not fitted on, from the table alone."""
    with guarded():
        estimator, about = models.load_model(model)
        target = target or about.target
        if target is None:
            raise typer.BadParameter("say which column is the target: --target")
        needed, truth, parts, probabilities = columns_of(estimator), [], [], []
        text = text_columns_of(getattr(estimator, "codec_", None))
        classes = getattr(estimator, "classes_", None)
        if classes is not None and classes.dtype.kind in "OUT":
            text = [*text, target]
        n_without = 0
        with table_path(table, format) as path:
            for part in read_parts(path, text, about.dates):
                known = select_columns(part, [target], {})[target].notna()
                n_without += int((~known).sum())
                part = part[known]
                if not len(part):
                    continue
                rows = part if needed is None else select_columns(part, needed, {})
                truth.append(part[target].to_numpy())
                parts.append(models.predict(estimator, about, rows))
                if is_classifier(estimator):
                    probabilities.append(estimator.predict_proba(rows))
        if not parts:
            raise ValueError(f"no row of {table} has a target in column {target!r}")
        if n_without:
            say(f"note: {n_without} rows without a target are left out")
        known_target, predicted = np.concatenate(truth), np.concatenate(parts)
        n_rows, task = len(predicted), "classification" if probabilities else "regression"
        spread = np.concatenate(probabilities) if probabilities else None
        scores = score_predictions(task, known_target, predicted, spread, classes)
        lines = [f"{METRICS[name].label}: {value:.4f}" for name, value in scores.items()]
        answer({"rows": n_rows, **scores}, as_json, "\n".join([f"{n_rows} rows", *lines]))
