"""Fingerprints change with what is computed, with nothing else, and never between versions."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)
from tabimg.evaluation import make_baseline
from tabimg.evaluation.data import read_data
from tabimg.evaluation.fingerprints import describe, fingerprint
from tabimg.evaluation.study.methods import METHODS, Prototypes, baseline_methods, own_methods
from tabimg.evaluation.study.plan import Protocol, plan_units
from tabimg.image import Augmentation
from tabimg.nn.resnet import ResNet


def factory() -> None:
    """Stand in for an encoder's factory."""


@pytest.mark.parametrize(
    "change",
    [
        {"lambda_c": 0.5},
        {"augmentation": Augmentation(flip=False)},
        {"image_encoder": factory},
        {"image_encoder": partial(factory, width=3)},
        {"image_column": ["photo", "other"]},
    ],
)
def test_fingerprint_changes_with_what_is_computed(change: dict[str, Any]) -> None:
    assert fingerprint(MultiModalPretrainer(**change)) != fingerprint(MultiModalPretrainer())


@pytest.mark.parametrize(
    "same",
    [
        {"lambda_c": 1},
        {"lambda_c": np.float64(1.0)},
        {"n_jobs": 2, "verbose": 1},
        {"image_root": "/elsewhere", "cache_dir": "/cache", "checkpoint_dir": "/runs"},
        {"keep_image_encoder": False, "device": "cpu"},
    ],
)
def test_fingerprint_does_not_change_with_circumstances(same: dict[str, Any]) -> None:
    assert fingerprint(MultiModalPretrainer(**same)) == fingerprint(MultiModalPretrainer())


def test_fingerprint_tells_arrays_apart_by_value_and_shape_not_by_width() -> None:
    rows = np.arange(6)
    assert fingerprint(rows) == fingerprint(rows.astype(np.int32))
    assert fingerprint(rows) != fingerprint(rows.reshape(2, 3))
    assert fingerprint(rows) != fingerprint(rows[::-1])
    assert fingerprint(np.array([0.0, np.nan])) == fingerprint(np.array([-0.0, -np.nan]))
    assert fingerprint(np.array(["a", None], dtype=object)) != fingerprint(np.array(["a", "None"]))


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from functools import partial; import numpy as np\n"
        "from tabimg import MultiModalPretrainer\n"
        "from tabimg.nn.resnet import ResNet\n"
        "from tabimg.evaluation.fingerprints import fingerprint\n"
        "parts = MultiModalPretrainer(image_encoder=partial(ResNet, width=4)), np.array(['a'])\n"
        "print(fingerprint(*parts, {'b': 1, 'a': None}))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
        ).stdout
        for _ in range(2)
    }
    assert len(printed) == 1


def test_describe_is_json_with_class_and_parameters() -> None:
    described = describe(MTCMTMRegressor(lr=np.float64(0.5)))
    assert json.loads(json.dumps(described)) == described
    assert described["class"].endswith(".MTCMTMRegressor")
    assert described["lr"] == 0.5


def plain_study() -> list[str]:
    """Name the cells of a study whose rows and methods are made by hand."""
    frame = pd.DataFrame(
        {
            "width": np.arange(24.0) ** 2 % 17,
            "support": pd.Series(["glass", "paper", "steel"] * 8, dtype=object),
            "photo": pd.Series([f"{row:02d}.png" for row in range(24)], dtype=object),
            "batch": np.arange(24) // 2,
        }
    )
    data = read_data(frame, np.arange(24) / 7, "photo", "batch", "auto")
    pretrainer = MultiModalPretrainer(image_encoder=partial(ResNet, width=4))
    methods = [
        *Prototypes.of(pretrainer, None, data, None).built_in(METHODS),
        *baseline_methods(["linear", "boosting"], data.task),
        *own_methods({"citab": (CITabPretrainer(), CITabRegressor())}, data, None),
    ]
    units = plan_units(data, methods, Protocol((0.3, 1.0), 2, 1, 2, 0))
    return [
        name
        for unit in units
        for name in (unit.encoder_fingerprint, *(cell.fingerprint for cell in unit.cells))
    ]


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (MultiModalPretrainer(), "227b26a5cc0df157f311b2d8671e3a63"),
        (CITabPretrainer(), "00b923ac11bb115a532148941bd9c721"),
        (MTCMTMClassifier(), "22623cbd4cea066047481110336040f3"),
        (MTCMTMRegressor(), "9e70f14748890ae43cc6fe2e0c5a2251"),
        (CITabClassifier(), "2286766e3f942682932b848a707f521e"),
        (CITabRegressor(), "447dcab9108a6c07d881a5b636abe048"),
        (make_baseline("linear", "classification"), "d936844d65025f2227474645b73aeb2c"),
        (make_baseline("boosting", "regression"), "c6834ea76d3d23ab435b0b8096fd73ed"),
        (
            MultiModalPretrainer(augmentation=Augmentation(flip=False)),
            "01c919997f243d908c2e9347028e1bb8",
        ),
        (
            MultiModalPretrainer(image_encoder=partial(ResNet, width=4)),
            "bba8da75cc5f4527762563a8227cf7e3",
        ),
    ],
)
def test_fingerprint_of_an_estimator_stays_what_it_was(estimator: Any, expected: str) -> None:
    # Results are kept by it; `_NAMES_IN_RESULTS` knows where classes stood before.
    assert fingerprint(estimator) == expected


def test_fingerprints_of_a_study_stay_what_they_were() -> None:
    assert hashlib.sha256(repr(plain_study()).encode()).hexdigest()[:16] == "82f4668e136468b1"
