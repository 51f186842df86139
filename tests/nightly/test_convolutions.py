"""Gradients of convolutions of every width from 1 to 16, over and over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "nn" / "convolutions.py"
WIDTHS = [str(width) for width in range(1, 17)]


@pytest.mark.nightly
def test_gradients_of_all_widths_are_those_of_float64() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "60", *WIDTHS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout.splitlines()[-1])
