"""The Python of README and guides, run as a reader would: with tables and photos at hand.

`make doctest` runs all of it.
"""

from __future__ import annotations

import doctest
import functools
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import pytest

from tabimg import MTCMTMClassifier, MultiModalPretrainer, evaluation
from tabimg.datasets import make_cars
from tabimg.nn import ResNet
from tabimg.training import blending, finetuning, forest, image_encoders, members

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", re.MULTILINE)
SMALL_RESNET = functools.partial(ResNet, layers=(1, 1, 1, 1), width=4)
# What a reader waits an hour for, cut down to moments: networks, epochs, folds, draws.
QUICK_STUDY: dict[str, Any] = {
    "pretrainer": MultiModalPretrainer(
        image_size=32,
        image_encoder=SMALL_RESNET,
        tabular_encoder="mlp",
        max_epochs=1,
    ),
    "estimator": MTCMTMClassifier(finetune="frozen", max_epochs=1),
    "n_folds": 2,
    "n_draws": 1,
    "label_fractions": (1.0,),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's working directory, with ``cars.csv`` and ``photos/``."""
    write_pairs(tmp_path, 120).rename(columns={"target": "model"}).to_csv(
        tmp_path / "cars.csv", index=False
    )
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    # The calls are the page's; the default networks and forests would take a minute a page.
    monkeypatch.setitem(
        image_encoders.IMAGE_ENCODERS, "resnet18", image_encoders.Untrained(SMALL_RESNET)
    )
    monkeypatch.setattr(forest, "N_TREES", forest.TREES_AT_ONCE)
    for module in (blending, members, finetuning):
        monkeypatch.setattr(module, "N_FOLDS", 2)
    return tmp_path


def write_pairs(folder: Path, n_rows: int) -> pd.DataFrame:
    """Write ``photos/`` to a folder, and give the table with their names and a target."""
    cars = make_cars(n_samples=120, image_dir=folder / "photos", random_state=0)
    names = cars.data[cars.image_column].map(lambda path: Path(path).name)
    table = cars.data.drop(columns=cars.image_column)
    return table.assign(photo=names, target=cars.target)[:n_rows]


def run(page: str, **names: Any) -> dict[str, Any]:
    """Run the blocks of a page one after the other, as one program."""
    text = (ROOT / page).read_text("utf-8")
    pattern = FENCED if page.endswith(".md") else DIRECTIVE
    blocks = [textwrap.dedent(block) for block in pattern.findall(text)]
    assert len(blocks) == text.count("```python" if page.endswith(".md") else ":: python") >= 3
    namespace = dict(names)
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"<{page}, block {number}>", "exec"), namespace)
    return namespace


@pytest.mark.slow
def test_readme_runs_as_written(folder: Path) -> None:
    namespace = run("README.md")
    assert len(namespace["prediction"]) == len(namespace["embedding"]) == 20


@pytest.mark.slow
def test_quickstart_runs_as_written(folder: Path) -> None:
    namespace = run("docs/quickstart.rst")
    assert len(namespace["embedding"]) == len(namespace["table"]) == 120
    (folder / "photos" / "link.png").symlink_to(folder / "cars.csv")
    for outside in ("../cars.csv", "/etc/hosts", "link.png", "a/../../photos.png"):
        with pytest.raises(ValueError, match=r"^row 1: the photo .* is not in "):
            namespace["refuse_photos_outside"](["good.png", outside, None], "photos")


@pytest.mark.slow
def test_guide_of_studies_runs_as_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(study: Callable[..., Any], **settings: Any) -> None:
        name = study.__name__
        monkeypatch.setattr(evaluation, name, functools.partial(study, **QUICK_STUDY, **settings))

    quick(evaluation.ablation_study, baselines=("linear",))
    quick(evaluation.sensitivity)
    namespace = run("docs/evaluation.rst")
    assert set(namespace["study"].scores["lambda_c"].dropna()) == {0.1, 1.0}


@pytest.mark.slow
def test_guide_of_inspection_runs_as_written(folder: Path) -> None:
    namespace = run("docs/inspection.rst")
    assert namespace["retrieval"].summary()["n_candidates"].eq(40).all()
    assert "mean of the target" in namespace["path"].read_text("utf-8")


def test_sessions_in_the_guide_of_studies_print_what_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "evaluation.rst").read_text("utf-8")
    found = doctest.DocTestParser().get_doctest(text, {}, "evaluation.rst", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(found).attempted == text.count(">>>") > 0
    assert runner.summarize().failed == 0


@pytest.mark.slow
def test_guide_of_cohorts_runs_as_written(folder: Path) -> None:
    for clinic in ("north", "south", "east"):
        frame = write_pairs(folder / clinic, 30)
        frame.columns = [f"{clinic}_{name}" if name != "photo" else name for name in frame.columns]
        frame.to_csv(folder / f"{clinic}.csv", index=False)
    east = pd.read_csv("east.csv").rename(columns={"east_target": "diagnosis"})
    east["photo"] = [str(folder / "east" / "photos" / name) for name in east["photo"]]
    namespace = run("docs/cohorts.rst", east=east)
    predicted = namespace["classifier"].predict(namespace["columns"])
    assert set(predicted) <= set(east["diagnosis"])


def test_promises_name_tests_that_exist() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    named = set(re.findall(r"tests/[\w/]+\.py", page))
    assert len(named) > 20
    assert {path for path in named if not (ROOT / path).is_file()} == set()
