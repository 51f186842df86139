"""Gradients of every convolution of ours are right, whatever kernels this processor has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("convolutions.py")


def test_gradients_of_narrow_convolutions_are_those_of_float64() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "2", "3", "6"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "gradients compared" in done.stdout
