"""Equal seeds give equal bits, a row stands for itself, and nothing global is touched."""

from __future__ import annotations

import os
import pickle
import random
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import PIL.ImageFile
import pytest
import torch

from tabimg import MultiModalPretrainer

SCRIPT = """
import pickle
import sys
from functools import partial

import torch

from tabimg import MTCMTMClassifier, MultiModalPretrainer
from tabimg.nn.resnet import ResNet

with open(sys.argv[1], "rb") as file:
    frame, labels, n_threads = pickle.load(file)
torch.set_num_threads(n_threads)
pretrainer = MultiModalPretrainer(
    image_column="photo",
    image_size=32,
    image_encoder=partial(ResNet, layers=(1, 1, 1, 1), width=4),
    embedding_dim=8,
    max_epochs=2,
    batch_size=16,
    random_state=3,
)
classifier = MTCMTMClassifier(
    pretrainer=pretrainer, finetune="full", n_members=2, max_epochs=3, random_state=7
)
classifier.fit(frame, labels)
modules = [classifier.pretrainer_.network_, *(m.model.module for m in classifier.members_)]
arrays = [module.arrays for module in modules]
with open(sys.argv[2], "wb") as file:
    pickle.dump((arrays, classifier.predict_proba(frame)), file)
"""


def test_equal_random_state_gives_equal_bits_in_a_new_process(
    frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, given = tmp_path / "fit.py", tmp_path / "given.pkl"
    script.write_text(SCRIPT)
    given.write_bytes(pickle.dumps((frame, labels, torch.get_num_threads())))
    here, there = tmp_path / "here.pkl", tmp_path / "there.pkl"
    random_hashing = {**os.environ, "PYTHONHASHSEED": "123"}
    subprocess.run(
        [sys.executable, script, given, there], check=True, timeout=300, env=random_hashing
    )
    monkeypatch.setattr(sys, "argv", [str(script), str(given), str(here)])
    runpy.run_path(str(script))
    arrays, probabilities = pickle.loads(here.read_bytes())
    other_arrays, other_probabilities = pickle.loads(there.read_bytes())
    for module, other in zip(arrays, other_arrays, strict=True):
        assert [name for name in module if not np.array_equal(module[name], other[name])] == []
    np.testing.assert_array_equal(probabilities, other_probabilities)


def test_another_random_state_gives_other_weights(frame: pd.DataFrame, make: Any) -> None:
    first = make.pretrainer(random_state=0).fit(frame).transform(frame)
    second = make.pretrainer(random_state=1).fit(frame).transform(frame)
    assert not np.allclose(first, second)


def test_random_state_of_the_fused_estimator_seeds_an_unseeded_pretrainer(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    pre = make.pretrainer(random_state=None)
    predictions = [
        make.regressor(pretrainer=pre, finetune="frozen", random_state=seed)
        .fit(frame, target)
        .pretrainer_.transform(frame)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(predictions[0], predictions[1])
    assert not np.array_equal(predictions[0], predictions[2])


@pytest.mark.parametrize("n_columns", [3, 6])
def test_row_alone_and_in_any_batch_predicts_the_same_bits(
    n_columns: int, frame: pd.DataFrame, target: np.ndarray, fitted: MultiModalPretrainer, make: Any
) -> None:
    numbers = np.random.default_rng(n_columns).standard_normal((200, n_columns))
    labels = np.where(target > np.median(target), "high", "low")
    targets = np.c_[target, target**2, -target]
    many = pd.concat([frame.drop(columns="photo")] * 5, ignore_index=True)
    for method, rows in (
        (fitted.transform, many),
        (make.regressor().fit(numbers[:40], targets).predict, numbers),
        (make.classifier(finetune="full").fit(numbers[:40], labels).predict_proba, numbers),
    ):
        together = method(rows)
        for row in (0, 3, 39, 63, 64, 199):
            np.testing.assert_array_equal(method(rows[row : row + 1])[0], together[row])
        np.testing.assert_array_equal(method(rows[::-1])[::-1], together)
        np.testing.assert_array_equal(method(rows[7:90]), together[7:90])


def global_state() -> dict[str, Any]:
    return {
        "numpy": pickle.dumps(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "random": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "autocast": torch.is_autocast_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "mkldnn": torch.backends.mkldnn.enabled,
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "warnings": list(warnings.filters),
        "numpy errors": np.geterr(),
        "pillow": (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES),
    }


def test_fit_and_predict_touch_no_global_state(
    frame: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    before = global_state()
    classifier = make.classifier(pretrainer=make.pretrainer(), n_members=2)
    classifier.fit(frame, labels).predict(frame)
    classifier.pretrainer_.transform(frame)
    classifier.pretrainer_.transform_images(frame)
    after = global_state()
    assert [name for name in before if before[name] != after[name]] == []


def test_fit_and_predict_leave_another_number_of_threads_as_it_was(
    table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    outside = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        make.classifier().fit(table, labels).predict(table)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(outside)


def test_failed_fit_touches_no_global_state(frame: pd.DataFrame, make: Any) -> None:
    before = global_state()
    with pytest.raises(FloatingPointError, match="pre-training diverged in epoch 1"):
        make.pretrainer(lr=1e30, max_epochs=3).fit(frame)
    after = global_state()
    assert [name for name in before if before[name] != after[name]] == []
