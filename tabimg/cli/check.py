"""``tabimg check``: what a table and its photos look like, in seconds."""

from __future__ import annotations

from typing import Any

from tabimg.cli import options
from tabimg.cli.console import answer, guarded, say
from tabimg.cli.data import Data, Source, load, say_understood
from tabimg.cli.wording import in_options
from tabimg.evaluation import DataCheck, check_data


def check(
    table: options.Table,
    images: options.Images = None,
    target: options.MaybeTarget = None,
    image_column: options.ImageColumn = None,
    key_column: options.KeyColumn = None,
    groups: options.Groups = None,
    categorical: options.Categorical = None,
    dates: options.Dates = None,
    drop: options.Drop = None,
    task: options.Task = "auto",
    format: options.Format = "csv",
    jobs: options.Jobs = -1,
    as_json: options.AsJson = False,
    config: options.Config = None,
) -> None:
    """Look at a table and its photos: columns, missing cells, photos, suspected leaks."""
    with guarded():
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
            on_missing="empty",
            format=format,
        )
        data = load(source)
        say_understood(data)
        found = look(data, jobs)
        answer(as_dict(found, data), as_json, in_options(str(found)))
        say_missing(data)


def look(data: Data, jobs: int) -> DataCheck:
    """Look at the data as `check_data` does."""
    return check_data(
        data.frame,
        data.target,
        image_column=data.image_column or None,
        group_column=data.source.groups,
        task=data.task,
        n_jobs=jobs,
    )


def as_dict(found: DataCheck, data: Data) -> dict[str, Any]:
    """Return what was found as plain values, with what the folder of photos showed."""
    return {
        **found.to_dict(),
        "notes": [in_options(note) for note in found.notes],
        "understood": data.understood,
        "n_missing": len(data.missing_photos),
        "n_unused_photos": data.n_unused,
    }


def say_missing(data: Data) -> None:
    """Name the first photos that do not exist."""
    missing = data.missing_photos
    if len(missing):
        first = ", ".join(
            f"row {row}: {photo}" for row, photo in missing[["row", "photo"]].head(3).to_numpy()
        )
        say(f"note: {len(missing)} photos do not exist, such as {first}")
