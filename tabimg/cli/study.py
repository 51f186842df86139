"""``tabimg study``: from a table and a folder of photos to an answer, and to a model."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from tabimg import __version__
from tabimg.cli import options, training
from tabimg.cli.check import look
from tabimg.cli.console import answer, guarded, prints_as_notes, say
from tabimg.cli.data import Data, Source, load, say_understood
from tabimg.cli.models import MODEL, save_model
from tabimg.cli.progress import stage
from tabimg.cli.report import Findings, write_report
from tabimg.cli.run_file import write_config
from tabimg.cli.schedule import Schedule, plan
from tabimg.cli.wording import in_options
from tabimg.cli.work import Work
from tabimg.evaluation import StudyResult, ablation_study, photo_value
from tabimg.evaluation.metrics import check_metric
from tabimg.persistence import load as load_saved

RESULTS = "study"
# The share of the rows from which on a class is so frequent that accuracy says little.
FREQUENT = 0.7
VALUE_FRACTIONS = (0.1, 0.3)

Budget = Annotated[
    list[float] | None,
    typer.Option(
        "--budget",
        help="The share of the labels that models may use, such as 0.1; may be repeated. By "
        "default some and all of them.",
        min=0.0,
        max=1.0,
        rich_help_panel=options.RUN,
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        help="r2, relative_mse or mae; accuracy, balanced_accuracy, auc or log_loss.",
        rich_help_panel=options.RUN,
    ),
]
StudyLimit = Annotated[
    float,
    typer.Option("--time-limit", help="Seconds, about.", min=10, rich_help_panel=options.RUN),
]


def study(
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
    budget: Budget = None,
    metric: Metric = None,
    time_limit: StudyLimit = 600.0,
    jobs: options.Jobs = -1,
    seed: options.Seed = 0,
    format: options.Format = "csv",
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Do photos pay? Check the data, measure, compare on held-out rows, and save the best use.

    Without photos (no --images) models of the table are compared, and one is saved.
    """
    with guarded(resumes=True):
        began = time.monotonic()
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
        if not data.image_column:
            raise ValueError(
                "a study asks what photos add, and there are none: name their folder with --images"
            )
        run = training.open_run(output)
        write_config(context, run)
        say_understood(data)
        checked = look(data, jobs)
        say(in_options(str(checked)))
        asked = _comparison(data, metric, seed, on_bad_image)
        # Not by how the paths were written: `--config` has them absolute.
        depends: list[Any] = [data.frame, data.target, data.task, log_target, groups, on_bad_image]
        depends += [budget, metric, time_limit, seed, __version__]
        work = Work.of(run, [_plain(value) for value in depends])
        kept = work.remember("plan", lambda: asdict(plan(data, asked, budget, time_limit, jobs)))
        schedule = Schedule(**kept)
        say(str(schedule))
        with stage("the photos' worth"):
            worth = work.remember("worth", lambda: _worth(data, schedule, on_bad_image, jobs, seed))
        say(worth["text"])
        with stage("comparison on held-out rows"), prints_as_notes():
            compared = _compare(data, asked, schedule, run, jobs)
        estimator = _final(data, schedule, work, seed, on_bad_image, jobs)
        seconds = time.monotonic() - began
        found = Findings(data, checked, worth, compared, estimator, run, seconds)
        path = write_report(found)
        text = [compared.to_markdown(), *found.sentences(), f"report: {path}"]
        text.append(f"model: {run / MODEL}; next: tabimg predict {run} NEW.csv -o predictions.csv")
        answer(found.to_dict(), as_json, "\n".join(text))


def _comparison(data: Data, metric: str | None, seed: int, on_bad_image: str) -> dict[str, Any]:
    """The arguments of `ablation_study` that the options decide."""
    if metric is None:
        metric = "r2"
        if data.task == "classification":
            shares = data.y.value_counts(normalize=True)
            metric = "auc" if shares.iloc[0] > FREQUENT else "accuracy"
    pretrainer = training.make_pretrainer(data, seed, on_bad_image)
    estimator = training.make_estimator(data, seed)
    asked: dict[str, Any] = {
        "image_column": data.image_column,
        "group_column": data.source.groups,
        "task": data.task,
        "metric": check_metric(metric, data.task),
        "pretrainer": pretrainer,
        "estimator": estimator,
        "methods": ("scratch", "mt_cmtm"),
        "random_state": seed,
    }
    if data.unlabeled is not None:
        # Rows without a target cannot be tested on, but teach every fold.
        taught = {"mt_cmtm": (pretrainer, estimator, data.unlabeled)}
        asked |= {"methods": ("scratch",), "extra_methods": taught}
    return asked


def _worth(
    data: Data, schedule: Schedule, on_bad_image: str, jobs: int, seed: int
) -> dict[str, Any]:
    """Measure the photos' worth on a part of the rows, whole groups of them."""
    rows = _some_rows(data, schedule.value_rows, seed)
    small = [budget for budget in schedule.budgets if budget < 1]
    value = photo_value(
        data.X.iloc[rows].reset_index(drop=True),
        data.y.iloc[rows].reset_index(drop=True),
        image_column=data.image_column,
        on_bad_image=on_bad_image,
        group_column=data.source.groups,
        task=data.task,
        label_fractions=tuple(sorted({*small, VALUE_FRACTIONS[1]})) if small else VALUE_FRACTIONS,
        n_jobs=jobs,
        random_state=seed,
    )
    return {
        "text": str(value),
        "verdict": value.verdict,
        "explanation": value.explanation,
        "figures": value.to_frame().to_dict(orient="records"),
    }


def _some_rows(data: Data, n_rows: int, seed: int) -> np.ndarray:
    """Draw whole groups until there are enough rows; positions in order."""
    groups = np.arange(len(data.X))
    if data.source.groups is not None:
        column = data.X[data.source.groups]
        numbers = pd.factorize(column)[0]
        groups = np.where(numbers < 0, len(column) + np.arange(len(column)), numbers)
    drawn = np.random.default_rng(seed).permutation(np.unique(groups))
    sizes = pd.Series(groups).value_counts().loc[drawn].cumsum().to_numpy()
    kept = drawn[: int(np.searchsorted(sizes, n_rows)) + 1]
    return np.flatnonzero(np.isin(groups, kept))


def _compare(
    data: Data, asked: dict[str, Any], schedule: Schedule, run: Path, jobs: int
) -> StudyResult:
    for name in ("pretrainer", "estimator"):
        asked[name].set_params(time_limit=schedule.fit_limit)
    return ablation_study(
        data.X,
        data.y,
        **asked,
        label_fractions=schedule.budgets,
        n_folds=5,
        folds=list(range(schedule.n_folds)),
        n_draws=1,
        results_dir=run / RESULTS,
        n_jobs=jobs,
        verbose=1,
    )


def _final(
    data: Data, schedule: Schedule, work: Work, seed: int, on_bad_image: str, jobs: int
) -> Any:
    """Train on all rows and save, unless this run has done so before."""
    run = work.run

    def train() -> dict[str, Any]:
        pretrainer = training.make_pretrainer(data, seed, on_bad_image, jobs)
        estimator = training.make_estimator(data, seed, pretrainer)
        training.with_limits(estimator, schedule.final_limit, run)
        with stage("the model, on all rows"):
            training.fit(estimator, data)
        save_model(estimator, training.about(data), run)
        return {"model": MODEL}

    if not (run / MODEL).is_dir():
        work.place("model").unlink(missing_ok=True)
    work.remember("model", train)
    return load_saved(run / MODEL)


def _plain(value: Any) -> Any:
    return value.to_dict(orient="list") if isinstance(value, pd.DataFrame) else value
