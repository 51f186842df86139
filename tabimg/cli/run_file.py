"""``run.toml``: the options of a run, which repeat it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from tabimg import __version__

NAME = "run.toml"
# Written into the file beside the options.
HEADER = ("command", "tabimg")
# What says where the options are, or how to print, is no part of a run.
_NOT_KEPT = {"config", "as_json"}
_PATHS = {"table", "images", "output", "pretrained", "model"}


def read_config(path: Path, command: str) -> dict[str, Any]:
    """Read the options of a run.

    Raises
    ------
    typer.BadParameter
        If the file is missing, not TOML, or of another command.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pragma: no cover
        import tomli as tomllib
    try:
        options = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"cannot read {path}: {error}") from None
    found = options.pop("command", command)
    options.pop("tabimg", None)
    if found != command:
        raise typer.BadParameter(f"{path} is of `tabimg {found}`, not of `tabimg {command}`")
    return options


def load_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take a file's options as defaults; those of the command line go first.

    Raises
    ------
    typer.BadParameter
        If the file has an option that the command lacks.
    """
    if path is not None:
        options = read_config(path, str(context.info_name))
        known = {parameter.name for parameter in context.command.params}
        unknown = sorted(set(options) - known)
        if unknown:
            raise typer.BadParameter(f"{path}: there is no option {unknown[0]!r}")
        context.default_map = {**(context.default_map or {}), **options}
    return path


def write_config(context: typer.Context, folder: Path) -> None:
    """Write the options of this run into its folder."""
    options = {
        name: _absolute(value) if name in _PATHS else value
        for name, value in context.params.items()
        if name not in _NOT_KEPT and value not in (None, [], ())
    }
    command = str(context.info_name)
    lines = [
        f"# `tabimg {command} --config {NAME}` repeats this run.",
        *_lines({"command": command, "tabimg": __version__, **options}),
    ]
    write_text(folder / NAME, "\n".join(lines) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(text, "utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def to_toml(values: Mapping[str, Any]) -> str:
    """Write plain values as TOML."""
    return "\n".join(_lines(values)) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in values.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    # A basic string of TOML is one of JSON, but for the character DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _absolute(value: Any) -> Any:
    return value if str(value) == "-" else os.path.abspath(os.path.expanduser(str(value)))
