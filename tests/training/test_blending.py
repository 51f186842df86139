"""Weights of a blend against scipy, and what a blend keeps apart."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import softmax

from tabimg.serialization import read_directory, write_directory
from tabimg.training import blending
from tabimg.training.blending import N_FOLDS, PRIOR_ROWS, Member, blend, blend_weights, predict
from tabimg.training.blocks import COLUMNS, Blocks, LabelledRows
from tabimg.training.forest import ForestCandidate
from tabimg.training.linear import LinearCandidate
from tabimg.training.members import prior_of
from tabimg.training.splits import Split
from tabimg.training.tasks import Classification, Regression, Task

CPU = torch.device("cpu")
Rows = Callable[..., LabelledRows]
LOSSES = ["ce", "mse", "l1", "huber"]


def fit_blend(*given: Any, **named: Any) -> tuple[list[Any], dict[str, float]]:
    blended = blend(*given, **named)
    return blended.members, blended.losses


def spread(weights: np.ndarray) -> float:
    """How far weights are from even ones."""
    return float(np.abs(weights - 1 / len(weights)).max())


def problem(loss: str, n_rows: int, n_members: int, seed: int = 0) -> tuple[Any, ...]:
    """Draw members of different skill, each right about something else."""
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.2, 1.0, (n_members, 1, 1))
    if loss == "ce":
        target = rng.integers(0, 3, n_rows)
        scores = rng.standard_normal((n_members, n_rows, 3))
        parts = softmax(scores + 2 * skill * np.eye(3)[target], axis=2)
        return parts, target, Classification(3)
    target = rng.standard_normal((n_rows, 2)).astype(np.float32)
    noise = rng.standard_normal((n_members, n_rows, 2))
    return skill * target + (1.2 - skill) * noise, target, Regression(2, loss)


def objective(weights: np.ndarray, parts: Any, target: Any, weight: Any, task: Any) -> float:
    """Mean loss plus the prior, as the documentation writes it."""
    mixed = np.tensordot(weights, parts, axes=1)
    divergence = np.sum(weights * np.log(np.maximum(weights * len(weights), 1e-300)))
    loss = np.average(task.losses(mixed, target), weights=weight)
    return float(loss + PRIOR_ROWS / len(target) * divergence)


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("n_rows", "n_members"), [(5, 2), (40, 4), (600, 6)])
def test_weights_are_those_at_the_minimum(loss: str, n_rows: int, n_members: int) -> None:
    parts, target, task = problem(loss, n_rows, n_members)
    weight = np.random.default_rng(1).uniform(0.2, 2.0, n_rows)
    found = blend_weights(parts, target, weight, task)
    assert found.min() > 0 and found.sum() == pytest.approx(1.0)
    given = (parts, target, weight, task)
    # Another way over the simplex, without slopes.
    reference = minimize(
        lambda z: objective(softmax(z), *given),
        np.zeros(n_members),
        method="Powell",
        options={"xtol": 1e-8, "ftol": 1e-12, "maxiter": 10_000},
    )
    assert objective(found, *given) <= reference.fun + 1e-5
    np.testing.assert_allclose(found, softmax(reference.x), atol=0.02)


def test_few_rows_leave_the_blend_nearly_even_and_many_do_not() -> None:
    shares = []
    for n_rows in (1, 10, 100, 10_000):
        target = np.zeros(n_rows, dtype=int)
        parts = np.stack([np.tile(p, (n_rows, 1)) for p in ([0.9, 0.1], [0.5, 0.5])])
        shares.append(blend_weights(parts, target, np.ones(n_rows), Classification(2))[0])
    assert shares == sorted(shares)
    assert shares[0] < 0.55 and shares[-1] > 0.99


def test_members_that_predict_alike_share_alike() -> None:
    parts, target, task = problem("mse", 30, 1)
    weights = blend_weights(np.repeat(parts, 5, axis=0), target, np.ones(30), task)
    np.testing.assert_allclose(weights, 0.2, atol=1e-6)


def test_single_member_gets_everything() -> None:
    parts, target, task = problem("ce", 30, 1)
    assert blend_weights(parts, target, np.ones(30), task) == pytest.approx([1.0])


def test_integer_weights_act_as_repeated_rows_but_for_the_prior(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blending, "PRIOR_ROWS", 0.0)
    parts, target, task = problem("mse", 12, 3)
    weight = np.random.default_rng(0).integers(1, 4, 12)
    repeated = np.repeat(np.arange(12), weight)
    copied = blend_weights(parts[:, repeated], target[repeated], np.ones(len(repeated)), task)
    weighted = blend_weights(parts, target, weight.astype(float), task)
    np.testing.assert_allclose(weighted, copied, atol=1e-3)


def test_scale_of_the_weights_has_no_effect() -> None:
    parts, target, task = problem("ce", 40, 4)
    small, large = (blend_weights(parts, target, np.full(40, w), task) for w in (1e-3, 1e3))
    np.testing.assert_allclose(small, large, atol=1e-6)


@pytest.mark.parametrize("scale", [30.0, 1e3, 1e6])
def test_member_that_is_far_out_is_shut_out_and_harms_nobody(scale: float) -> None:
    parts, target, task = problem("mse", 60, 4)
    wild = np.concatenate([parts, scale * parts[:1]])
    weights = blend_weights(wild, target, np.ones(60), task)
    assert np.isfinite(weights).all() and weights[-1] < 0.01
    given = (target, np.ones(60), task)
    # So far out that rounding hides the others' differences, they are left even.
    others = blend_weights(parts, *given) if scale < 1e6 else np.full(4, 0.25)
    without = objective(np.r_[others, 0.0], wild, *given)
    assert objective(weights, wild, *given) <= without + 1e-4


def test_member_that_rules_out_the_truth_is_not_trusted_alone() -> None:
    target = np.zeros(40, dtype=int)
    sure = np.tile([1.0, 0.0], (40, 1))
    sure[:4] = [0.0, 1.0]
    parts = np.stack([sure, np.full((40, 2), 0.5)])
    weights = blend_weights(parts, target, np.ones(40), Classification(2))
    # Without the prior the best share of the first is 0.8.
    assert 0.6 < weights[0] < 0.8


# --- blends --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    """A model that predicts one value."""

    value: float

    def predict(self, blocks: Blocks, task: Task, device: torch.device) -> np.ndarray:
        return np.full((len(blocks), task.n_outputs), self.value)


@dataclass
class Recorder:
    """A candidate that notes its folds, and predicts one value."""

    value: float
    n_models: int = 1
    folds: list[Split] = field(default_factory=list)

    def cross_fit(self, rows: LabelledRows, folds: Sequence[Split], task: Task) -> Any:
        self.folds = list(folds)
        held_out = np.full((len(rows), task.n_outputs), np.nan)
        for _, valid in folds:
            held_out[valid] = self.value
        return held_out, [Constant(self.value)] * self.n_models


def test_blend_prefers_what_predicts_held_out_rows(labelled: Rows) -> None:
    rows, task = labelled(60, "numbers"), Regression(1, "mse")
    candidates = {"blind": Recorder(0.0), "columns": LinearCandidate((COLUMNS,))}
    members, losses = fit_blend(candidates, rows, task, seed=0)
    weights = {member.name: member.weight for member in members}
    assert losses["columns"] < 0.1 * losses["blind"]
    assert losses["blind"] == pytest.approx((rows.target**2).mean())
    assert weights["columns"] > 0.85
    mixed = predict(members, rows.blocks, task, CPU)
    expected = sum(m.weight * m.model.predict(rows.blocks, task, CPU) for m in members)
    assert np.allclose(mixed, expected)


def test_models_of_one_candidate_share_its_weight(labelled: Rows) -> None:
    rows, task = labelled(30, "numbers"), Regression(1, "mse")
    candidates = {"one": Recorder(0.0), "three": Recorder(0.0, n_models=3)}
    members, _ = fit_blend(candidates, rows, task, seed=0)
    assert [member.name for member in members] == ["one", "three", "three", "three"]
    np.testing.assert_allclose([m.weight for m in members], [1 / 2, 1 / 6, 1 / 6, 1 / 6])
    assert sum(member.weight for member in members) == pytest.approx(1.0)


def test_folds_are_the_same_for_all_and_keep_groups_together(labelled: Rows) -> None:
    groups = np.arange(60) // 4
    for kind, task in (("numbers", Regression(1, "mse")), ("classes", Classification(2))):
        rows = labelled(60, kind, groups=groups)
        first, second = Recorder(0.5), Recorder(0.5)
        fit_blend({"first": first, "second": second}, rows, task, seed=3)
        assert len(first.folds) == N_FOLDS
        for (train, valid), (same_train, same_valid) in zip(first.folds, second.folds, strict=True):
            assert np.array_equal(train, same_train) and np.array_equal(valid, same_valid)
            assert not set(groups[train]) & set(groups[valid])
            assert len(train) + len(valid) == 60
        assert np.array_equal(np.sort(np.concatenate([v for _, v in first.folds])), np.arange(60))


def test_rows_of_great_weight_decide(labelled: Rows) -> None:
    rows = labelled(60, "numbers")
    heavy = np.arange(60) % 2 == 0
    target = np.where(heavy[:, None], 0.0, 10.0).astype(np.float32)
    weight = np.where(heavy, 1e3, 1e-3).astype(np.float32)
    rows = replace(rows, target=target, weight=weight)
    candidates = {"low": Recorder(0.0), "high": Recorder(10.0)}
    members, losses = fit_blend(candidates, rows, Regression(1, "mse"), seed=0)
    assert losses["low"] < 1e-3 and losses["high"] == pytest.approx(100.0, rel=1e-3)
    assert members[0].weight > 0.95


def test_many_rows_are_judged_on_one_fold(labelled: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blending, "ONE_FOLD_ROWS", 40)
    for n_rows, n_folds in ((39, N_FOLDS), (40, 1)):
        recorder = Recorder(0.0)
        candidates = {"columns": LinearCandidate((COLUMNS,)), "recorder": recorder}
        members, losses = fit_blend(
            candidates, labelled(n_rows, "numbers"), Regression(1, "mse"), 0
        )
        assert len(recorder.folds) == n_folds
        assert set(losses) == {"columns", "recorder"}
        assert members[0].weight > 0.6


@pytest.mark.parametrize("kind", ["one group", "one row a class"])
def test_rows_that_cannot_be_split_are_blended_evenly(kind: str, labelled: Rows) -> None:
    rows = labelled(8)
    if kind == "one group":
        rows = replace(rows, groups=np.zeros(8, dtype=int))
        task = Classification(2)
    else:
        rows = replace(rows, target=np.arange(8))
        task = Classification(8)
    candidates = {
        "columns": LinearCandidate((COLUMNS,)),
        "forest": ForestCandidate("extra_trees", 0),
    }
    members, losses = fit_blend(candidates, rows, task, seed=0)
    assert losses == {}
    assert [member.weight for member in members] == [0.5, 0.5]
    probabilities = predict(members, rows.blocks, task, CPU)
    assert np.allclose(probabilities.sum(axis=1), 1.0)


def test_class_of_one_row_is_learned_and_judges_nobody(labelled: Rows) -> None:
    rows = labelled(41)
    target = rows.target.copy()
    target[40] = 2
    rows = replace(rows, target=target)
    recorder = Recorder(1 / 3)
    candidates = {"columns": LinearCandidate((COLUMNS,)), "even": recorder}
    members, losses = fit_blend(candidates, rows, Classification(3), seed=0)
    assert all(40 in train and 40 not in valid for train, valid in recorder.folds)
    assert losses["even"] == pytest.approx(np.log(3)) and losses["columns"] < losses["even"]
    probabilities = members[0].model.predict(rows.blocks, Classification(3), CPU)
    assert probabilities[40, 2] > probabilities[:40, 2].mean()


def test_members_survive_pickle_and_a_directory(labelled: Rows, tmp_path: Path) -> None:
    rows, task = labelled(30), Classification(2)
    candidates = {
        "columns": LinearCandidate((COLUMNS,)),
        "forest": ForestCandidate("extra_trees", 0),
    }
    members, _ = fit_blend(candidates, rows, task, seed=0)
    write_directory(tmp_path / "members", members)
    expected = predict(members, rows.blocks, task, CPU)
    for back in (pickle.loads(pickle.dumps(members)), read_directory(tmp_path / "members")):
        assert all(isinstance(member, Member) for member in back)
        assert np.array_equal(predict(back, rows.blocks, task, CPU), expected)


def test_rows_of_few_groups_shift_the_weights_no_more_than_few_rows() -> None:
    parts, target, task = problem("mse", 200, 3)
    alone = blend_weights(parts, target, np.ones(200), task)
    grouped = blend_weights(parts, target, np.ones(200), task, n_independent=5)
    assert spread(grouped) < spread(alone)
    repeated = np.repeat(np.arange(5), 40)
    few = blend_weights(parts[:, :5], target[:5], np.ones(5), task)
    copies = blend_weights(parts[:, repeated], target[repeated], np.ones(200), task, 5)
    np.testing.assert_allclose(copies, few, atol=1e-4)


def test_weights_stay_near_the_prior_with_few_rows_and_leave_it_with_many() -> None:
    parts, target, task = problem("mse", 4000, 3)
    prior = np.array([0.8, 0.1, 0.1])
    few = blend_weights(parts[:, :2], target[:2], np.ones(2), task, prior=prior)
    many = blend_weights(parts, target, np.ones(4000), task, prior=prior)
    even = blend_weights(parts, target, np.ones(4000), task)
    assert few[0] > 0.5
    np.testing.assert_allclose(many, even, atol=0.02)


def test_half_of_the_prior_is_of_what_learns_from_labelled_columns() -> None:
    names = ["columns", "random_forest", "network", "embedding", "imputed", "linear_student", "own"]
    prior = prior_of(names, is_pretrained=True)
    assert prior["columns"] == prior["random_forest"] == prior["own"] == pytest.approx(1 / 6)
    assert prior["network"] == prior["linear_student"] == pytest.approx(1 / 8)
    assert set(prior_of(names, is_pretrained=False).values()) == {1 / 7}
