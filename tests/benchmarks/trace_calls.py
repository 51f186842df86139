"""How far a call walks through the package: functions, files and depth, with tiny networks.

    python tests/benchmarks/trace_calls.py

Counts what is called, not how often. Then: files, floors and imports among the files of
``estimators/``. A file stands a floor above the highest file that it imports.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

import tabimg
from tabimg.nn import ResNet

PACKAGE = Path(tabimg.__file__).parent
ESTIMATORS = PACKAGE / "estimators"
N_ROWS = 24


class Walk:
    """Notes every function of the package that is entered while it is installed as a profile."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.depth = 0
        self.deepest = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if not frame.f_code.co_filename.startswith(str(PACKAGE)):
            return
        if event == "call":
            self.calls[frame.f_code] += 1
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)
        elif event == "return":
            self.depth -= 1

    def of(self, name: str) -> int:
        """Tell how often functions of that name were called."""
        return sum(count for code, count in self.calls.items() if code.co_name == name)

    def __str__(self) -> str:
        files = {code.co_filename for code in self.calls}
        own = [file for file in files if Path(file).parent == ESTIMATORS]
        return f"{len(self.calls):5d} {len(files):6d} {len(own):11d} {self.deepest:6d}"


def walk(function: Callable[[], Any]) -> Walk:
    found = Walk()
    sys.setprofile(found)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


def calls() -> dict[str, Callable[[], Any]]:
    """Name the calls, in an order in which each finds what it needs fitted."""
    rng = np.random.default_rng(0)
    width = rng.normal(size=N_ROWS)
    pixels = rng.integers(0, 256, (N_ROWS, 32, 32, 3), dtype=np.uint8)
    table = pd.DataFrame({"width": width, "kind": rng.choice(["x", "y"], N_ROWS)})
    frame = table.assign(photo=pd.Series(list(map(_image, pixels)), dtype=object))
    labels = np.where(width > 0, "wide", "narrow")
    run = {"max_epochs": 1, "batch_size": 8, "random_state": 0, "validation_fraction": None}
    photos = {
        "image_column": "photo",
        "image_size": 32,
        "image_encoder": partial(ResNet, layers=(1, 1, 1, 1), width=4),
    }
    narrow = {"dim": 8, "n_heads": 2, "n_layers": 1}
    pretrainer = tabimg.MultiModalPretrainer(embedding_dim=8, **photos, **run)
    classifier = tabimg.MTCMTMClassifier(FrozenEstimator(pretrainer), n_members=1, **run)
    citab = tabimg.CITabPretrainer(n_fusion_layers=1, **narrow, **photos, **run)
    citab_classifier = tabimg.CITabClassifier(FrozenEstimator(citab), n_members=1, **run)
    frozen = {"finetune": "frozen"}
    auto = {"predict_modality": "auto"}
    return {
        "MultiModalPretrainer.fit": lambda: pretrainer.fit(frame),
        "MTCMTMClassifier.fit, frozen": lambda: (
            clone(classifier).set_params(**frozen).fit(frame, labels)
        ),
        "MTCMTMClassifier.fit": lambda: classifier.fit(frame, labels),
        "MTCMTMClassifier.predict": lambda: classifier.predict(frame),
        "CITabPretrainer.fit": lambda: citab.fit(frame),
        "CITabClassifier.fit, frozen": lambda: (
            clone(citab_classifier).set_params(**frozen).fit(frame, labels)
        ),
        "CITabClassifier.fit": lambda: citab_classifier.fit(frame, labels),
        "CITabClassifier.predict auto": lambda: citab_classifier.set_params(**auto).predict(frame),
    }


def _image(pixels: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def imports_among(folder: Path) -> dict[str, set[str]]:
    """Which files of a folder each of its files imports."""
    dotted = "tabimg." + ".".join(folder.relative_to(PACKAGE).parts)
    names = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    found: dict[str, set[str]] = {}
    for name in names:
        nodes = ast.walk(ast.parse((folder / f"{name}.py").read_text("utf-8")))
        modules = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
        found[name] = {m.removeprefix(f"{dotted}.") for m in modules} & names - {name}
    return found


def floors(imports: dict[str, set[str]]) -> int:
    @cache
    def floor(name: str) -> int:
        return 1 + max(map(floor, imports[name]), default=0)

    return max(map(floor, imports))


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"{'':30s} calls  files  estimators  depth")
    for name, call in calls().items():
        found = walk(call)
        print(f"{name:30s} {found}   take_apart {found.of('take_apart')} times")
    among = imports_among(ESTIMATORS)
    n_imports = sum(map(len, among.values()))
    print(
        f"estimators/: {len(among)} files, {floors(among)} floors, {n_imports} imports among them"
    )


if __name__ == "__main__":
    main()
