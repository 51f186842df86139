"""Fits that are killed at random moments: nothing is lost, nothing is left, nothing is changed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tabimg

pytestmark = pytest.mark.nightly
N_KILLS = 60
# Pre-training with vectors for photos, a blend of four networks, and a save over an earlier one.
FIT = """
import sys, time
import numpy as np, pandas as pd
from tabimg import MTCMTMRegressor, MultiModalPretrainer, save
print("ready", flush=True)
began = time.monotonic()
checkpoints, out = sys.argv[1:]
rng = np.random.default_rng(0)
table = pd.DataFrame({"a": rng.normal(size=40), "b": rng.choice(list("xyz"), 40)})
small = {"tabular_encoder": "mlp", "embedding_dim": 8, "batch_size": 16, "random_state": 0}
frame = table.assign(photo=list(rng.normal(size=(40, 6))))
pretrainer = MultiModalPretrainer(image_column="photo", projection_dim=8, max_epochs=6, **small)
model = MTCMTMRegressor(pretrainer, max_epochs=6, checkpoint_dir=checkpoints, **small)
model.fit(frame, table["a"].to_numpy() * 2 + rng.normal(size=40))
save(model, out + "/model")
np.save(out + "/predictions.npy", model.predict(table))
print(time.monotonic() - began, flush=True)
"""


def start(checkpoints: Path, out: Path) -> subprocess.Popen[str]:
    """Start a fit and wait until it has imported everything."""
    command = [sys.executable, "-c", FIT, str(checkpoints), str(out)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    return run


def test_killed_fits_end_as_if_never_killed(tmp_path: Path) -> None:
    checkpoints, whole, out = (tmp_path / name for name in ("checkpoints", "whole", "out"))
    for folder in (whole, out):
        folder.mkdir()
    uninterrupted, _ = start(checkpoints, whole).communicate()
    seconds = float(uninterrupted)
    expected = np.load(whole / "predictions.npy")
    moments, kills, complete = random.Random(0), 0, 0
    while kills < N_KILLS or complete == 0:
        run = start(checkpoints, out)
        if kills < N_KILLS:
            time.sleep(moments.uniform(0.0, seconds))
            run.kill()
        run.communicate()
        if run.returncode == -signal.SIGKILL:
            kills += 1
        else:
            assert run.returncode == 0
            complete += 1
            assert list(checkpoints.iterdir()) == []
            np.testing.assert_array_equal(np.load(out / "predictions.npy"), expected)
        if (out / "model").exists():
            tabimg.load(out / "model")  # the save stands, whenever the next one was killed
    assert sorted(path.name for path in out.iterdir()) == ["model", "predictions.npy"]
    print(f"killed runs: {kills} killed, {complete} complete and bit-equal, nothing left over")
