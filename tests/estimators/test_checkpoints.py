"""What of an interrupted fit is kept, gone on from, refused and removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import Callback

from tabimg.serialization import write_directory
from tabimg.training.checkpoint_folder import FitFolder

FULL = {"finetune": "full", "max_epochs": 3, "validation_fraction": None}


class PowerCutError(Exception):
    """The fit ends here."""


class PowerCut(Callback):
    """End a fit once ``after`` epochs are done, over all of its networks."""

    left: ClassVar[int] = 0

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        if PowerCut.left == 0:
            raise PowerCutError

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        PowerCut.left -= 1


class Losses(Callback):
    """Collects the training losses of all epochs, over all copies."""

    seen: ClassVar[list[float]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        Losses.seen.append(net.history[-1]["train_loss"])


def cut(estimator: Any, *data: Any, after: int) -> list[float]:
    """Fit until the power is cut; give the losses seen."""
    Losses.seen.clear()
    PowerCut.left = after
    estimator.set_params(callbacks=[Losses(), PowerCut()])
    with pytest.raises(PowerCutError):
        estimator.fit(*data)
    return list(Losses.seen)


def watched(estimator: Any, *data: Any) -> list[float]:
    """Fit, and give the losses of the epochs that were trained."""
    Losses.seen.clear()
    estimator.set_params(callbacks=[Losses()]).fit(*data)
    return list(Losses.seen)


@pytest.fixture
def vectors(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with embedding vectors in place of photos, which train faster."""
    cells = np.random.default_rng(7).standard_normal((len(frame), 6))
    return frame.assign(photo=pd.Series(list(cells), dtype=object))


# --- a seed that nobody chose --------------------------------------------------------------------


@pytest.mark.parametrize("face", ["pretrainer", "citab", "regressor", "citab_regressor"])
def test_fit_without_random_state_goes_on_with_the_seed_of_the_interrupted_one(
    face: str, vectors: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    make_one = getattr(make, face)
    data = (vectors.drop(columns="photo"), target) if "regressor" in face else (vectors,)
    params = dict(FULL) if "regressor" in face else {"max_epochs": 3, "validation_fraction": None}
    params.update(random_state=None, checkpoint_dir=tmp_path)
    first = cut(make_one(**params), *data, after=2)
    model = make_one(**params)
    rest = watched(model, *data)
    assert len(first) == 2 and len(rest) == 1
    assert [epoch["train_loss"] for epoch in model.history_] == [*first, *rest]
    assert list(tmp_path.iterdir()) == []
    assert watched(make_one(**params), *data)[0] != first[0]  # a fit of its own again


def test_random_state_instance_goes_on_where_it_draws_the_same_seed(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    params = {**FULL, "checkpoint_dir": tmp_path}
    cut(make.regressor(random_state=np.random.RandomState(3), **params), table, target, after=2)
    with pytest.warns(UserWarning, match="another run, which differs in random_state"):
        other = make.regressor(random_state=np.random.RandomState(4), **params)
        assert len(watched(other, table, target)) == 3
    same = make.regressor(random_state=np.random.RandomState(3), **params)
    assert len(watched(same, table, target)) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"lr": 1e-2}, "lr"), ({"max_epochs": 4}, "max_epochs"), ({"dropout": 0.3}, "dropout")],
    ids=["lr", "max_epochs", "dropout"],
)
def test_other_parameters_begin_anew_and_are_named(
    changes: dict[str, Any],
    named: str,
    table: pd.DataFrame,
    target: np.ndarray,
    tmp_path: Path,
    make: Any,
) -> None:
    params = {**FULL, "random_state": None, "checkpoint_dir": tmp_path}
    cut(make.regressor(**params), table, target, after=2)
    model = make.regressor(**{**params, **changes})
    with pytest.warns(UserWarning, match=rf"another run, which differs in {named}\)"):
        assert len(watched(model, table, target)) == model.max_epochs
    assert len(list(tmp_path.iterdir())) == 1  # the other run's are left as they are


def test_other_data_begin_anew_and_are_named(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    params = {**FULL, "checkpoint_dir": tmp_path}
    cut(make.regressor(**params), table, target, after=2)
    with pytest.warns(UserWarning, match=r"another run, which differs in y\)"):
        assert len(watched(make.regressor(**params), table, target + 1.0)) == 3


# --- finished stages -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "where"), [("", "outer"), ("", "inner"), ("", "both"), ("citab_", "outer")]
)
def test_finished_stages_are_kept_until_the_outermost_fit_returns(
    kind: str, where: str, vectors: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    """One member of two is done when the power is cut."""
    make_one = getattr(make, f"{kind}regressor")
    make_inner = getattr(make, (kind or "pretrainer").rstrip("_"))
    folders = {name: tmp_path / name for name in ("outer", "inner")}
    folder = {n: f if where in (n, "both") else None for n, f in folders.items()}

    def model() -> Any:
        inner = make_inner(checkpoint_dir=folder["inner"], callbacks=[Losses()])
        outer = {"checkpoint_dir": folder["outer"], "pretrainer": inner, "random_state": 3}
        return make_one(**{**FULL, **outer, "n_members": 2, "max_epochs": 1})

    whole = make_one(**{**FULL, "pretrainer": make_inner(), "random_state": 3, "n_members": 2})
    whole.set_params(max_epochs=1).fit(vectors, target)
    assert len(cut(model(), vectors, target, after=1)) == 1 + 1
    resumed = model()
    trained = watched(resumed, vectors, target)
    assert len(trained) == (1 if where != "inner" else 2)
    for mine, theirs in (
        (resumed.predict, whole.predict),
        (resumed.pretrainer_.transform, whole.pretrainer_.transform),
    ):
        np.testing.assert_array_equal(mine(vectors), theirs(vectors))
    for each in folders.values():
        assert not each.exists() or list(each.iterdir()) == []


def test_finished_folds_of_a_blend_are_not_trained_again(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    params = {"checkpoint_dir": tmp_path, "max_epochs": 1, "validation_fraction": None}
    whole = make.regressor(**{**params, "checkpoint_dir": None}).fit(table, target)
    cut(make.regressor(**params), table, target, after=3)
    resumed = make.regressor(**params)
    assert len(watched(resumed, table, target)) == 1
    np.testing.assert_array_equal(resumed.predict(table), whole.predict(table))
    assert list(tmp_path.iterdir()) == []


def test_fit_that_fails_before_its_first_epoch_leaves_nothing(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    cut(make.regressor(**FULL, checkpoint_dir=tmp_path), table, target, after=0)
    assert list(tmp_path.iterdir()) == []


# --- killed processes ----------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import numpy as np, pandas as pd
from skorch.callbacks import Callback
from tabimg import MTCMTMRegressor
import pathlib

class Kill(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:  # in the midst of the next write
            pathlib.Path.write_bytes = lambda *args: os.kill(os.getpid(), signal.SIGKILL)

x = np.arange(40.0)
table = pd.DataFrame({"a": x % 7, "b": x % 3})
model = MTCMTMRegressor(
    finetune="full", max_epochs=3, validation_fraction=None, tabular_encoder="mlp",
    embedding_dim=8, batch_size=16, checkpoint_dir=sys.argv[1], callbacks=[Kill()],
)
model.fit(table, x)
"""


def test_killed_process_is_gone_on_from_and_its_halves_are_swept(tmp_path: Path) -> None:
    from tabimg import MTCMTMRegressor

    run = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True)
    assert run.returncode == -9, run.stderr.decode()
    (folder,) = tmp_path.iterdir()
    assert any(path.name.startswith(".") for path in folder.iterdir())
    x = np.arange(40.0)
    model = MTCMTMRegressor(
        finetune="full",
        max_epochs=3,
        validation_fraction=None,
        tabular_encoder="mlp",
        embedding_dim=8,
        batch_size=16,
        checkpoint_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert len(watched(model, pd.DataFrame({"a": x % 7, "b": x % 3}), x)) == 2
    assert list(tmp_path.iterdir()) == []


def test_folder_that_a_live_fit_holds_is_left_alone(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    """Two fits of the same data and parameters at a time do not share a folder."""
    params = {**FULL, "random_state": None, "checkpoint_dir": tmp_path}
    cut(make.regressor(**params), table, target, after=1)
    claimed: list[FitFolder] = []
    claim = FitFolder.claim
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FitFolder, "claim", lambda *a: claimed.append(claim(*a)) or claimed[-1])
        cut(make.regressor(**params), table, target, after=1)
    (first,) = claimed
    assert first.resumed
    live = FitFolder.claim(tmp_path, _identity_of(first.path), 0)
    scratch = live.path / f".stage-{'0' * 32}-{'1' * 32}"
    scratch.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert len(watched(make.regressor(**params), table, target)) == 3
    assert scratch.is_dir() and [p.name for p in tmp_path.iterdir()] == [live.path.name]
    live.release()
    assert len(watched(make.regressor(**params), table, target)) == 1
    assert list(tmp_path.iterdir()) == []


def _identity_of(folder: Path) -> dict[str, str]:
    from tabimg.serialization import read_directory

    return read_directory(folder / "fit")["identity"]


# --- foreign, damaged, moved ---------------------------------------------------------------------


def fit_of(root: Path) -> Path:
    return next(path for path in root.iterdir() if path.name.startswith("fit-"))


def stage_of(root: Path) -> Path:
    return next(path for path in fit_of(root).iterdir() if path.name.startswith("stage-"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("not a folder")


def replace_by_fifo(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.mkfifo(path)


def reseal(path: Path, value: Any) -> None:
    shutil.rmtree(path)
    write_directory(path, value)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "arrays truncated": lambda root: truncate(stage_of(root) / "arrays.safetensors"),
    "arrays emptied": lambda root: (stage_of(root) / "arrays.safetensors").write_bytes(b""),
    "state truncated": lambda root: truncate(stage_of(root) / "state.json"),
    "state missing": lambda root: (stage_of(root) / "state.json").unlink(),
    "state a pipe": lambda root: replace_by_fifo(stage_of(root) / "state.json"),
    "stage a file": lambda root: replace_by_file(stage_of(root)),
    "stage a pipe": lambda root: replace_by_fifo(stage_of(root)),
    "stage renamed": lambda root: stage_of(root).rename(fit_of(root) / f"stage-{'0' * 32}"),
    "stage of a foreign name": lambda root: stage_of(root).rename(fit_of(root) / "mine"),
    "stage a list": lambda root: reseal(stage_of(root), [1, 2, 3]),
    "stage of wrong types": lambda root: reseal(
        stage_of(root), {"fingerprint": stage_of(root).name.removeprefix("stage-"), "module": 3}
    ),
    "stage with a foreign file": lambda root: (stage_of(root) / "mine.txt").write_text("mine"),
    "header truncated": lambda root: truncate(fit_of(root) / "fit" / "state.json"),
    "header a list": lambda root: reseal(fit_of(root) / "fit", [1]),
    "header a file": lambda root: replace_by_file(fit_of(root) / "fit"),
    "header missing": lambda root: shutil.rmtree(fit_of(root) / "fit"),
    "fit a file": lambda root: replace_by_file(fit_of(root)),
    "fit a pipe": lambda root: replace_by_fifo(fit_of(root)),
    "lock a pipe": lambda root: replace_by_fifo(fit_of(root) / "lock"),
    "lock missing": lambda root: (fit_of(root) / "lock").unlink(),
}


@pytest.fixture(scope="module")
def interrupted(
    tmp_path_factory: pytest.TempPathFactory, make: Any
) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """The checkpoints of a fit that was interrupted after two epochs of three, and its data."""
    folder = tmp_path_factory.mktemp("interrupted")
    x = np.arange(30.0)
    data = pd.DataFrame({"a": x % 7, "b": x % 3}), x % 7
    cut(make.regressor(**FULL, checkpoint_dir=folder), *data, after=2)
    return folder, *data


@pytest.fixture(scope="module")
def expected(interrupted: tuple[Path, pd.DataFrame, np.ndarray], make: Any) -> np.ndarray:
    """What the fit that was never interrupted predicts."""
    _, table, target = interrupted
    return make.regressor(**FULL).fit(table, target).predict(table)


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_damaged_or_foreign_checkpoint_is_said_and_the_fit_begins_anew(
    damage: str,
    interrupted: tuple[Path, pd.DataFrame, np.ndarray],
    expected: np.ndarray,
    tmp_path: Path,
    make: Any,
) -> None:
    folder, table, target = interrupted
    root = tmp_path / "checkpoints"
    shutil.copytree(folder, root)
    DAMAGES[damage](root)
    model = make.regressor(**FULL, checkpoint_dir=root)
    with pytest.warns(UserWarning, match="starts from the beginning"):
        assert len(watched(model, table, target)) == 3
    np.testing.assert_array_equal(model.predict(table), expected)


def test_renamed_folder_is_known_by_what_is_in_it(
    interrupted: tuple[Path, pd.DataFrame, np.ndarray],
    expected: np.ndarray,
    tmp_path: Path,
    make: Any,
) -> None:
    folder, table, target = interrupted
    shutil.copytree(folder, tmp_path / "checkpoints")
    fit_of(tmp_path / "checkpoints").rename(tmp_path / "checkpoints" / "renamed")
    model = make.regressor(**FULL, checkpoint_dir=tmp_path / "checkpoints")
    assert len(watched(model, table, target)) == 1
    np.testing.assert_array_equal(model.predict(table), expected)


def test_checkpoint_under_the_name_of_another_run_is_not_gone_on_from(
    interrupted: tuple[Path, pd.DataFrame, np.ndarray], tmp_path: Path, make: Any
) -> None:
    folder, table, target = interrupted
    other = {**FULL, "lr": 1e-2}
    cut(make.regressor(**other, checkpoint_dir=tmp_path), table, target, after=2)
    name = stage_of(tmp_path)
    shutil.rmtree(name)
    shutil.copytree(stage_of(folder), name)
    model = make.regressor(**other, checkpoint_dir=tmp_path)
    with pytest.warns(UserWarning, match="it is from another run"):
        assert len(watched(model, table, target)) == 3
    fresh = make.regressor(**other).fit(table, target)
    np.testing.assert_array_equal(model.predict(table), fresh.predict(table))


def test_foreign_file_in_the_directory_is_said_and_stays(
    interrupted: tuple[Path, pd.DataFrame, np.ndarray], tmp_path: Path, make: Any
) -> None:
    _, table, target = interrupted
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.warns(UserWarning, match=r"notes.txt: not a checkpoint of this version"):
        make.regressor(**FULL, checkpoint_dir=tmp_path).fit(table, target)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_halves_that_older_versions_left_are_swept(
    interrupted: tuple[Path, pd.DataFrame, np.ndarray], tmp_path: Path, make: Any
) -> None:
    _, table, target = interrupted
    write_directory(tmp_path / f".{'0' * 32}-{'a' * 32}", {"half": np.zeros(3)})
    (tmp_path / ".hidden-of-the-user").mkdir()
    with pytest.warns(UserWarning, match="hidden-of-the-user"):
        make.regressor(**FULL, checkpoint_dir=tmp_path).fit(table, target)
    assert [path.name for path in tmp_path.iterdir()] == [".hidden-of-the-user"]


@pytest.mark.parametrize("make_it", [Path.touch, os.mkfifo], ids=["file", "pipe"])
@pytest.mark.parametrize("face", ["pretrainer", "citab", "regressor", "citab_regressor"])
def test_checkpoint_dir_that_is_no_folder_is_refused_before_training(
    make_it: Callable[[Path], Any],
    face: str,
    vectors: pd.DataFrame,
    target: np.ndarray,
    tmp_path: Path,
    make: Any,
) -> None:
    make_it(tmp_path / "taken")
    model = getattr(make, face)(checkpoint_dir=tmp_path / "taken")
    with pytest.raises(NotADirectoryError, match=r"checkpoint_dir: .*taken' is no folder"):
        model.fit(vectors, target)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"], ids=["empty", "NUL", "surrogate"])
@pytest.mark.parametrize("parameter", ["checkpoint_dir", "cache_dir"])
def test_folder_that_no_system_can_make_is_refused_by_the_parameter_s_name(
    name: str, parameter: str, vectors: pd.DataFrame, make: Any
) -> None:
    with pytest.raises(ValueError, match=f"{parameter}: no folder can have the name") as caught:
        make.pretrainer(**{parameter: name}).fit(vectors)
    str(caught.value).encode()


def test_folder_below_a_file_is_refused(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(NotADirectoryError, match=r"checkpoint_dir: .*taken' is no folder"):
        make.regressor(checkpoint_dir=tmp_path / "taken" / "runs").fit(table, target)


def test_names_of_foreign_stages_are_said_in_what_every_terminal_can_write(
    interrupted: tuple[Path, pd.DataFrame, np.ndarray], tmp_path: Path, make: Any
) -> None:
    folder, table, target = interrupted
    root = tmp_path / "checkpoints"
    shutil.copytree(folder, root)
    (fit,) = root.iterdir()
    (stage,) = fit.glob("stage-*")
    stage.rename(fit / "stage-\udcff")
    with pytest.warns(UserWarning) as caught:
        make.regressor(**FULL, checkpoint_dir=root).fit(table, target)
    told = "".join(str(warning.message) for warning in caught)
    assert r"stage-\udcff" in told and told.encode()
