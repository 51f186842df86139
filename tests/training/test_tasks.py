"""Row losses against numpy, linear heads against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, RidgeCV

from tabimg.training.tasks import (
    DEFAULT_C,
    LOGISTIC_CS,
    RIDGE_ALPHAS,
    Classification,
    Regression,
    standardisation,
)


def problem(n_rows: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_rows, 4))
    scores = features @ rng.standard_normal((4, n_classes)) + rng.gumbel(size=(n_rows, n_classes))
    target = np.argmax(scores, axis=1)
    target[:n_classes] = np.arange(n_classes)
    return features, target


def probabilities(head: tuple[np.ndarray, np.ndarray], features: np.ndarray) -> np.ndarray:
    weight, bias = head
    return softmax(features @ weight.T + bias, axis=1)


def fit(task: Any, features: np.ndarray, target: np.ndarray, **changes: Any) -> Any:
    given = {"weight": np.ones(len(target)), "groups": np.arange(len(target)), **changes}
    return task.fit_head(features, target, given["weight"], given["groups"])


def test_classification_row_losses_are_cross_entropies() -> None:
    outputs = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    target = np.array([0, 1, 2, 2, 1, 0])
    losses = Classification(3).row_losses(torch.from_numpy(outputs), torch.from_numpy(target))
    expected = -log_softmax(outputs, axis=1)[np.arange(6), target]
    assert np.allclose(losses.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_regression_row_losses_are_means_over_the_outputs(loss: str) -> None:
    outputs, target = (3 * np.random.default_rng(k).standard_normal((6, 2)) for k in (0, 1))
    error = np.abs(outputs - target)
    of_cells = {
        "mse": error**2,
        "l1": error,
        "huber": np.where(error < 1, error**2 / 2, error - 0.5),
    }[loss]
    losses = Regression(2, loss).row_losses(torch.from_numpy(outputs), torch.from_numpy(target))
    assert np.allclose(losses.numpy(), of_cells.mean(axis=1))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_classification_head_predicts_what_logistic_regression_predicts(n_classes: int) -> None:
    features, target = problem(120, n_classes)
    got = probabilities(fit(Classification(n_classes), features, target), features)
    fits = {C: LogisticRegression(C=C, max_iter=1000).fit(features, target) for C in LOGISTIC_CS}
    gaps = {C: np.abs(model.predict_proba(features) - got).max() for C, model in fits.items()}
    assert min(gaps.values()) < 2e-3


def test_classification_head_chooses_c_by_cross_validation() -> None:
    features, target = problem(400, 2)
    got = probabilities(fit(Classification(2), features, target), features)
    reference = LogisticRegressionCV(
        Cs=LOGISTIC_CS, cv=3, scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False
    ).fit(features, target)
    assert np.abs(reference.predict_proba(features) - got).mean() < 0.03


def test_classification_head_without_signal_is_strongly_penalised() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.standard_normal((60, 30)), np.tile([0, 1], 30)
    weight, _ = fit(Classification(2), features, target)
    assert np.abs(weight).max() < 0.05


def test_classification_head_lacking_classes_gives_them_almost_no_probability() -> None:
    features, target = problem(60, 3)
    names = np.array([1, 3, 4])
    head = fit(Classification(6), features, names[target])
    got = probabilities(head, features)
    assert got[:, [0, 2, 5]].max() < 1e-3
    alone = probabilities(fit(Classification(3), features, target), features)
    assert np.allclose(got[:, names], alone, atol=1e-3)


def test_classification_head_lacking_classes_with_two_left_is_binary() -> None:
    features, target = problem(60, 2)
    names = np.array([1, 3])
    got = probabilities(fit(Classification(4), features, names[target]), features)
    alone = probabilities(fit(Classification(2), features, target), features)
    assert np.allclose(got[:, names], alone, atol=1e-3)


def test_classification_head_of_a_single_class_is_sure_of_it() -> None:
    features = np.random.default_rng(0).standard_normal((5, 4))
    got = probabilities(fit(Classification(3), features, np.full(5, 2)), features)
    assert got[:, 2].min() > 0.999


@pytest.mark.parametrize("classes_are_groups", [False, True])
def test_classification_head_without_folds_takes_the_default_c(classes_are_groups: bool) -> None:
    """One row a class, or all rows of a class in one group: nothing can be held out."""
    features, _ = problem(6, 2)
    target = np.repeat(np.arange(3), 2) if classes_are_groups else np.arange(6)
    groups = target if classes_are_groups else np.arange(6)
    n_classes = len(np.unique(target))
    got = probabilities(fit(Classification(n_classes), features, target, groups=groups), features)
    reference = LogisticRegression(C=DEFAULT_C).fit(features, target)
    assert np.allclose(got, reference.predict_proba(features), atol=1e-3)


def test_classification_head_integer_weights_equal_repeated_rows() -> None:
    features, _ = problem(6, 2)
    target, weight = np.repeat(np.arange(3), 2), np.array([1.0, 3.0, 2.0, 1.0, 1.0, 2.0])
    repeated = np.repeat(np.arange(6), weight.astype(int))
    weighted = fit(Classification(3), features, target, weight=weight, groups=target)
    copied = fit(Classification(3), features[repeated], target[repeated], groups=target[repeated])
    got = probabilities(weighted, features)
    assert np.allclose(got, probabilities(copied, features), atol=1e-3)


def test_classification_head_of_many_rows_chooses_c_on_some() -> None:
    features, target = problem(5200, 2)
    got = probabilities(fit(Classification(2), features, target), features)
    reference = LogisticRegression(C=1.0).fit(features, target).predict_proba(features)
    assert np.abs(got - reference).max() < 0.02


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_regression_head_is_ridge_with_the_penalty_of_leave_one_out(
    n_outputs: int, weighted: bool
) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 4))
    target = features @ rng.standard_normal((4, n_outputs)) + rng.standard_normal((50, n_outputs))
    weight = rng.uniform(0.5, 2.0, 50) if weighted else np.ones(50)
    coefficients, intercept = fit(Regression(n_outputs, "mse"), features, target, weight=weight)
    assert coefficients.shape == (n_outputs, 4) and intercept.shape == (n_outputs,)
    reference = RidgeCV(RIDGE_ALPHAS).fit(features, target, sample_weight=weight)
    assert np.allclose(
        features @ coefficients.T + intercept, reference.predict(features).reshape(50, n_outputs)
    )


def test_regression_head_with_groups_does_not_trust_copies() -> None:
    """Rows of a group share a random target: within a group everything looks predictable."""
    rng = np.random.default_rng(0)
    centres, of_groups = rng.standard_normal((20, 15)), rng.standard_normal((20, 1))
    groups = np.repeat(np.arange(20), 5)
    coefficients, _ = fit(Regression(1, "mse"), centres[groups], of_groups[groups], groups=groups)
    naive, _ = fit(Regression(1, "mse"), centres[groups], of_groups[groups])
    assert np.abs(coefficients).max() < 0.2 * np.abs(naive).max()


def test_regression_head_integer_weights_equal_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.standard_normal((8, 3)), rng.standard_normal((8, 1))
    weight, groups = np.array([1.0, 2, 3, 1, 1, 2, 1, 1]), np.arange(8) % 2
    repeated = np.repeat(np.arange(8), weight.astype(int))
    weighted = fit(Regression(1, "l1"), features, target, weight=weight, groups=groups)
    copied = fit(Regression(1, "l1"), features[repeated], target[repeated], groups=groups[repeated])
    reference = Ridge(alpha=1.0).fit(features, target[:, 0], sample_weight=weight)
    for coefficients, intercept in (weighted, copied):
        assert np.allclose(coefficients[0], reference.coef_)
        assert np.allclose(intercept, reference.intercept_)


def test_standardisation_integer_weights_equal_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    features, weight = 5 + 3 * rng.standard_normal((20, 4)), rng.integers(1, 4, 20)
    mean, scale = standardisation(features, weight)
    repeated = np.repeat(features, weight, axis=0)
    assert np.allclose(mean.numpy(), repeated.mean(axis=0), atol=1e-5)
    assert np.allclose(scale.numpy(), repeated.std(axis=0), atol=1e-5)


def test_standardisation_constant_feature_has_scale_one() -> None:
    features = np.full((10, 2), 1e6, dtype=np.float32)
    features[:, 1] = 0.0
    mean, scale = standardisation(features, np.ones(10))
    assert mean.tolist() == [1e6, 0.0]
    assert scale.tolist() == [1.0, 1.0]
