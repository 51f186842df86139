"""Saved models that somebody altered at random are refused, or predict numbers: nothing else."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load as arrays_from_bytes
from safetensors.numpy import save as arrays_to_bytes

import tabimg
from tabimg.serialization import ARRAYS_FILE, STATE_FILE, SerializationError
from tabimg.serialization.directories import digest_of_file, digest_of_tree

N_MODELS, MODELS_A_PROCESS, ALTERATIONS = 300, 10, 20
SECONDS_A_PROCESS = 600
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    7,
    10**9,
    10**30,
    1.5,
    -1e300,
    "",
    "x",
    "cpu",
    [],
    [1, "a"],
    {"$float": "nan"},
    {"$float": "inf"},
    {"$tuple": []},
    {"$dict": []},
    {"$path": "/"},
    {"$object": "FrozenEstimator", "state": {"$dict": [["estimator", None]]}},
    {"$custom": "tabimg.nn.resnet.ResNet"},
    {
        "$partial": {
            "$tuple": [
                {"$custom": "tabimg.nn.resnet.ResNet"},
                {"$tuple": []},
                {"$dict": [["layers", {"$tuple": [10**9, 1, 1, 1]}], ["width", 10**6]]},
            ]
        }
    },
]


# --- alterations --------------------------------------------------------------------------------


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List where the values of a tree stand."""
    found = [path] if path else []
    if not isinstance(tree, (dict, list)):
        return found
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found += places(value, (*path, key))
    return found


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def alter_tree(tree: Any, rng: np.random.Generator) -> None:
    """Replace, swap, drop or double a value at a random place."""
    spots = places(tree)
    path = spots[rng.integers(len(spots))]
    parent, key = at(tree, path[:-1]), path[-1]
    kind = rng.integers(4)
    if kind == 0:
        parent[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    elif kind == 1:
        parent[key] = copy.deepcopy(at(tree, spots[rng.integers(len(spots))]))
    elif kind == 2:
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))


def alter_array(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Change values, shape or dtype of a random array."""
    names = sorted(arrays)
    name = names[rng.integers(len(names))]
    array = arrays[name].copy()
    kind = rng.integers(6)
    if kind == 0:
        array = array.ravel()[: max(0, array.size - 1)]
    elif kind == 1:
        array = array.astype([np.float64, np.int64, np.bool_, np.uint8][rng.integers(4)])
    elif kind == 2:
        array = rng.permutation(array.ravel()).reshape(array.shape)
    elif kind == 3:
        array = arrays[names[rng.integers(len(names))]]
    elif array.size:
        entry = rng.integers(array.size)
        flat = array.reshape(-1)
        extremes: list[Any] = [-1, 0, 2**30, np.nan, np.inf, -1e30]
        if array.dtype.kind != "f":
            extremes = [0, 1, 100]
        flat[entry] = extremes[rng.integers(len(extremes))]
    arrays[name] = np.ascontiguousarray(array)


def alter(folder: Path, rng: np.random.Generator) -> str:
    """Alter a save at random; tell how."""
    if rng.random() < 0.2:
        path = folder / (STATE_FILE, ARRAYS_FILE)[rng.integers(2)]
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        return "bit"
    document = json.loads((folder / STATE_FILE).read_text())
    what = "array" if rng.random() < 0.4 else "tree"
    if what == "tree":
        alter_tree(document["value"], rng)
    else:
        arrays = dict(arrays_from_bytes((folder / ARRAYS_FILE).read_bytes()))
        alter_array(arrays, rng)
        (folder / ARRAYS_FILE).write_bytes(arrays_to_bytes(arrays))
    # Whoever alters a save on purpose makes the checksums fit.
    document["arrays_sha256"] = digest_of_file((folder / ARRAYS_FILE).read_bytes())
    document["value_sha256"] = digest_of_tree(document["value"])
    (folder / STATE_FILE).write_text(json.dumps(document))
    return what


# --- models -------------------------------------------------------------------------------------


def random_model(rng: np.random.Generator) -> tuple[Any, pd.DataFrame]:
    """Fit one of the six estimators, with small random parameters, on a small random table."""
    n = int(rng.integers(20, 40))
    table = pd.DataFrame({"age": rng.normal(size=n), "size": rng.integers(1, 9, n)})
    if rng.random() < 0.6:
        table["colour"] = rng.choice(["red", "green", "blue"], n)
    if rng.random() < 0.3:
        table["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D")
    if rng.random() < 0.3:
        table["flag"] = rng.random(n) < 0.5
    if rng.random() < 0.5:
        table.loc[rng.integers(n, size=4), "age"] = np.nan
    run = {"max_epochs": 1, "batch_size": 8, "random_state": int(rng.integers(100))}
    kind = rng.integers(3)
    if rng.random() < 0.5:
        encoder = ["mlp", "resnet1d_cbam", "resnet1d"][rng.integers(3)]
        shape: dict[str, Any] = {"tabular_encoder": encoder, "embedding_dim": 4}
        family = (
            tabimg.MultiModalPretrainer,
            tabimg.MTCMTMClassifier,
            tabimg.MTCMTMRegressor,
        )
    else:
        shape = {"dim": 8, "n_heads": 2, "n_layers": 1, "n_experts": int(rng.integers(1, 3))}
        family = (tabimg.CITabPretrainer, tabimg.CITabClassifier, tabimg.CITabRegressor)
    if kind == 0:
        return family[0](**shape, **run).fit(table), table
    source = family[0](**shape, **run) if rng.random() < 0.4 else None
    modes = ["auto", "full"] if source is None else ["auto", "full", "frozen", "gradual"]
    estimator = family[kind](source, finetune=modes[rng.integers(len(modes))], **shape, **run)
    if kind == 1:
        return estimator.fit(table, np.arange(n) % int(rng.integers(2, 4))), table
    return estimator.fit(table, rng.normal(size=(n, 2) if rng.random() < 0.5 else n)), table


def predict(model: Any, table: pd.DataFrame) -> np.ndarray:
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(model, method):
            return np.asarray(getattr(model, method)(table), dtype=np.float64)
    raise AssertionError("nothing to call")


def outcome(folder: Path, table: pd.DataFrame) -> str:
    """Load and predict; whatever is not foreseen here is raised."""
    try:
        model = tabimg.load(folder)
    except (SerializationError, FileNotFoundError):
        return "refused"
    try:
        prediction = predict(model, table)
    except ValueError:
        # Other names, kinds or parameters may be sound, and fit another table than this one.
        return "of another table"
    assert np.isfinite(prediction).all(), "NaN or infinity was predicted"
    return "predicts"


def alter_models(seed: int, n_models: int, n_alterations: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n_models):
            model, table = random_model(rng)
            folder = Path(name) / "saved"
            tabimg.save(model, folder)
            expected = predict(model, table)
            np.testing.assert_array_equal(predict(tabimg.load(folder), table), expected)
            sound = {path: path.read_bytes() for path in folder.iterdir()}
            for _ in range(n_alterations):
                try:
                    kind = alter(folder, rng)
                    counts[f"{kind} {outcome(folder, table)}"] += 1
                finally:
                    for path, content in sound.items():
                        path.write_bytes(content)
            counts["models"] += 1
    return counts


# --- tests --------------------------------------------------------------------------------------


def test_altered_models_are_refused_or_predict_numbers() -> None:
    counts = alter_models(seed=0, n_models=1, n_alterations=30)
    assert counts["models"] == 1
    assert sum(count for kind, count in counts.items() if kind.endswith("refused")) > 15


@pytest.mark.nightly
def test_many_altered_models_are_refused_or_predict_numbers() -> None:
    """In processes of their own: a crash, a hang or too much memory would end one."""
    counts: Counter[str] = Counter()
    for seed in range(N_MODELS // MODELS_A_PROCESS):
        command = [sys.executable, __file__, str(seed), str(MODELS_A_PROCESS), str(ALTERATIONS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_A_PROCESS)
        assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
        counts.update(json.loads(done.stdout.splitlines()[-1]))
    print(f"random models: {json.dumps(dict(sorted(counts.items())))}; no crash, no hang")
    assert counts["models"] >= N_MODELS


if __name__ == "__main__":
    if sys.platform != "win32":
        import resource

        # What asks for more has believed a file.
        resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))
    print(json.dumps(alter_models(*map(int, sys.argv[1:]))))
