"""Every invalid value is refused in fit, by the parameter's name, before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.training.schedule import auto_epochs

TRAINING = {
    "max_epochs": [0, -1, 1.5, "many", None],
    "batch_size": [0, 3, 2.5, "all"],
    "lr": [0, -1e-3, "high", float("nan")],
    "weight_decay": [-1e-4, "none"],
    "validation_fraction": [0, 0.6, 1, -0.1, "half"],
    "device": ["gpu", "cuda:99", 3.5],
    "precision": ["half", 16, None],
    "time_limit": [0, -1, "long"],
    "checkpoint_dir": [3],
    "callbacks": [3, "early"],
    "warm_start": ["yes"],
    "random_state": ["seed", -1],
    "verbose": ["loud"],
    "embedding_dim": [0, -8, 8.5, "wide"],
    "tabular_encoder": ["transformer", 3, None],
}
PRETRAINER = {
    **TRAINING,
    "image_root": [3],
    "image_loader": ["pillow", 3],
    "max_image_pixels": [0, 1.5, "many", None],
    "image_size": [0, -3, 31, 32.5, "small"],
    "image_encoder": ["resnet50", 3, None],
    "projection_dim": [0, 1.5],
    "lambda_c": [-1, "high", float("nan")],
    "lambda_m": [-1, "high", float("nan")],
    "mask_rate": [0, 1, -0.1, 1.5, "some"],
    "corruption": ["median", None],
    "mask_loss": ["l2", None],
    "temperature": [0, -0.1, "hot"],
    "augmentation": ["strong", {"flop": True}, 3],
    "on_bad_image": ["ignore", None],
    "keep_image_encoder": ["yes"],
    "passthrough": ["yes"],
    "compile": ["yes"],
    "n_jobs": ["all", 0],
    "cache_dir": [3],
}
LONG = "z" * 100_000
LONG_TEXT_OF_PRETRAINER = {
    "augmentation",
    "callbacks",
    "compile",
    "corruption",
    "device",
    "image_encoder",
    "image_loader",
    "mask_loss",
    "on_bad_image",
    "precision",
    "random_state",
    "tabular_encoder",
    "warm_start",
}
FINETUNED = {
    **TRAINING,
    "finetune": ["half", None],
    "head": ["columns", None],
    "n_members": [0, 1.5],
    "dropout": [-0.1, 1, "some"],
    "patience": [0, 2.5],
    "encoder_lr_ratio": [0, -1, "low"],
    "memory": [3],
}


def cases(values: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}={value!r}")
        for name, wrong in values.items()
        for value in wrong
    ]


@pytest.mark.parametrize(("name", "value"), cases(PRETRAINER))
def test_pretrainer_refuses_value_by_name(
    name: str, value: Any, frame: pd.DataFrame, make: Any
) -> None:
    pre = make.pretrainer(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name):
        pre.fit(frame)
    assert not hasattr(pre, "network_")


@pytest.mark.parametrize("value", [LONG, [LONG], {LONG: LONG}], ids=["text", "list", "dict"])
@pytest.mark.parametrize("name", sorted(LONG_TEXT_OF_PRETRAINER))
def test_pretrainer_s_long_value_is_refused_in_few_words(
    name: str, value: Any, frame: pd.DataFrame, make: Any
) -> None:
    with pytest.raises((ValueError, TypeError), match=name) as raised:
        make.pretrainer(**{name: value}).fit(frame)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("value", [LONG, [LONG], (LONG,)], ids=["text", "list", "tuple"])
@pytest.mark.parametrize("name", ["class_weight", "finetune", "head"])
def test_classifier_s_long_value_is_refused_in_few_words(
    name: str, value: Any, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        make.classifier(**{name: value}).fit(table, labels)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(("name", "value"), cases({**FINETUNED, "loss": ["hinge", None]}))
def test_regressor_refuses_value_by_name(
    name: str, value: Any, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name):
        regressor.fit(table, target)
    assert not hasattr(regressor, "members_")


def test_fine_tunings_values_are_refused_before_the_pretraining(
    frame: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.pretrainer(image_loader=photo_log.loader)
    for name, wrong in FINETUNED.items():
        if name in ("random_state", "tabular_encoder", "embedding_dim"):
            continue
        with pytest.raises((ValueError, TypeError), match=name):
            make.regressor(pretrainer=pre, **{name: wrong[0]}).fit(frame, target)
    assert photo_log.names() == []


@pytest.mark.parametrize(("name", "value"), cases({"class_weight": ["even", 3]}))
def test_classifier_refuses_value_by_name(
    name: str, value: Any, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        make.classifier(**{name: value}).fit(table, labels)


def test_factory_that_returns_no_module_is_refused_by_name(frame: pd.DataFrame, make: Any) -> None:
    for name in ("image_encoder", "tabular_encoder"):
        with pytest.raises(TypeError, match=f"{name} must return a torch module"):
            make.pretrainer(**{name: dict}).fit(frame)


def test_nothing_to_learn_from_is_refused(frame: pd.DataFrame, make: Any) -> None:
    with pytest.raises(ValueError, match="lambda_c and lambda_m are both 0"):
        make.pretrainer(lambda_c=0, lambda_m=0).fit(frame)


def test_values_are_not_looked_at_before_fit(make: Any) -> None:
    assert make.pretrainer(mask_rate="some", lambda_c=-1).get_params()["mask_rate"] == "some"


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(2, 100), (400, 100), (800, 50), (1600, 25), (2667, 15), (10**6, 15)]
)
def test_auto_epochs_show_few_rows_often_and_many_seldom(n_rows: int, expected: int) -> None:
    assert auto_epochs(n_rows) == expected
