"""Stages of a long command that are not computed again when it is repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from tabimg.cli.console import plain
from tabimg.cli.run_file import write_text

FOLDER = "work"


@dataclass(frozen=True)
class Work:
    """The results of stages, as JSON files in the folder of a run.

    Parameters
    ----------
    run : Path
    key : str
        A digest of everything that the stages depend on.
    """

    run: Path
    key: str

    @classmethod
    def of(cls, run: Path, depends: Any) -> Work:
        """Open the stages of a run that depend on some values and frames."""
        (run / FOLDER).mkdir(exist_ok=True)
        return cls(run, joblib.hash(depends))

    def place(self, name: str) -> Path:
        """Return where a stage is kept."""
        return self.run / FOLDER / f"{name}-{self.key}.json"

    def remember(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the result of a stage: the one that is there, or a new one."""
        place = self.place(name)
        if not place.is_file():
            write_text(place, json.dumps(plain(compute()), ensure_ascii=False))
        return json.loads(place.read_text("utf-8"))
