"""Searches in several processes: pre-trainings shared, threads counted, and the scores of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SECONDS = 300


def run(case: str, folder: Path, **environment: str) -> dict[str, Any]:
    """Run a case of `run_search` in a process of its own; it is told of no number of threads."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    script = (
        "import run_search\n"
        f"if __name__ == '__main__': run_search.main({case!r}, {str(folder)!r})\n"
    )
    program = folder / "program.py"
    program.write_text(script)
    subprocess.run(
        [sys.executable, str(program)],
        check=True,
        timeout=SECONDS,
        env={**kept, **environment, "PYTHONPATH": os.pathsep.join(paths)},
    )
    return json.loads((folder / "found.json").read_text())


def test_grid_in_two_processes_pretrains_once_per_training_set(tmp_path: Path) -> None:
    found = run("shared_memory", tmp_path)
    # Both points of the grid begin at once: the second waits for the pre-training of the first.
    assert found["reads"] == 12
    assert found["workers"] == 1
    assert found["threads"] <= max(1, (os.cpu_count() or 1) // 2)
    assert found["scores"][0] != found["scores"][1]


def test_dask_workers_give_the_scores_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    # Dask gives each worker one thread, and equal bits take equal numbers.
    found = run("dask", tmp_path, OMP_NUM_THREADS="1")
    assert found["together"] == found["alone"]
    assert found["workers"] == 2
    assert found["alone"][0][0] != found["alone"][0][1]
