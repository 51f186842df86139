"""The image encoder compiles, in whichever way a method calls it, and computes the same."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("torch._inductor") is None or shutil.which("g++") is None,
        reason="torch.compile needs a C++ compiler",
    ),
]


@pytest.mark.parametrize("face", ["pretrainer", "citab"])
def test_compiled_image_encoder_is_used_and_computes_the_same(
    face: str, frame: pd.DataFrame, make: Any
) -> None:
    make_one: Callable[..., Any] = getattr(make, face)
    # Steps, and half precision, would magnify the last bits.
    exact = {"lr": 1e-7, "precision": "float32"}
    counters = torch._dynamo.utils.counters
    torch._dynamo.reset()
    counters.clear()
    compiled = make_one(compile=True, **exact).fit(frame)
    assert counters["stats"]["unique_graphs"] > 0
    plain = make_one(**exact).fit(frame)
    losses = [pretrainer.history_[-1]["train_loss"] for pretrainer in (compiled, plain)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    np.testing.assert_allclose(
        compiled.transform_images(frame), plain.transform_images(frame), rtol=1e-4, atol=1e-5
    )
