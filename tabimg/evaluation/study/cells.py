"""The store of finished cells, so that none is computed twice or confused with another.

A cell is one method, fitted on one draw of labels and scored on one fold. Its fingerprint covers
everything that its scores depend on, and is its name in the store.
"""

from __future__ import annotations

import csv
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pandas as pd

SCORES_FILE = "scores.csv"
CELLS_FOLDER = "cells"
TEXT_COLUMNS = ("method", "budget", "fingerprint")

Cell = dict[str, Any]


class CellStore:
    """Finished cells by fingerprint.

    Parameters
    ----------
    folder : str, Path or None
        Created when the first cell is written. Cells are read from its ``cells`` folder, one JSON
        file per cell, and from ``scores.csv``; either is enough. None reads and keeps nothing.

    Raises
    ------
    ValueError
        If a file is damaged; names it.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._cells: dict[str, Cell] = {}
        if self.folder is not None:
            self._cells |= _read_scores(self.folder / SCORES_FILE)
            self._cells |= _read_cells(self.folder / CELLS_FOLDER)

    def find(self, fingerprint: str, columns: list[str]) -> Cell | None:
        """Return the stored values of a cell, or None unless all of them are stored."""
        cell = self._cells.get(fingerprint)
        if cell is None or not set(columns) <= set(cell):
            return None
        return {name: cell[name] for name in columns}

    def take_over(self, scores: str | Path) -> None:
        """Keep the cells of a table of scores stored elsewhere, such as a committed one."""
        if self.folder is None:
            raise ValueError("a store without a folder keeps no cells")
        for fingerprint, cell in _read_scores(Path(scores)).items():
            if fingerprint not in self._cells:
                keep_cell(self.folder, cell)
                self._cells[fingerprint] = cell

    def write_scores(self, scores: pd.DataFrame) -> None:
        """Write ``scores.csv``; other cells of an earlier one are kept in ``cells``."""
        if self.folder is None:
            return
        earlier = _read_scores(self.folder / SCORES_FILE)
        for fingerprint in sorted(set(earlier) - set(scores["fingerprint"])):
            if not (self.folder / CELLS_FOLDER / f"{fingerprint}.json").exists():
                keep_cell(self.folder, earlier[fingerprint])
        write_text(self.folder / SCORES_FILE, scores.to_csv(index=False, lineterminator="\n"))


def keep_cell(folder: Path, cell: Cell) -> None:
    """Write a finished cell atomically: a killed process leaves no partial file."""
    # JSON has no NaN.
    plain = {name: None if value != value else value for name, value in cell.items()}
    path = folder / CELLS_FOLDER / f"{cell['fingerprint']}.json"
    write_text(path, json.dumps(plain, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all; its folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def _read_cells(folder: Path) -> dict[str, Cell]:
    cells = {}
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            cell = json.loads(path.read_text(encoding="utf-8"))
            cells[cell["fingerprint"]] = {
                name: float("nan") if value is None else value for name, value in cell.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is not a finished cell ({error!r}): delete it, and it is computed again"
            ) from error
    return cells


def _read_scores(path: Path) -> dict[str, Cell]:
    if not path.exists():
        return {}
    # Not with pandas: how exactly it reads decimals depends on its version.
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not all(row.get("fingerprint") for row in rows) or not rows:
        raise ValueError(
            f"{path} is not a study's table of scores: it lacks fingerprints. Move it away, or "
            "give another results_dir"
        )
    return {row["fingerprint"]: {k: _parse(k, v) for k, v in row.items()} for row in rows}


def _parse(name: str, text: str) -> Any:
    if name in TEXT_COLUMNS:
        return text
    try:
        return float(text) if text else float("nan")
    except ValueError:
        return text
