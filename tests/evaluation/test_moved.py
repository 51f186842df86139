"""Modules that stood in ``tabimg.evaluation`` before it had folders are found there still."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest

import tabimg.evaluation
from tabimg.evaluation.moved import MODULES

NAMES = {
    "bagged_models": ["EXTRA_MODELS", "PlainView", "BaggedModel"],
    "cells": ["CellStore", "describe", "fingerprint", "keep_cell", "write_text"],
    "encoders": ["Encoder", "obtain_encoder"],
    "engine": ["CellError", "Protocol", "Unit", "plan_units", "run_study", "run_unit"],
    "figures": ["draw_curve", "draw_heat_map"],
    "inner_folds": ["N_FOLDS", "inner_folds"],
    "methods": ["METHODS", "Method", "Prototypes", "baseline_methods", "own_methods"],
    "near_equal": ["near_equal_photos", "near_equal_rows", "warn_of_doubles"],
    "photo_questions": ["draw_labelled", "measure_fold"],
    "photo_verdict": ["VERDICTS", "PhotoValue"],
    "problem": ["FittedModel", "Problem", "predict_all_classes"],
    "results": ["StudyResult"],
    "splits": ["Budget", "Fold", "draw_seeds", "labelled_rows", "outer_folds", "plan_budgets"],
    "targets": ["read_target"],
    "thumbnails": ["components", "photo_numbers"],
    "tuned_models": ["CORE_MODELS", "DenseView", "OrdinalView", "SmoothedForest", "TunedModel"],
}


@pytest.mark.parametrize("name", MODULES)
def test_moved_module_gives_its_names_with_a_deprecation(name: str) -> None:
    module = importlib.import_module(f"tabimg.evaluation.{name}")
    assert getattr(tabimg.evaluation, name) is module
    for each in NAMES[name]:
        with pytest.warns(DeprecationWarning, match=rf"{name}\.{each} has moved: import \w+ from"):
            value = getattr(module, each)
        new_module = value.__module__ if hasattr(value, "__module__") else ""
        assert new_module != f"tabimg.evaluation.{name}"


@pytest.mark.parametrize(
    "statement",
    [
        "from tabimg.evaluation.cells import fingerprint",
        "import tabimg.evaluation.cells; tabimg.evaluation.cells.fingerprint",
        "import tabimg.evaluation.cells as cells; cells.fingerprint",
        "from tabimg.evaluation import cells; cells.fingerprint",
    ],
)
def test_old_imports_of_every_form_point_to_the_users_line(statement: str) -> None:
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", statement]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "DeprecationWarning: tabimg.evaluation.cells.fingerprint has moved" in run.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("baselines", "BaselineClassifier"),
        ("photo_verdict", "PhotoValue"),
        ("results", "StudyResult"),
        ("statistics", "Interval"),
        ("tuned_models", "SmoothedForest"),
    ],
)
def test_pickles_of_before_find_their_classes(module: str, name: str) -> None:
    old = f"ctabimg.evaluation.{module}\n{name}\n.".encode()
    assert pickle.loads(old).__name__ == name


def test_module_that_never_was_is_not_found() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        importlib.import_module("tabimg.evaluation.cells").nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tabimg.evaluation.nothing")
