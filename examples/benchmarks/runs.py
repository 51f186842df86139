"""What the benchmark programs share: command line, the places of results, a resumable run.

Finished cells and encoders are kept in a work folder outside the history. The tidy tables of scores
are committed beside the pages, one CSV a set with a JSON file that holds the configuration, and a
run resumes from either.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from sets import SETS, DataSet, Loaded, find_folder, load

import tabimg
from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer
from tabimg.evaluation import StudyResult
from tabimg.evaluation.study.cells import CellStore, write_text

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("numpy", "pandas", "scikit-learn", "torch", "skorch")
QUICK_ROWS = 300
# The parts of the package that decide what a fit gives.
FITTING = (
    "table",
    "headers",
    "image",
    "nn",
    "objectives",
    "training",
    "inputs",
    "estimators",
)


@dataclass(frozen=True)
class Bench:
    """One call of a benchmark program.

    Parameters
    ----------
    sets : list of DataSet
        Those that were asked for.
    jobs : int
        Processes.
    quick : bool
        Only see that it runs; the figures mean nothing and go to the work folder.
    fresh : bool
        Take nothing over from the committed results.
    only_page : bool
        Compute nothing.
    work : Path
        Cells and encoders.
    docs : Path
        Pages, with ``results`` and ``figures`` beside.
    """

    sets: list[DataSet]
    jobs: int
    quick: bool
    fresh: bool
    only_page: bool
    work: Path
    docs: Path

    def file(self, stem: str, suffix: str = ".csv") -> Path:
        """Give the place of a table of scores, or of its configuration (".json")."""
        return self.docs / "results" / f"{stem}{suffix}"

    def prototypes(self, data: DataSet, **changes: Any) -> dict[str, Any]:
        """Give the unfitted pretrainer and estimator: the defaults, and what is declared.

        Parameters
        ----------
        data : DataSet
        **changes
            Parameters of the pretrainer, for programs that say so on their page.
        """
        own = MTCMTMClassifier if data.task == "classification" else MTCMTMRegressor
        pretrainer = MultiModalPretrainer(augmentation=data.augmentation, **changes)
        estimator = own()
        if self.quick:
            pretrainer.set_params(max_epochs=1)
            estimator.set_params(max_epochs=1)
        return {"pretrainer": pretrainer, "estimator": estimator}

    def at_hand(
        self, generated: Mapping[str, Callable[[], Loaded]] | None = None
    ) -> list[tuple[DataSet, Loaded]]:
        """Read, or generate, the sets that are to be run; say which are not there."""
        found = []
        for data in [] if self.only_page else self.sets:
            folder = find_folder(data.name)
            if data.name in (generated or {}):
                rows = generated[data.name]()
            elif folder is not None:
                rows = load(data, folder)
            else:
                print(f"{data.name}: not found, TABIMG_DATA names no folder that holds it")
                continue
            found.append((data, rows.sample(QUICK_ROWS) if self.quick else rows))
        return found

    def run(self, stem: str, name: str, study: Any, **parameters: Any) -> StudyResult:
        """Run a study from where it stopped.

        Parameters
        ----------
        stem : str
            Of the committed table of scores to resume from, as for `file`.
        name : str
            Of the work folder; studies that share their encoders share it.
        study : callable
            Of `tabimg.evaluation`.
        **parameters
            What it is called with, beside ``results_dir``, ``n_jobs`` and ``verbose``.
        """
        folder = self.work / name
        if not self.fresh and self.file(stem).exists():
            if (read_settings(self, stem) or {}).get("code") != [code_digest()]:
                print(f"{stem}: resumes results of another state of the code; see --fresh")
            CellStore(folder).take_over(self.file(stem))
        print(f"{stem} ...", flush=True)
        return study(results_dir=folder, n_jobs=self.jobs, verbose=1, **parameters)


def make_parser(description: str, sets: Sequence[str] = tuple(SETS)) -> argparse.ArgumentParser:
    """Make the command line that all benchmark programs have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sets", nargs="+", choices=sets, default=list(sets), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="processes, on one thread each")
    parser.add_argument("--quick", action="store_true", help="does it run? One fold of 300 rows")
    parser.add_argument("--page", action="store_true", help="write the page only, from the tables")
    parser.add_argument("--work", type=Path, default=ROOT / ".benchmarks", help="cells, encoders")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="take nothing over from the committed tables; after a change of the code, with "
        "another --work",
    )
    return parser


def begin(given: argparse.Namespace, sets: Mapping[str, DataSet] = SETS) -> Bench:
    """Turn a parsed command line into places and choices; a quick run starts from nothing."""
    chosen = [sets[name] for name in given.sets]
    work, docs = given.work, ROOT / "docs" / "benchmarks"
    if given.quick:
        work = work / "quick"
        docs = work / "docs"
        shutil.rmtree(work, ignore_errors=True)
    return Bench(chosen, given.jobs, given.quick, given.fresh, given.page, work, docs)


def keep_results(
    bench: Bench, stem: str, scores: pd.DataFrame, settings: Mapping[str, Any]
) -> None:
    """Write a tidy table of scores, and how it came about; nothing where nothing has changed."""
    path, note = bench.file(stem), bench.file(stem, ".json")
    known = read_scores(bench, stem)
    earlier = pd.Series(dtype=str) if known is None else known["fingerprint"]
    if note.exists() and set(earlier) == set(scores["fingerprint"]):
        return
    codes = {code_digest()}
    if earlier.isin(scores["fingerprint"]).any():
        codes |= set((read_settings(bench, stem) or {}).get("code", []))
    write_text(path, scores.to_csv(index=False, lineterminator="\n"))
    content = {
        "settings": dict(settings),
        "versions": {
            "python": platform.python_version(),
            "tabimg": tabimg.__version__,
            **{name: version(name) for name in PACKAGES},
        },
        "code": sorted(codes),
        "processes": bench.jobs,
        "threads_a_process": 1,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    write_text(note, json.dumps(content, indent=1) + "\n")


def read_settings(bench: Bench, stem: str) -> dict[str, Any] | None:
    """Read how a table of scores came about; None where there is none."""
    note = bench.file(stem, ".json")
    return json.loads(note.read_text(encoding="utf-8")) if note.exists() else None


def read_scores(bench: Bench, stem: str) -> pd.DataFrame | None:
    """Read a table of scores; None where there is none."""
    path = bench.file(stem)
    return pd.read_csv(path, dtype={"fingerprint": str}) if path.exists() else None


def code_digest() -> str:
    """Digest of the source code that decides what a fit gives; 12 hex digits."""
    package = Path(tabimg.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for room in FITTING for path in (package / room).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
