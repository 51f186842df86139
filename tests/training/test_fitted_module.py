"""Trained modules at rest: what is stored, hashed and copied."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from tabimg.serialization import read_directory, write_directory
from tabimg.serialization.registry import CLASSES, Registered
from tabimg.training.architectures import TableArchitecture
from tabimg.training.fitted_module import FittedModule

CPU = torch.device("cpu")
CELLS = (torch.zeros(2, 3), torch.full((2, 1), 2))


@pytest.fixture
def architecture() -> TableArchitecture:
    return TableArchitecture("mlp", 3, (True, False, False), (4,), 8)


@pytest.fixture
def fitted(architecture: TableArchitecture) -> FittedModule:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FittedModule.from_module(architecture, architecture.build())


def test_from_module_copies_the_weights(architecture: TableArchitecture) -> None:
    module = architecture.build()
    fitted = FittedModule.from_module(architecture, module)
    before = {name: array.copy() for name, array in fitted.arrays.items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    assert all(np.array_equal(before[name], array) for name, array in fitted.arrays.items())


def test_build_gives_a_new_module_with_the_weights_in_evaluation_mode(
    fitted: FittedModule,
) -> None:
    first, second = fitted.build(), fitted.build()
    assert not first.training
    for name, tensor in first.state_dict().items():
        assert np.array_equal(tensor.numpy(), fitted.arrays[name])
    with torch.no_grad():
        next(first.parameters()).add_(1.0)
    assert torch.equal(second(*CELLS), fitted.build()(*CELLS))


def test_build_leaves_the_global_stream_alone(fitted: FittedModule) -> None:
    before = torch.get_rng_state()
    fitted.build()
    fitted.on(CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_on_shares_one_live_module(fitted: FittedModule) -> None:
    assert fitted.on(CPU) is fitted.on(CPU)


def test_hash_and_pickle_are_the_same_after_use(fitted: FittedModule) -> None:
    fresh = joblib.hash(fitted), len(pickle.dumps(fitted))
    fitted.on(CPU)(*CELLS)
    assert (joblib.hash(fitted), len(pickle.dumps(fitted))) == fresh


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "directory"])
def test_copy_computes_the_same_and_shares_nothing(
    fitted: FittedModule, way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = fitted.on(CPU)(*CELLS)
    if way == "pickle":
        twin = pickle.loads(pickle.dumps(fitted))
    elif way == "deepcopy":
        twin = copy.deepcopy(fitted)
    else:
        folder = tmp_path_factory.mktemp("saved") / "module"
        write_directory(folder, fitted)
        twin = read_directory(folder)
    assert torch.equal(twin.on(CPU)(*CELLS), expected)
    assert twin.architecture == fitted.architecture
    assert twin.on(CPU) is not fitted.on(CPU)
    for name, array in twin.arrays.items():
        assert not np.shares_memory(array, fitted.arrays[name])


def test_older_directory_that_names_a_recipe_gives_the_same_module(
    fitted: FittedModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old_class = type("TableRecipe", (TableArchitecture,), {})
    old = FittedModule(old_class(**vars(fitted.architecture)), fitted.arrays)
    with monkeypatch.context() as older:
        older.setitem(CLASSES, "TableRecipe", Registered(old_class, None))
        older.setattr(
            FittedModule,
            "__getstate__",
            lambda self: {"recipe": self.architecture, "arrays": self.arrays},
        )
        write_directory(tmp_path / "older", old)
    assert '"$object": "TableRecipe"' in (tmp_path / "older" / "state.json").read_text("utf-8")
    back = read_directory(tmp_path / "older")
    assert back.architecture == fitted.architecture
    assert torch.equal(back.on(CPU)(*CELLS), fitted.on(CPU)(*CELLS))
