"""``tabimg fit`` and ``tabimg pretrain``: train on a table with photos, and save the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabimg.cli import options, training
from tabimg.cli.console import answer, guarded
from tabimg.cli.data import Data, Source, load, say_understood
from tabimg.cli.models import MODEL, About, save_model
from tabimg.cli.progress import stage
from tabimg.cli.run_file import write_config

Pretrained = Annotated[
    Path | None,
    typer.Option(
        "--pretrained",
        help="The folder that `tabimg pretrain -o` wrote; without it the photos are learned first.",
        rich_help_panel=options.MODEL,
    ),
]


def pretrain(
    context: typer.Context,
    table: options.Table,
    output: options.Output,
    images: options.Images = None,
    image_column: options.ImageColumn = None,
    key_column: options.KeyColumn = None,
    groups: options.Groups = None,
    categorical: options.Categorical = None,
    dates: options.Dates = None,
    drop: options.Drop = None,
    on_missing: options.OnMissing = "raise",
    on_bad_image: options.OnBadImage = "raise",
    time_limit: options.TimeLimit = None,
    jobs: options.Jobs = -1,
    seed: options.Seed = 0,
    format: options.Format = "csv",
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Learn from a table and its photos, without a target. Leave the target out with --drop."""
    with guarded(resumes=True):
        source = Source(
            table=table,
            images=images,
            image_column=image_column,
            key_column=key_column,
            groups=groups,
            categorical=categorical,
            dates=dates,
            drop=drop,
            on_missing=on_missing,
            format=format,
        )
        data = load(source)
        run = training.open_run(output)
        write_config(context, run)
        say_understood(data)
        pretrainer = training.make_pretrainer(data, seed, on_bad_image, jobs)
        training.say_cost(run, pretrainer, data)
        training.with_limits(pretrainer, time_limit, run)
        with stage("pre-training"):
            pretrainer.fit(data.frame)
        last = pretrainer.history_[-1]
        save_model(pretrainer, About(image_column=data.image_column, groups=groups), run)
        found = {"model": str(run / MODEL), "epochs": len(pretrainer.history_), **last}
        answer(found, as_json, f"saved in {run / MODEL}; next: tabimg fit ... --pretrained {run}")


def fit(
    context: typer.Context,
    table: options.Table,
    target: options.Target,
    output: options.Output,
    images: options.Images = None,
    image_column: options.ImageColumn = None,
    key_column: options.KeyColumn = None,
    groups: options.Groups = None,
    categorical: options.Categorical = None,
    dates: options.Dates = None,
    drop: options.Drop = None,
    task: options.Task = "auto",
    log_target: options.LogTarget = False,
    on_missing: options.OnMissing = "raise",
    on_bad_image: options.OnBadImage = "raise",
    pretrained: Pretrained = None,
    time_limit: options.TimeLimit = None,
    jobs: options.Jobs = -1,
    seed: options.Seed = 0,
    format: options.Format = "csv",
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Train a model that predicts from the table alone. Rows without a target teach by photos."""
    with guarded(resumes=True):
        source = Source(
            table=table,
            images=images,
            target=target,
            image_column=image_column,
            key_column=key_column,
            groups=groups,
            categorical=categorical,
            dates=dates,
            drop=drop,
            task=task,
            log_target=log_target,
            on_missing=on_missing,
            format=format,
        )
        data = load(source)
        run = training.open_run(output)
        write_config(context, run)
        say_understood(data)
        estimator = _estimator(data, seed, on_bad_image, jobs, pretrained)
        training.say_cost(run, estimator, data)
        training.with_limits(estimator, time_limit, run)
        with stage("fit"):
            training.fit(estimator, data)
        save_model(estimator, training.about(data), run)
        report = estimator.report_
        found = {
            "model": str(run / MODEL),
            "task": data.task,
            "held_out_loss": report.loss,
            "held_out_loss_of_columns": report.loss_of_columns,
            "weights": estimator.weights_,
            "seconds": dict(report.seconds),
        }
        answer(found, as_json, f"{report}\nsaved in {run / MODEL}")


def _estimator(data: Data, seed: int, on_bad_image: str, jobs: int, pretrained: Path | None) -> Any:
    """Make the estimator; what teaches it are photos, a saved pretrainer, or nothing."""
    pretrainer: Any = None
    if pretrained is not None:
        pretrainer = training.load_pretrained(pretrained)
    elif data.image_column:
        pretrainer = training.make_pretrainer(data, seed, on_bad_image, jobs)
    return training.make_estimator(data, seed, pretrainer)
