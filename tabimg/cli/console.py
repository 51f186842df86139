"""What users see: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import typer
from rich.console import Console

from tabimg.cli.wording import in_options

USAGE, BAD_DATA, INTERRUPTED = 2, 1, 130
# Errors that speak of what was given; others are faults of the program, and show where.
_EXPECTED = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    MemoryError,
    ArithmeticError,
    RuntimeError,
)

notes = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def say(text: str) -> None:
    """Print a line on standard error."""
    notes.print(text)


def answer(found: Any, as_json: bool, text: str) -> None:
    """Print a result on standard output, as one JSON object or as text."""
    print(json.dumps(plain(found), ensure_ascii=False) if as_json else text, flush=True)


def plain(value: Any) -> Any:
    """Turn a result into what JSON can hold; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


@contextlib.contextmanager
def guarded(resumes: bool = False) -> Iterator[None]:
    """Turn errors into one clear line and an exit code.

    Parameters
    ----------
    resumes : bool, default=False
        Whether the same command goes on where it was interrupted.

    Raises
    ------
    typer.Exit
        With 1 for data that cannot be used, 130 after Ctrl-C.
    """
    try:
        with _notes_of_warnings():
            yield
    except KeyboardInterrupt:
        more = ": the same command goes on from here" if resumes else ""
        say(f"interrupted{more}")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of standard output, such as `head`, wants no more.
        sys.stderr.close()
        raise typer.Exit(BAD_DATA) from None
    except (typer.Exit, typer.Abort):
        raise
    except _EXPECTED as error:
        say(f"error: {in_options(str(error)) or type(error).__name__}")
        raise typer.Exit(BAD_DATA) from None


@contextlib.contextmanager
def _notes_of_warnings() -> Iterator[None]:
    """Show each of the package's warnings once, as a note; others are not for users."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        text = in_options(str(message))
        if issubclass(category, UserWarning) and text not in seen:
            seen.add(text)
            say(f"note: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def prints_as_notes() -> Iterator[None]:
    """Let what the package prints of its progress go to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


Say = Callable[[str], None]
