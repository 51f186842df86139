"""Every test of a network starts from one random stream and leaves the global one alone."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def fixed_random_stream():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
