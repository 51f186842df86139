"""What goes wrong: one clear line, an exit code, and no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
COMMAND = (sys.executable, "-m", "tabimg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.csv"], "there is no file"),
        (["check", "cars.csv", "-t", "prise"], "no column 'prise'. Did you mean 'price'"),
        (["check", "cars.csv", "-i", "foto"], "there is no folder"),
        (["fit", "cars.csv", "-t", "width", "-o", "x", "--log-target"], "numbers above -1"),
        (["study", "cars.csv", "-t", "price", "-o", "x"], "name their folder with --images"),
        (["predict", ".", "cars.csv"], "tabimg fit -o"),
        (["check", "cars.csv", "-t", "price", "--task", "sorting"], "--task must be"),
    ],
)
def test_bad_data_is_one_line_and_exit_code_one(
    folder: Path, run: Run, arguments: list[str], message: str
) -> None:
    table = (folder / "cars.csv").read_text().replace("width", "width", 1).splitlines()
    (folder / "cars.csv").write_text("\n".join([*table, "-3,10115,red,0,000.png,1"]))
    found = run(*arguments, code=1)
    assert message in found.stderr.replace("\n", " ")
    assert found.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in found.output and found.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [["fit", "cars.csv"], ["study"], ["check", "cars.csv", "--no-such-option"], ["nothing"]],
)
def test_wrong_usage_is_exit_code_two(folder: Path, run: Run, arguments: list[str]) -> None:
    assert "Usage" in run(*arguments, code=2).output


def test_run_file_of_another_command_or_with_unknown_options_is_refused(
    folder: Path, run: Run
) -> None:
    (folder / "run.toml").write_text('command = "fit"\ntable = "cars.csv"\n')
    assert "not of" in run("check", "--config", "run.toml", code=2).output
    (folder / "run.toml").write_text("tables = 3\n")
    assert "tables" in run("check", "--config", "run.toml", code=2).output


def test_folder_with_other_files_is_not_written_to(folder: Path, run: Run) -> None:
    found = run("fit", "cars.csv", "-t", "price", "-o", "photos", code=1)
    assert "give a new folder with -o" in found.stderr
    assert not (folder / "photos" / "run.toml").exists()


def test_import_of_package_loads_neither_typer_nor_rich() -> None:
    # Other libraries load rich if it is there: with `tabimg.evaluation` it is not ours to say.
    script = (
        "import sys, tabimg; print({'typer', 'rich'} & set(sys.modules));"
        "import tabimg.evaluation; print({'typer', 'tabimg.cli'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.split() == ["set()", "set()"]


def test_without_the_extra_the_script_says_how_to_install_it() -> None:
    script = "import sys; sys.modules['typer'] = None; from tabimg.cli import main; main()"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.returncode == 1
    assert "pip install 'tabimg[cli]'" in found.stderr and "Traceback" not in found.stderr


@pytest.mark.slow
def test_interrupted_run_exits_with_130_and_goes_on_when_repeated(folder: Path) -> None:
    arguments = ("pretrain", "cars.csv", "-i", "photos", "-o", "run", "--drop", "price")
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not list(folder.glob("run/checkpoints/fit-*/stage-*")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "interrupted: the same command goes on from here"
    again = subprocess.run(
        [*COMMAND, "pretrain", "--config", "run/run.toml", "--time-limit", "1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    assert "going on with the fit that was interrupted" in again.stderr
    assert list((folder / "run" / "checkpoints").iterdir()) == []
