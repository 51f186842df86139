"""The commands of ``tabimg``."""

from __future__ import annotations

import typer

from tabimg import __version__
from tabimg.cli.check import check
from tabimg.cli.evaluate import evaluate
from tabimg.cli.fit import fit, pretrain
from tabimg.cli.html_report import report
from tabimg.cli.info import info
from tabimg.cli.predict import predict
from tabimg.cli.study import study

app = typer.Typer(
    name="tabimg",
    help="Teach a model of a table with photos that will not be there when it predicts.\n\n"
    "Start with `tabimg study`. Exit codes: 0 fine, 1 data that cannot be used, 2 wrong usage, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (study, check, pretrain, fit, predict, evaluate, report, info):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        print(f"tabimg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass
