"""Photos teach students that see the table alone; held-out rows teach nobody."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tabimg.serialization import read_directory, write_directory
from tabimg.table import EncodedTable
from tabimg.training import boosting, distillation, forest
from tabimg.training.blending import blend, predict
from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.distillation import Teacher, students
from tabimg.training.linear import LinearCandidate
from tabimg.training.splits import Split, grouped_folds
from tabimg.training.tasks import Classification, Regression

CPU = torch.device("cpu")
N_COLUMNS = 40
N_LABELLED = 30


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let students grow small forests."""
    monkeypatch.setattr(forest, "N_TREES", forest.TREES_AT_ONCE)
    monkeypatch.setattr(boosting, "ROUNDS", (10, 20))
    monkeypatch.setattr(distillation, "STUDENT_ROUNDS", 40)


@pytest.fixture(params=["numbers", "classes"])
def task(request: pytest.FixtureRequest) -> Any:
    return Regression(1, "mse") if request.param == "numbers" else Classification(2)


def world(task: Any, seed: int = 0) -> tuple[LabelledRows, Blocks, LabelledRows]:
    """Draw labelled rows, pairs and new rows: many columns, and photos that show the target."""
    rng = np.random.default_rng(seed)

    def draw(n_rows: int) -> tuple[Blocks, np.ndarray]:
        columns = rng.standard_normal((n_rows, N_COLUMNS)).astype(np.float32)
        score = columns.sum(axis=1, keepdims=True) / np.sqrt(N_COLUMNS)
        photos = score + 0.1 * rng.standard_normal((n_rows, 6))
        table = EncodedTable(columns, np.zeros((n_rows, 0), dtype=np.int64))
        photos = photos.astype(np.float32)
        return Blocks(table, {"columns": columns, "photos": photos}), score

    def label(blocks: Blocks, score: np.ndarray) -> LabelledRows:
        is_class = isinstance(task, Classification)
        target = (score[:, 0] > 0).astype(np.int64) if is_class else score.astype(np.float32)
        n_rows = len(blocks)
        return LabelledRows(blocks, target, np.ones(n_rows, dtype=np.float32), np.arange(n_rows))

    rows, pairs, new = label(*draw(N_LABELLED)), draw(500)[0], label(*draw(500))
    return rows, pairs, replace(new, blocks=without_photos(new.blocks))


def without_photos(blocks: Blocks) -> Blocks:
    return Blocks(blocks.table, {"columns": blocks["columns"]})


def predictions(models: Any, blocks: Blocks, task: Any) -> np.ndarray:
    return np.mean([model.predict(blocks, task, CPU) for model in models], axis=0)


def taught_by(pairs: Blocks, task: Any) -> dict[str, Any]:
    """Return unfitted students of all families."""
    return students(Teacher(pairs, 0), task, 0)


def learn(
    pairs: Blocks, rows: LabelledRows, folds: Sequence[Split], task: Any
) -> tuple[np.ndarray, list[Any]]:
    """Fit the students of all families: their mean held-out prediction, and all models."""
    fitted = [each.cross_fit(rows, folds, task) for each in taught_by(pairs, task).values()]
    held_out = np.mean([held_out for held_out, _ in fitted], axis=0)
    return held_out, [model for _, models in fitted for model in models]


@pytest.fixture
def nothing_to_choose(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the few numbers that are chosen on all rows: penalties, and shares of the teacher."""
    monkeypatch.setattr(task, "penalties", task.penalties[len(task.penalties) // 2 :][:1])
    monkeypatch.setattr(boosting, "ROUNDS", (10,))
    monkeypatch.setattr(
        distillation, "held_out_weights", lambda parts, rows, task: np.full(len(parts), 0.2)
    )


def test_photos_teach_what_few_labels_cannot(task: Any) -> None:
    rows, pairs, new = world(task)
    folds = grouped_folds(rows.groups, 4, 0, task.classes(rows.target))
    # The columns add up to the target, which is a task for the linear student.
    held_out, models = taught_by(pairs, task)["linear_student"].cross_fit(rows, folds, task)
    _, alone = LinearCandidate((COLUMNS,)).cross_fit(rows, folds, task)
    losses = {
        name: task.losses(predictions(models, new.blocks, task), new.target).mean()
        for name, models in (("taught", models), ("alone", alone))
    }
    assert losses["taught"] < 0.75 * losses["alone"]
    # The held-out loss, which decides the weight in a blend, says what new rows say.
    known = np.isfinite(held_out[:, 0])
    assert known.all()
    estimate = task.losses(held_out, rows.target).mean()
    assert losses["taught"] / 2 < estimate < losses["alone"]


def test_blend_trusts_the_students_and_is_better_for_it(task: Any) -> None:
    rows, pairs, new = world(task)
    alone = {"columns": LinearCandidate((COLUMNS,))}
    taught = taught_by(pairs, task)
    members = blend({**alone, **taught}, rows, task, 0).members
    share = sum(member.weight for member in members if member.name.endswith("student"))
    assert share > 0.5
    losses = [
        task.losses(predict(fitted, new.blocks, task, CPU), new.target).mean()
        for fitted in (members, blend(alone, rows, task, 0).members)
    ]
    assert losses[0] < losses[1]


@pytest.mark.usefixtures("nothing_to_choose")
def test_held_out_row_never_reaches_its_own_students(task: Any) -> None:
    rows, pairs, _ = world(task)
    folds = grouped_folds(rows.groups, 3, 0, task.classes(rows.target))
    own, other = folds[0][1], folds[1][1]
    before, _ = learn(pairs, rows, folds, task)
    target, photos = rows.target.copy(), rows.blocks["photos"].copy()
    target[own] = 1 - target[own]
    photos[own] = 100.0
    spoilt = replace(rows, target=target, blocks=rows.blocks.having(photos=photos))
    after, _ = learn(pairs, spoilt, folds, task)
    assert np.array_equal(after[own], before[own])
    assert not np.isclose(after[other], before[other]).any()


def test_own_photo_plays_no_part_in_a_rows_prediction(task: Any) -> None:
    rows, pairs, _ = world(task)
    _, models = learn(pairs, rows, [], task)
    with_photo = rows.blocks.having(photos=rows.blocks["photos"] + 5.0)
    without = without_photos(rows.blocks)
    for model in models:
        assert np.array_equal(
            model.predict(with_photo, task, CPU), model.predict(without, task, CPU)
        )


def test_labelled_rows_without_a_photo_teach_by_their_label(task: Any) -> None:
    rows, pairs, new = world(task)
    photos = rows.blocks["photos"].copy()
    photos[::2] = np.nan
    half = replace(rows, blocks=rows.blocks.having(photos=photos))
    folds = grouped_folds(rows.groups, 4, 0, task.classes(rows.target))
    held_out, models = learn(pairs, half, folds, task)
    assert np.isfinite(held_out).all()
    seen = predictions(models, new.blocks, task)
    dropped = half.take(np.flatnonzero(half.blocks.has_photo()))
    _, fewer = learn(pairs, dropped, [], task)
    assert np.isfinite(seen).all()
    assert not np.allclose(predictions(fewer, new.blocks, task), seen, atol=1e-3)


def test_without_any_photo_labels_are_all_that_students_learn_from(task: Any) -> None:
    rows, pairs, new = world(task)
    _, other_pairs, _ = world(task, seed=1)
    blind = replace(
        rows, blocks=rows.blocks.having(photos=np.full_like(rows.blocks["photos"], np.nan))
    )
    assert not blind.blocks.has_photo().any()
    folds = grouped_folds(rows.groups, 3, 0, task.classes(rows.target))
    results = []
    for given in (pairs, other_pairs):
        held_out, models = learn(given, blind, folds, task)
        results.append((held_out, predictions(models, new.blocks, task)))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


def test_fold_whose_training_rows_have_no_photo_is_taught_by_labels(task: Any) -> None:
    rows, pairs, _ = world(task)
    folds = grouped_folds(rows.groups, 3, 0, task.classes(rows.target))
    photos = np.full_like(rows.blocks["photos"], np.nan)
    photos[folds[0][1]] = rows.blocks["photos"][folds[0][1]]
    rows = replace(rows, blocks=rows.blocks.having(photos=photos))
    held_out, _ = learn(pairs, rows, folds, task)
    assert np.isfinite(held_out).all()


def test_heavy_rows_teach_more() -> None:
    task = Regression(1, "mse")
    rows, pairs, new = world(task)
    target = np.where(np.arange(N_LABELLED)[:, None] < 15, 3.0, -3.0).astype(np.float32)
    means = []
    for heavy in (np.arange(N_LABELLED) < 15, np.arange(N_LABELLED) >= 15):
        weight = np.where(heavy, 20.0, 1.0).astype(np.float32)
        given = replace(rows, target=target, weight=weight)
        _, models = learn(pairs, given, [], task)
        means.append(predictions(models, new.blocks, task).mean())
    assert means[0] > 0.5 and means[1] < -0.5


def test_probabilities_of_students_sum_to_one() -> None:
    task = Classification(2)
    rows, pairs, new = world(task)
    for student in learn(pairs, rows, [], task)[1]:
        probabilities = student.predict(new.blocks, task, CPU)
        assert np.allclose(probabilities.sum(axis=1), 1.0) and probabilities.min() >= 0


def test_class_that_no_row_has_stays_possible() -> None:
    rows, pairs, new = world(Classification(2))
    task = Classification(4)
    _, models = learn(pairs, rows, [], task)
    got = predictions(models, new.blocks, task)
    assert got.shape == (500, 4)
    assert got[:, 2:].max() < 0.05 and got.min() > 0


def test_students_survive_pickle_and_a_directory(task: Any, tmp_path: Path) -> None:
    rows, pairs, new = world(task)
    _, models = learn(pairs, rows, [], task)
    write_directory(tmp_path / "students", models)
    expected = predictions(models, new.blocks, task)
    for back in (pickle.loads(pickle.dumps(models)), read_directory(tmp_path / "students")):
        assert np.array_equal(predictions(back, new.blocks, task), expected)
