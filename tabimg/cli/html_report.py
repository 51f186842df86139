"""``tabimg report``: what a saved model learned, in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from tabimg.cli import models, options
from tabimg.cli.console import answer, guarded, say
from tabimg.cli.data import table_path
from tabimg.cli.predict import Model, columns_of
from tabimg.cli.streams import read_parts, select_columns, text_columns_of
from tabimg.inspection import write_report

Out = Annotated[Path, typer.Option("--output", "-o", help="The HTML file, replaced as a whole.")]
Examples = Annotated[
    bool, typer.Option("--examples", help="Also show some rows and photos of the table.")
]


def report(
    model: Model,
    table: options.Table,
    target: options.MaybeTarget = None,
    images: options.Images = None,
    output: Out = Path("report.html"),
    examples: Examples = False,
    seed: options.Seed = 0,
    format: options.Format = "csv",
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Write what a model learned, and its scores on rows that it was not fitted on, as HTML."""
    with guarded():
        estimator, about = models.load_model(model)
        target = target or about.target
        if target is None:
            raise typer.BadParameter("say which column is the target: --target")
        text = text_columns_of(getattr(estimator, "codec_", None))
        if hasattr(estimator, "classes_") and estimator.classes_.dtype.kind in "OUT":
            text = [*text, target]
        with table_path(table, format) as source:
            frame = pd.concat(list(read_parts(source, text, about.dates)))
        known = select_columns(frame, [target], {})[target].notna()
        if not known.all():
            say(f"note: {int((~known).sum())} rows without a target are left out")
        frame = frame[known]
        y = frame[target].to_numpy()
        photos = _photos(frame, about.image_column, images)
        needed = columns_of(estimator)
        rows = frame.drop(columns=target) if needed is None else select_columns(frame, needed, {})
        title = f"{target}: what the model learned"
        if about.log_target:
            y, title = np.log1p(y), f"log(1 + {target}): what the model learned"
        path = write_report(
            estimator,
            output,
            rows.assign(**photos),
            y,
            include_examples=examples,
            title=title,
            random_state=seed,
        )
        answer({"rows": len(y), "output": str(path)}, as_json, f"report of {len(y)} rows: {path}")


def _photos(
    frame: pd.DataFrame, columns: Sequence[str], folder: str | None
) -> dict[str, list[str]]:
    """Find the photos of rows in a folder; rows may have none."""
    if folder is None:
        return {}
    absent = [name for name in columns if name not in frame.columns]
    if absent or not columns:
        raise ValueError(
            f"--images needs the columns that name photos, {list(columns)}, in the table"
        )
    found = {name: [_path(Path(folder), cell) for cell in frame[name].tolist()] for name in columns}
    n_missing = sum(not path for paths in found.values() for path in paths)
    if n_missing:
        say(f"note: {n_missing} photos do not exist")
    return found


def _path(folder: Path, cell: object) -> str:
    path = (folder / str(cell)).absolute()
    return str(path) if path.is_file() else ""
