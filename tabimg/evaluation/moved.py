"""Old locations of the modules of evaluation, before it had folders, for imports and pickles."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

MODULES = {
    "bagged_models": ("baselines.bagged_models",),
    "cells": ("study.cells", "fingerprints"),
    "encoders": ("study.encoders",),
    "engine": ("study.engine", "study.plan"),
    "figures": ("study.figures",),
    "inner_folds": ("baselines.problem",),
    "methods": ("study.methods",),
    "near_equal": ("leakage.near_equal",),
    "photo_questions": ("photo_value.questions",),
    "photo_verdict": ("photo_value.verdict",),
    "problem": ("baselines.problem",),
    "results": ("study.results",),
    "splits": ("data.folds",),
    "targets": ("data.study_target",),
    "thumbnails": ("data.thumbnails",),
    "tuned_models": ("baselines.tuned_models",),
}
NAMES = {"Encoder": "PretrainedEncoder", "Method": "StudyMethod", "Unit": "WorkUnit"}


class MovedModule(ModuleType):
    """A module's old location: returns what has moved from it, and warns where it is now."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for place in MODULES[self.__name__.rpartition(".")[2]]:
                module = importlib.import_module(f"tabimg.evaluation.{place}")
                new_name = NAMES.get(name, name)
                if hasattr(module, new_name):
                    warnings.warn(
                        f"{self.__name__}.{name} has moved: import {new_name} from "
                        f"{module.__name__}",
                        DeprecationWarning,
                        stacklevel=2,
                    )
                    return getattr(module, new_name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def keep_old_places() -> None:
    """Make old modules importable, and attributes of the package."""
    for name in MODULES:
        module = MovedModule(f"tabimg.evaluation.{name}")
        sys.modules[module.__name__] = module
        setattr(sys.modules["tabimg.evaluation"], name, module)
