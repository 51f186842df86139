"""The options that several commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tabimg.cli.run_file import load_config

DATA, MODEL, RUN = "The data", "The model", "The run"

Table = Annotated[
    str,
    typer.Argument(
        help="CSV or TSV (also compressed), Parquet, Arrow or Feather file; - is standard input.",
        show_default=False,
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format", help="Of standard input: csv, tsv, parquet or arrow.", rich_help_panel=DATA
    ),
]
Target = Annotated[
    str,
    typer.Option("--target", "-t", help="The column to predict.", rich_help_panel=DATA),
]
MaybeTarget = Annotated[
    str | None,
    typer.Option("--target", "-t", help="The column to predict.", rich_help_panel=DATA),
]
Images = Annotated[
    str | None,
    typer.Option("--images", "-i", help="The folder of photos.", rich_help_panel=DATA),
]
ImageColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--image-column",
        help="A column of file names; may be repeated. Found by the files if neither this nor "
        "--key-column is given.",
        rich_help_panel=DATA,
    ),
]
KeyColumn = Annotated[
    str | None,
    typer.Option(
        "--key-column",
        help="A column of file names without suffix, such as 0042 for 0042.jpg.",
        rich_help_panel=DATA,
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        "--groups",
        "-g",
        help="A column: rows with the same value belong together, such as visits of a patient.",
        rich_help_panel=DATA,
    ),
]
Categorical = Annotated[
    list[str] | None,
    typer.Option(
        "--categorical",
        help="A column of numbers that are names, such as postal codes; may be repeated.",
        rich_help_panel=DATA,
    ),
]
Dates = Annotated[
    list[str] | None,
    typer.Option("--dates", help="A column of dates; may be repeated.", rich_help_panel=DATA),
]
Drop = Annotated[
    list[str] | None,
    typer.Option("--drop", help="A column to leave out; may be repeated.", rich_help_panel=DATA),
]
Task = Annotated[
    str,
    typer.Option("--task", help="auto, classification or regression.", rich_help_panel=DATA),
]
LogTarget = Annotated[
    bool,
    typer.Option(
        "--log-target",
        help="Learn log(1 + target), as for prices; predictions are turned back.",
        rich_help_panel=DATA,
    ),
]
OnMissing = Annotated[
    str,
    typer.Option(
        "--on-missing",
        help="Rows whose photo does not exist: raise an error, drop the row, or leave it empty.",
        rich_help_panel=DATA,
    ),
]
OnBadImage = Annotated[
    str,
    typer.Option(
        "--on-bad-image",
        help="Photos that cannot be read: raise an error, warn, or skip them.",
        rich_help_panel=DATA,
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", help="Seconds, about.", min=1, rich_help_panel=RUN),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", help="Processes and threads; -1 is all processors.", rich_help_panel=RUN
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Equal seeds give equal results.", rich_help_panel=RUN)
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="The folder of the run; made if missing.", rich_help_panel=RUN
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print the result as one JSON object.", rich_help_panel=RUN),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A run.toml, whose options are taken where none are given here.",
        callback=load_config,
        is_eager=True,
        rich_help_panel=RUN,
    ),
]
