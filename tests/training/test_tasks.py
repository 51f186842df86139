"""Losses against numpy, slopes against differences, linear models against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression, Ridge

from tabimg.training.tasks import MIN_PROBABILITY, MIN_SHARE, Classification, Regression

LOSSES = ["mse", "l1", "huber"]
Head = tuple[np.ndarray, np.ndarray]


def problem(n_rows: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_rows, 4))
    scores = features @ rng.standard_normal((4, n_classes)) + rng.gumbel(size=(n_rows, n_classes))
    target = np.argmax(scores, axis=1)
    target[:n_classes] = np.arange(n_classes)
    return features, target


def probabilities(head: Head, features: np.ndarray) -> np.ndarray:
    weight, bias = head
    return softmax(features @ weight.T + bias, axis=1)


def path(task: Any, features: np.ndarray, target: np.ndarray, weight: Any = None) -> list[Head]:
    weight = np.ones(len(target)) if weight is None else weight
    return task.linear_path(features, target, weight, len(task.penalties))


# --- losses --------------------------------------------------------------------------------------


def test_classification_losses_are_cross_entropies() -> None:
    outputs = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    target = np.array([0, 1, 2, 2, 1, 0])
    expected = -log_softmax(outputs, axis=1)[np.arange(6), target]
    task = Classification(3)
    losses = task.row_losses(torch.from_numpy(outputs), torch.from_numpy(target))
    assert np.allclose(losses.numpy(), expected, atol=1e-6)
    predictions = task.predictions(torch.from_numpy(outputs).double()).numpy()
    assert np.allclose(predictions, softmax(outputs, axis=1))
    assert np.allclose(task.losses(predictions, target), expected)


def test_classification_loss_of_an_impossible_class_is_finite() -> None:
    losses = Classification(2).losses(np.array([[1.0, 0.0]]), np.array([1]))
    assert losses == pytest.approx(-np.log(MIN_PROBABILITY))


@pytest.mark.parametrize("loss", LOSSES)
def test_regression_losses_are_means_over_the_outputs(loss: str) -> None:
    outputs, target = (3 * np.random.default_rng(k).standard_normal((6, 2)) for k in (0, 1))
    error = np.abs(outputs - target)
    of_cells = {
        "mse": error**2,
        "l1": error,
        "huber": np.where(error < 1, error**2 / 2, error - 0.5),
    }[loss]
    task = Regression(2, loss)
    losses = task.row_losses(torch.from_numpy(outputs), torch.from_numpy(target))
    assert np.allclose(losses.numpy(), of_cells.mean(axis=1))
    assert np.allclose(task.losses(outputs, target), of_cells.mean(axis=1))
    assert torch.equal(task.predictions(torch.from_numpy(outputs)), torch.from_numpy(outputs))


@pytest.mark.parametrize(
    "task", [Classification(3), *(Regression(2, loss) for loss in LOSSES)], ids=["ce", *LOSSES]
)
def test_mixing_slope_is_the_derivative_of_the_loss_by_each_weight(task: Any) -> None:
    rng = np.random.default_rng(0)
    parts = rng.dirichlet(np.ones(task.n_outputs), size=(4, 5))
    target = rng.integers(0, 3, 5)
    if isinstance(task, Regression):
        parts, target = 3 * parts, rng.standard_normal((5, 2)).astype(np.float32)
    weights = rng.dirichlet(np.ones(4))

    def losses(weights: np.ndarray) -> np.ndarray:
        return task.losses(np.tensordot(weights, parts, axes=1), target)

    slope = task.mixing_slope(parts, np.tensordot(weights, parts, axes=1), target)
    assert slope.shape == (4, 5)
    assert np.allclose(slope.T, approx_fprime(weights, losses), atol=1e-5)


# --- linear models -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_classification_path_predicts_what_logistic_regression_predicts(n_classes: int) -> None:
    features, target = problem(120, n_classes)
    task = Classification(n_classes)
    for C, head in zip(task.penalties, path(task, features, target), strict=True):
        reference = LogisticRegression(C=C, max_iter=1000, tol=1e-6).fit(features, target)
        gap = np.abs(probabilities(head, features) - reference.predict_proba(features))
        assert gap.max() < 5e-3, C


def test_path_stops_after_the_number_of_penalties_asked_for() -> None:
    features, target = problem(40, 2)
    weight = np.ones(40)
    for task, y in ((Classification(2), target), (Regression(1, "mse"), features[:, :1])):
        whole, part = path(task, features, y), task.linear_path(features, y, weight, 2)
        assert len(part) == 2 and len(whole) == len(task.penalties)
        for ours, theirs in zip(part, whole, strict=False):
            assert np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])


def test_penalties_fall_from_the_strongest() -> None:
    features, target = problem(80, 2)
    for task, y in ((Classification(2), target), (Regression(1, "mse"), target[:, None] * 1.0)):
        sizes = [np.abs(weight).sum() for weight, _ in path(task, features, y)]
        assert sizes == sorted(sizes)


def test_classification_lacking_classes_gives_them_almost_no_probability() -> None:
    features, target = problem(60, 3)
    names = np.array([1, 3, 4])
    for head, alone in zip(
        path(Classification(6), features, names[target]),
        path(Classification(3), features, target),
        strict=True,
    ):
        got = probabilities(head, features)
        assert got[:, [0, 2, 5]].max() < 1e-3
        assert np.allclose(got[:, names], probabilities(alone, features), atol=1e-3)


def test_classification_lacking_classes_with_two_left_is_binary() -> None:
    features, target = problem(60, 2)
    names = np.array([1, 3])
    got = path(Classification(4), features, names[target])[-1]
    alone = path(Classification(2), features, target)[-1]
    of_two = probabilities(got, features)[:, names]
    assert np.allclose(of_two, probabilities(alone, features), atol=1e-3)


def test_classification_of_a_single_class_is_sure_of_it() -> None:
    features = np.random.default_rng(0).standard_normal((5, 4))
    for head in path(Classification(3), features, np.full(5, 2)):
        assert probabilities(head, features)[:, 2].min() > 0.999


def test_classification_integer_weights_equal_repeated_rows() -> None:
    features, _ = problem(6, 2)
    target, weight = np.repeat(np.arange(3), 2), np.array([1.0, 3.0, 2.0, 1.0, 1.0, 2.0])
    repeated = np.repeat(np.arange(6), weight.astype(int))
    weighted = path(Classification(3), features, target, weight)
    copied = path(Classification(3), features[repeated], target[repeated])
    for ours, theirs in zip(weighted, copied, strict=True):
        gap = probabilities(ours, features) - probabilities(theirs, features)
        assert np.abs(gap).max() < 2e-3


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_regression_path_is_ridge(n_outputs: int, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 4))
    target = features @ rng.standard_normal((4, n_outputs)) + rng.standard_normal((50, n_outputs))
    weight = rng.uniform(0.5, 2.0, 50) if weighted else np.ones(50)
    task = Regression(n_outputs, "mse")
    heads = path(task, features, target, weight)
    for alpha, (coefficients, intercept) in zip(task.penalties, heads, strict=True):
        assert coefficients.shape == (n_outputs, 4) and intercept.shape == (n_outputs,)
        reference = Ridge(alpha).fit(features, target, sample_weight=weight)
        expected = reference.predict(features).reshape(50, n_outputs)
        assert np.allclose(features @ coefficients.T + intercept, expected)


def test_regression_integer_weights_equal_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.standard_normal((8, 3)), rng.standard_normal((8, 1))
    weight = np.array([1.0, 2, 3, 1, 1, 2, 1, 1])
    repeated = np.repeat(np.arange(8), weight.astype(int))
    weighted = path(Regression(1, "l1"), features, target, weight)
    copied = path(Regression(1, "l1"), features[repeated], target[repeated])
    for ours, theirs in zip(weighted, copied, strict=True):
        assert np.allclose(ours[0], theirs[0]) and np.allclose(ours[1], theirs[1])


# --- soft targets --------------------------------------------------------------------------------


def test_soft_targets_are_certain_of_the_truth() -> None:
    assert np.array_equal(Classification(3).soft(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    numbers = np.array([[0.5], [-1.0]], dtype=np.float32)
    assert np.array_equal(Regression(1, "mse").soft(numbers), numbers)


def test_classification_soft_head_follows_soft_labels() -> None:
    features = np.random.default_rng(0).standard_normal((300, 4))
    truth = softmax(features @ np.random.default_rng(1).standard_normal((4, 3)), axis=1)
    task = Classification(3)
    got = probabilities(task.soft_head(features, truth, np.ones(300)), features)
    assert np.abs(got - truth).mean() < 0.03


def test_classification_soft_head_of_certain_labels_is_logistic_regression() -> None:
    features, target = problem(90, 3)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 90)
    task = Classification(3)
    got = probabilities(task.soft_head(features, task.soft(target), weight), features)
    reference = LogisticRegression(C=1.0).fit(features, target, sample_weight=weight)
    assert np.allclose(got, reference.predict_proba(features), atol=1e-2)


def test_classification_soft_head_leaves_out_shares_that_hardly_count() -> None:
    features = np.random.default_rng(0).standard_normal((20, 4))
    rest = MIN_SHARE / 2
    soft = np.tile([1.0 - rest, rest, 0.0], (20, 1))
    got = probabilities(Classification(3).soft_head(features, soft, np.ones(20)), features)
    assert got[:, 0].min() > 0.999


def test_regression_soft_head_is_ridge() -> None:
    rng = np.random.default_rng(0)
    features, soft = rng.standard_normal((40, 4)), rng.standard_normal((40, 2))
    coefficients, intercept = Regression(2, "mse").soft_head(features, soft, np.ones(40))
    reference = Ridge(4.0).fit(features, soft)
    assert np.allclose(coefficients, reference.coef_)
    assert np.allclose(intercept, reference.intercept_)


# --- forests -------------------------------------------------------------------------------------


def test_smoothed_votes_are_those_of_one_tree_more_that_knows_nothing() -> None:
    votes = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    got = Classification(4).smoothed(votes, 3)
    assert np.allclose(got, [[13 / 16, 1 / 16, 1 / 16, 1 / 16], [7 / 16, 7 / 16, 1 / 16, 1 / 16]])
    assert np.array_equal(Regression(1, "mse").smoothed(votes, 3), votes)
